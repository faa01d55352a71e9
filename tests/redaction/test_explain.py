"""`divan-obs redact --explain` and `--report`."""

from __future__ import annotations

from click.testing import CliRunner

from divan_obs_asgi.cli.main import main

LOG = (
    "mail to ada@example.org, pass: 12\n"
    "login password=hunter22 and token hunter33 again\n"
    '{"msg":"gsm 0532 123 45 67","latency_ms":3}\n'
    "nothing here 3\n"
)


def redact(*options: str, text: str = LOG, env: dict[str, str] | None = None) -> str:
    result = CliRunner().invoke(main, ["redact", *options], input=text, env=env)
    assert result.exit_code == 0, result.output
    return result.output


def test_explain_marks_which_rule_redacted_what() -> None:
    """And a value that stayed beside a word that names a secret."""
    assert redact("--explain") == (
        "mail to [redacted:email], pass: 12\n"
        "        ^^^^^^^^^^^^^^^^\n"
        "  redacted by email at column 9\n"
        "  stayed at column 33: '12' beside 'pass' (credential)\n"
        "login password=[redacted:credential] and token hunter33 again\n"
        "               ^^^^^^^^^^^^^^^^^^^^^\n"
        "  redacted by credential at column 16\n"
        "  stayed at column 48: 'hunter33' beside 'token' (credential)\n"
        '{"msg":"gsm [redacted:phone]","latency_ms":3}\n'
        "            ^^^^^^^^^^^^^^^^\n"
        "  redacted by phone at column 13\n"
        "nothing here 3\n"
    )


def test_explain_shows_nothing_that_was_redacted() -> None:
    out = redact("--explain", "--report")
    assert not any(secret in out for secret in ("ada@", "hunter22", "0532"))


def test_report_counts_by_rule_with_contexts() -> None:
    """Ten contexts of each rule at most, and no lines."""
    out = redact("--report", text="to a@example.org\n" * 3 + "".join(f"to a@example.org {n}\n" for n in range(20)))
    assert out.startswith("23 redactions and 0 values that stayed, in 23 lines\n\n      23 email\n")
    assert out.count("to [redacted:email]") == 10


def test_report_counts_values_that_stayed() -> None:
    out = redact("--report")
    assert out.startswith("3 redactions and 2 values that stayed, in 4 lines\n")
    assert "       2 credential stayed\n" in out


def test_lines_are_explained_with_the_locales_of_the_flags() -> None:
    """`sifre` names a secret only while Turkish is on."""
    text = "sifre hunter33\n"
    assert "beside 'sifre' (credential)" in redact("--explain", text=text)
    assert redact("--explain", text=text, env={"OBS_REDACT_LOCALES": ""}) == text


def test_empty_input_is_explained() -> None:
    assert redact("--explain", text="") == ""
    assert redact("--report", text="") == "0 redactions and 0 values that stayed, in 0 lines\n"
