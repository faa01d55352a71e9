"""The command `divan-obs`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import BinaryIO

import click

from divan_obs_asgi.cli.health_probe import parse_url, probe_url
from divan_obs_asgi.connection.debug_header import DebugKey
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.metrics.catalogue import FORMS
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.explain import Explainer, Report
from divan_obs_asgi.redaction.lines import MAX_LINE, redacted_lines
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.version import __version__

# The end of a cut line is removed as well: it may be a part of a secret.
_UNSURE = 4096


class _Commands(click.Group):
    """The commands. Three are imported only when called, so that `probe`, which runs every few seconds, starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "assets", "check", "top"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "assets":
            from divan_obs_asgi.ops_assets.command import assets

            return assets
        if cmd_name == "check":
            from divan_obs_asgi.checks.command import check_deployment

            return check_deployment
        if cmd_name == "top":
            from divan_obs_asgi.cli.top import top

            return top
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands)
@click.version_option(__version__, package_name="divan-obs-asgi")
def main() -> None:
    """Observability for ASGI services, from the command line."""


@main.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--explain",
    is_flag=True,
    help="Print below each line which rule redacted what, and which values stayed.",
)
@click.option("--report", is_flag=True, help="Print counts by rule with ten redacted contexts of each, and no lines.")
def redact(file: BinaryIO, *, explain: bool, report: bool) -> None:
    """
    Print FILE (default: standard input) without its secrets.

    The OBS_REDACT_* flags apply, as in the service. JSON lines remain JSON lines. With both --explain and
    --report, the lines come first.
    """
    settings = _settings().redaction
    policy = RedactionPolicy.from_settings(settings)
    out = sys.stdout.buffer
    if explain or report:
        counts = Report()
        for explained in Explainer(policy, settings.locales).explained(_lines(file)):
            counts.add(explained)
            if explain:
                out.write(str(explained).encode("utf-8", "surrogateescape"))
        if report:
            out.write(str(counts).encode("utf-8", "surrogateescape"))
        out.flush()
        return
    for line in redacted_lines(_lines(file), policy):
        out.write(line.encode("utf-8", "surrogateescape"))
    out.flush()


@main.command("debug-header")
def debug_header() -> None:
    """
    Print a header that debugs one request: curl -H "$(divan-obs debug-header)" URL

    It is signed with OBS_DEBUG_KEY, which the service must have too, and is valid for 15 minutes. The request writes
    all its DEBUG lines, and its trace is recorded.
    """
    key = _settings().console.debug_key
    if key is None:
        raise click.ClickException("OBS_DEBUG_KEY is not set; expected the key of the service.")
    click.echo(f"X-Divan-Debug: {DebugKey(key).header()}")


@main.group()
def metrics() -> None:
    """The metrics of the service."""


@metrics.command("list")
@click.option("--format", "form", type=click.Choice(list(FORMS)), default="text", help="The output format.")
def list_metrics(form: str) -> None:
    """
    Print every metric family with its type, labels and meaning.

    Names begin with OBS_NAMESPACE. Metrics that an application declares are not included.
    """
    click.echo(FORMS[form](FAMILIES, _settings().metrics.namespace), nl=False)


@main.command()
@click.argument("url")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 3600, min_open=True),
    default=2.0,
    show_default=True,
    help="Seconds to wait for the response.",
)
def probe(url: str, timeout_s: float) -> None:
    """
    Request a health endpoint once: divan-obs probe http://127.0.0.1:8000/health/ready

    The exit status is 0 for a status from 200 to 299; 1 otherwise, and the reason is printed; 2 for a wrong command.
    Proxies of the environment are not used, and redirects are not followed.
    """
    if math.isnan(timeout_s):  # click accepts NaN for any range.
        raise click.BadParameter("expected a number of seconds", param_hint="--timeout")
    try:
        parts = parse_url(url)
    except ValueError:
        raise click.BadParameter("expected a URL like http://127.0.0.1:8000/health/ready", param_hint="URL") from None
    outcome = probe_url(parts, timeout_s)
    click.echo(outcome.message, err=not outcome.ok)
    sys.exit(0 if outcome.ok else 1)


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except ImproperlyConfigured as error:
        raise click.ClickException(str(error)) from None


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a file; a line that is too long is cut, with the number of bytes that were removed."""
    while line := file.readline(MAX_LINE):
        removed = 0
        rest = line
        while not rest.endswith(b"\n") and len(rest) == MAX_LINE:
            rest = file.readline(MAX_LINE)
            removed += len(rest)
        text = line.decode("utf-8", "replace")
        yield f"{text[:-_UNSURE]}[cut:{removed + _UNSURE} bytes]\n" if removed else text


__all__ = ["main"]

if __name__ == "__main__":
    main()
