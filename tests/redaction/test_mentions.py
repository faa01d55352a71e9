"""Values that a sentence or a command names, before the name or after it."""

from __future__ import annotations

import pytest

from divan_obs_asgi.redaction import RedactionPolicy

POLICY = RedactionPolicy()
SECRET = "hunter2xyz"


@pytest.mark.parametrize(
    "text",
    [
        'Optional("<s>") for key password',
        "'<s>' is not a valid value for password",
        'value "<s>" for field password',
        "invalid value <s> for password",
        "value <s> for key password rejected",
        'got "<s>" for parameter token',
        "using '<s>' as the password for ada",
        "'<s>' was given as api_key",
        'set "<s>" as the API key',
        'Cannot assign "<s>" to field password',
        "'<s>' is an invalid password",
        'could not convert "<s>" (password) to int',
        "Invalid token '<s>' (Parameter 'token')",
        'meet "<s>" for field text',
        "setx DB_PASSWORD <s>",
        "setenv DB_PASSWORD '<s>'",
        "ENV API_KEY <s>",
        "aws configure set aws_secret_access_key <s>",
        "npm config set //r.example/:_authToken <s>",
        "##[set-env name=DB_PASSWORD]<s>",
        "##vso[task.setvariable variable=password;issecret=true]<s>",
        '  ~ master_password = "old" -> "<s>"',
    ],
)
def test_a_value_is_found_by_a_name_in_words(text: str) -> None:
    """Swift, validators, .NET; shells, Docker, workflows, Terraform."""
    redacted = POLICY.redact_text(text.replace("<s>", SECRET))
    assert SECRET not in redacted
    assert POLICY.redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        'Optional("hall") for key room',
        "using 'token' as key",
        "'Bearer' as token type",
        "'bcrypt' for password hashing",
        '"admin" as password hint',
        '"}" is an unexpected token',
        "Field error in object 'user' on field 'password': must not be blank",
        "model 'User' (field 'password') has no default",
        "got response200 for token request",
        "git config --global credential.helper store",
        '"hello" for content',
        "'password' is a required property",
        "default value for password is None",
        "got 404 for token",
        "ENV PATH /usr/bin",
        "setx PATH C:\\bin",
        "npm config set registry https://r.example",
        '  ~ name = "old" -> "new"',
        "##vso[task.setvariable variable=region]eu",
    ],
)
def test_other_words_name_no_secret(text: str) -> None:
    """Another name, a word that describes a secret, a token of a language."""
    assert POLICY.redact_text(text) == text
