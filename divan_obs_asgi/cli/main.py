"""The command `divan-obs`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import BinaryIO

import click

from divan_obs_asgi.cli import health_probe as asking
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.metrics.listing import FORMS
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.lines import MAX_LINE, redacted_lines
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.version import __version__

# A secret may have been cut at the end of what was read.
_UNSURE = 4096


class _Commands(click.Group):
    """The commands; two are imported when they are called: `probe` starts every few seconds, as a health check."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "assets", "check"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "assets":
            from divan_obs_asgi.ops_assets.command import assets

            return assets
        if cmd_name == "check":
            from divan_obs_asgi.checks.command import check_deployment

            return check_deployment
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands)
@click.version_option(__version__, package_name="divan-obs-asgi")
def main() -> None:
    """Observability for ASGI services, from the command line."""


@main.command()
@click.argument("file", type=click.File("rb"), default="-")
def redact(file: BinaryIO) -> None:
    """
    Print FILE (default: standard input) without its secrets.

    The policy is that of the OBS_REDACT_* flags, as in the service. Lines stay lines: JSON lines stay JSON.
    """
    policy = RedactionPolicy.from_settings(_settings().redaction)
    out = sys.stdout.buffer
    for line in redacted_lines(_lines(file), policy):
        out.write(line.encode("utf-8", "surrogateescape"))
    out.flush()


@main.group()
def metrics() -> None:
    """What the service counts and measures."""


@metrics.command("list")
@click.option("--format", "form", type=click.Choice(list(FORMS)), default="text", help="How the families are printed.")
def list_metrics(form: str) -> None:
    """
    Print every metric family with its type, labels and meaning.

    Their names begin as OBS_NAMESPACE says. What an application declares of its own is not among them.
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
    help="Seconds until there is no answer.",
)
def probe(url: str, timeout_s: float) -> None:
    """
    Ask a health endpoint once: divan-obs probe http://127.0.0.1:8000/health/ready

    The exit status is 0 where it answers with 200 to 299; 1 where it does not, and the reason is printed; 2 where the
    command is wrong. No proxy is asked, and no redirect followed.
    """
    if math.isnan(timeout_s):  # It is in every range, as click compares.
        raise click.BadParameter("expected a number of seconds", param_hint="--timeout")
    try:
        parts = asking.parse(url)
    except ValueError:
        raise click.BadParameter("expected a URL like http://127.0.0.1:8000/health/ready", param_hint="URL") from None
    verdict = asking.ask(parts, timeout_s)
    click.echo(verdict.told, err=not verdict.well)
    sys.exit(0 if verdict.well else 1)


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except ImproperlyConfigured as error:
        raise click.ClickException(str(error)) from None


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a file; of one that is too long the beginning, and what was left out."""
    while line := file.readline(MAX_LINE):
        left_out = 0
        rest = line
        while not rest.endswith(b"\n") and len(rest) == MAX_LINE:
            rest = file.readline(MAX_LINE)
            left_out += len(rest)
        text = line.decode("utf-8", "replace")
        yield f"{text[:-_UNSURE]}[cut:{left_out + _UNSURE} bytes]\n" if left_out else text


__all__ = ["main"]

if __name__ == "__main__":
    main()
