"""Secrets in statements, calls, configuration files and command lines, whose key is not directly before the value."""

from __future__ import annotations

import pytest

from divan_obs_asgi.redaction import RedactionPolicy

POLICY = RedactionPolicy()
SECRET = "q7Hx91kzPw4m"


@pytest.mark.parametrize(
    "text",
    [
        "CREATE USER ada WITH PASSWORD '<s>'",
        "ALTER ROLE ada PASSWORD '<s>' VALID UNTIL 'infinity'",
        "ALTER USER 'ada' IDENTIFIED BY '<s>'",
        "CREATE USER 'ada' IDENTIFIED WITH caching_sha2_password BY '<s>'",
        "SET PASSWORD FOR 'ada' = PASSWORD('<s>')",
        'failed to log in with password "<s>"',
        'user.setPassword("<s>")',
        "client.withToken('<s>')",
        'array(1) {\n  ["password"]=>\n  string(12) "<s>"\n}',
        'object(User)#3 (1) { ["password":protected]=> string(12) "<s>" }',
        'variable "db_password" { default = "<s>" }',
        'variable "api_token" {\n  type    = "string"\n  default = "<s>"\n}',
        "jdbc:oracle:thin:ada/<s>@db:1521/x",
        "sqlplus ada/<s>@db",
        "docker login -u ada -p <s> registry.example",
        "helm registry login x.example -u ada -p <s>",
        "ldapsearch -D cn=ada -w <s> -b dc=x",
        "http --auth ada:<s> x.example",
        "machine x.example login ada password <s>",
        "requirepass <s>",
        'ConvertTo-SecureString "<s>" -AsPlainText',
        "POST https://x.webhook.office.com/webhookb2/1111<s>-2222@3333/IncomingWebhook/4444/5555",
        "x-functions-key: <s>",
        "#0 /a.php(3): PDO->__construct('mysql:host=db', 'root', '<s>', Array)",
        "#1 ldap_bind(Resource id #3, 'cn=ada', '<s>')",
        'client.login("ada@x", "<s>")',
        "login failed for ada with password <s>",
        "Password <s> rejected for ada",
        "<s> is not a valid password",
        "[sudo] password for ada: <s>",
        'echo "ada:<s>" | chpasswd',
        "net use Z: \\\\srv\\share <s> /user:ada",
        "net.exe use \\\\srv\\share /user:dom\\ada <s>",
        'net user ada "<s>" /add',
        "schtasks /create /tn x /ru ada /rp <s>",
        "runas: wmic /user:ada /password:<s> process list",
        "cmdkey /add:srv /user:ada /pass:<s>",
        'psexec64.exe \\\\srv -u ada -p "<s>" cmd',
        "sqlcmd -S srv -U sa -P <s> -Q x",
        "plink -ssh ada@srv -pw <s> ls",
        "xfreerdp /u:ada /p:<s> /v:srv",
        "smbclient //srv/share -U ada%<s>",
        "7z x a.7z -p<s>",
        "openssl rsa -passin pass:<s> -in k.pem",
        "keytool -list -storepass <s>",
        "htpasswd -b /etc/htpasswd ada <s>",
        "mongosh -u ada -p <s> db",
        "vault login <s>",
        "echo <s> | docker login -u ada --password-stdin r.example",
        "echo -n '<s>' | sudo -S true",
        "SET PASSWORD FOR 'ada'@'%' = '<s>'",
    ],
)
def test_a_secret_of_a_statement_is_hidden(text: str) -> None:
    """In the words of its own language."""
    assert SECRET not in POLICY.redact_text(text.replace("<s>", SECRET))


@pytest.mark.parametrize(
    "text",
    [
        "CREATE USER ada WITH PASSWORD ?",
        "ALTER USER ada PASSWORD '%s'",
        "ALTER ROLE ada PASSWORD '${DB_PASSWORD}'",
        "IDENTIFIED BY '***'",
        "the field password 'must not be empty'",
        "docker login -u ada --password-stdin",
        "login failed for ada",
        "ldapsearch -x -b dc=x",
        "http GET /a -> 200",
        'variable "region" { default = "eu-west-1" }',
        '["name"]=>\n  string(3) "ada"',
        "requirepass is not set",
        "net use Z: \\\\srv\\share /persistent:yes",
        "net user ada /delete",
        "net use Z: \\\\srv\\share failed",
        "psexec -s cmd",
        "unzip -l a.zip",
        "mongosh -p",
        "using password sha256",
        "login(timeout=3)",
        "vault login -method=oidc",
        "vault login succeeded",
        "echo $TOKEN | docker login -u ada --password-stdin",
        "echo done | tee a.log",
        "2026-11-30 09:00:00 INFO uvicorn: Started server process [4711]",
        "Python 3.11.7, pip 24.0, gcc 12.2.0-14",
        "commit 8f3a5b2c1d4e5f6a8f3a5b2c1d4e5f6a8f3a5b2c",
        "BenchmarkParse-8  1000000  1053 ns/op  320 B/op  4 allocs/op",
        "loss 0.1234, accuracy 98.7654 %",
        'nginx: 10.0.0.1 - - [30/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 612',
    ],
)
def test_other_statements_stay(text: str) -> None:
    """Placeholders, sentences, and lines of common programs."""
    assert POLICY.redact_text(text) == text
