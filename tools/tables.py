"""Write the tables of flags, metrics, alerts, boards and checks into README.md and docs/: `python tools/tables.py`."""

from __future__ import annotations

import re
from pathlib import Path

from divan_obs_asgi import Settings
from divan_obs_asgi.checks.registry import own_checks
from divan_obs_asgi.metrics import FAMILIES, NAMESPACE
from divan_obs_asgi.metrics.catalogue import as_markdown
from divan_obs_asgi.ops_assets.dashboards import Panel, all_boards
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.redaction.keys import CREDENTIAL, PHONE
from divan_obs_asgi.redaction.languages import ADDRESS, BIRTH_DATE, LANGUAGES
from divan_obs_asgi.redaction.locales import LOCALES
from divan_obs_asgi.settings import DEFAULT_MIDDLEWARE, Flag
from divan_obs_asgi.settings.otel_variables import OTEL_VARIABLES

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("flags", "opentelemetry", "redaction", "metrics", "alerts", "dashboards", "check")
DOCUMENTS = (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in TABLES))
# What a check reads, as the command names it.
READ = {
    "flags": "flags",
    "app": "`--app`",
    "queries": "`--rules`, `--dashboards`",
    "alertmanager": "`--alertmanager`",
}
# The flags that most services set.
MAIN = (
    "OBS_ENV",
    "OBS_SERVICE_NAME",
    "OBS_COMMIT",
    "OBS_ADMIN_TOKEN",
    "LOG_LEVEL",
    "LOG_SAMPLING_RATE_INFO",
    "OBS_TRACING_ENABLED",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_SAMPLER_ARG",
    "PROMETHEUS_MULTIPROC_DIR",
)
LANGUAGE_NAMES = {
    "en": "English", "tr": "Turkish", "de": "German", "fr": "French", "es": "Spanish", "pt": "Portuguese",
    "it": "Italian",
    "nl": "Dutch", "pl": "Polish", "se": "Swedish", "no": "Norwegian and Danish",
    "fi": "Finnish", "cz": "Czech", "ro": "Romanian",
}  # fmt: skip
# The rules whose first key is shown for each language.
SHOWN = (CREDENTIAL, PHONE, BIRTH_DATE, ADDRESS)
TITLES = {
    "": "The library",
    "service": "Service",
    "requests": "Requests",
    "logs": "Logs",
    "redaction": "Redaction",
    "tracing": "Tracing",
    "otel": "OpenTelemetry",
    "otlp": "Export by OTLP",
    "metrics": "Metrics",
    "ops": "Health, metrics and ops endpoints",
    "console": "Ops console",
    "vitals": "Web vitals of browsers",
    "health": "Probes and shutdown",
    "runtime": "Event loop and Redis Streams",
    "socketio": "Socket.IO",
}


def main_flags() -> str:
    """Return the flags that most services set as a Markdown table."""
    rows = {flag.name: row(flag, default) for flag, default in Settings.flags()}
    return HEAD + "".join(rows[name] for name in MAIN)


def flags() -> str:
    """Return all flags, a Markdown table for each group."""
    tables = []
    for group, title in TITLES.items():
        attribute = f"`settings.{group}`" if group else "`settings`"
        rows = [row(flag, default) for flag, default in Settings.flags(group)]
        tables.append(f"\n## {title}\n\n{attribute} in code.\n\n{HEAD}{''.join(rows)}")
    return "".join(tables)


def redaction_flags() -> str:
    """Return the flags of redaction as a Markdown table."""
    return HEAD + "".join(row(flag, default) for flag, default in Settings.flags("redaction"))


def locales() -> str:
    """Return the sets of rules for countries as a Markdown table."""
    rows = []
    for name, locale in LOCALES.items():
        languages = ", ".join(LANGUAGE_NAMES[each] for each in locale.languages.split())
        found = [f"{each.title}{' beside a word' if each.words and not each.bare else ''}" for each in locale.ids]
        keys = LANGUAGES[locale.languages.split()[0]]
        first = [re.split(r"[,\n]", keys[rule].strip().lstrip("!"))[0] for rule in SHOWN if rule in keys]
        shown_keys = ", ".join(f"`{example.replace(' ', '_')}`" for example in first)
        rows.append(f"| `{name}` | {locale.country} | {languages}: {shown_keys} | {', '.join(found)} |\n")
    return "| locale | country | keys of | national ids |\n|--------|---------|---------|--------------|\n" + "".join(
        rows
    )


HEAD = "| flag | default | what it does |\n|------|---------|--------------|\n"


def row(flag: Flag, default: object) -> str:
    return f"| `{flag.name}` | {shown(default)} | {flag.doc} |\n"


def shown(default: object) -> str:
    if default is None:
        return ""
    if default == DEFAULT_MIDDLEWARE:
        return "all of them"
    if isinstance(default, tuple):
        return " ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def alerts() -> str:
    """Return the alerts as a Markdown table, in the order of the rule file."""
    rows = []
    for alert in rules(Parameters()).alerts:
        says = re.sub(r"{{ \$labels\.(\w+) }}", r"*\1*", alert.summary).replace("__overflow__", "`__overflow__`")
        rows.append(f"| [`{alert.key}`](runbooks/{alert.name}.md) | {alert.severity} | {alert.pending} | {says} |\n")
    head = "| alert | severity | after | what it says |\n|-------|----------|-------|--------------|\n"
    return head + "".join(rows)


def boards() -> str:
    """Return the boards as a Markdown table: each question, and the series that answer it."""
    rows = [
        f"| `{board.name}` | {panel.title} | {', '.join(f'`{name}`' for name in families(panel))} |\n"
        for board in all_boards(Parameters())
        for panel in board.panels
    ]
    return "".join(["| board | question | families |\n", "|-------|----------|----------|\n", *rows])


def checks() -> str:
    """Return the checks of a deployment as a Markdown table, by their ids."""
    rows = []
    for one in own_checks():
        reads = READ[one.subject] + (", `--deploy`" if one.only_deploy else "")
        rows.append(f"| `{one.id}` | {reads} | {one.summary} | {linked(one.docs)} |\n")
    return "".join(["| id | reads | what is wrong | more |\n", "|----|-------|---------------|------|\n", *rows])


def variables() -> str:
    """Return every variable of OpenTelemetry as a Markdown table: whether it works here, and why not."""
    head = "| variable | effect | how, or why not |\n|----------|--------|-----------------|\n"
    return head + "".join(
        f"| `{name}` | {one.effect} | {one.why}{f' Instead: {one.instead}.' if one.instead else ''} |\n"
        for name, one in sorted(OTEL_VARIABLES.items())
    )


def linked(page: str) -> str:
    path = page.removeprefix("docs/") if page.startswith("docs/") else f"../{page}"
    return f"[{page.rpartition('/')[2]}]({path})"


def families(panel: Panel) -> list[str]:
    """Return the families, and the recorded series, of a panel's queries, each once."""
    series = [name for query in panel.queries for name in re.findall(r"([a-z_:0-9]+){", query.expr)]
    return list(dict.fromkeys(re.sub(r"^divan[_:]|_(?:bucket|sum|count)$", "", name) for name in series))


def written_into(text: str) -> str:
    """Return `text` with the present tables, each between its two marks."""
    tables = {
        "main flags": main_flags(),
        "flags": flags(),
        "redaction flags": redaction_flags(),
        "locales": locales(),
        "metrics": as_markdown(FAMILIES, NAMESPACE),
        "alerts": alerts(),
        "boards": boards(),
        "checks": checks(),
        "variables": variables(),
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        text = re.sub(f"{begin}.*{end}", lambda _, whole=f"{begin}{table}{end}": whole, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(written_into(document.read_text()))
