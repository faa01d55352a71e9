"""The command `divan-obs assets`: exports the files for the systems around a service into a folder."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.ops_assets.descriptions import description
from divan_obs_asgi.ops_assets.differences import differences
from divan_obs_asgi.ops_assets.errors import AssetsError
from divan_obs_asgi.ops_assets.export import export, manifest_of, selected
from divan_obs_asgi.ops_assets.files import exported, warnings
from divan_obs_asgi.ops_assets.folder import Folder
from divan_obs_asgi.ops_assets.manifest import NAME
from divan_obs_asgi.ops_assets.parameters import Parameters

_HELP = {
    "namespace": "Prefix of the metrics, as in OBS_NAMESPACE.",
    "job": "The service's scrape job in Prometheus.",
    "objective": "Percent of requests that must succeed, over 30 days.",
    "latency_objective": "Percent of requests that must be faster than the threshold, over 30 days.",
    "latency_threshold": "Threshold of a slow request in seconds; must be a bucket of the latency histogram.",
    "job_max_age": "Maximum age of a job's last success, in seconds.",
    "runbook_url": "URL of the folder with the runbooks.",
    "dashboard_url": "URL of Grafana's dashboards, to which the uid is appended.",
    "trace_url": "URL of a trace, with ${__value.raw} as the trace id. Empty: no links to traces.",
}


@click.group()
def assets() -> None:
    """Alert rules, dashboards, load tests and deployment files for the service's metrics."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for parameter in reversed(fields(Parameters)):
        default = parameter.default
        shown = f"{_HELP[parameter.name]} [default: {default}]" if default != "" else _HELP[parameter.name]
        name = f"--{parameter.name.replace('_', '-')}"
        # All values are read as text, so that an invalid number is reported in one line like every other error.
        metavar = "TEXT" if isinstance(default, str) else "NUMBER"
        command = click.option(name, parameter.name, metavar=metavar, help=shown)(command)
    only = click.option("--only", multiple=True, metavar="GLOB", help="Only files whose path matches. Repeatable.")
    return only(command)


def _with_error_lines(command: Callable[..., None]) -> Callable[..., None]:
    """Report each error in one line, and exit with status 2."""

    @functools.wraps(command)
    def reporting(*args: Any, **kwargs: Any) -> None:
        with _errors():
            command(*args, **kwargs)

    return reporting


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except AssetsError as error:
        _fail([str(error)])
    except ImproperlyConfigured as error:
        _fail([_as_option(line) for line in str(error).splitlines()])


def _fail(lines: list[str]) -> None:
    for line in lines:
        click.echo(f"Error: {line}", err=True)
    sys.exit(2)


def _as_option(line: str) -> str:
    name, _, rest = line.partition(" ")
    return f"--{name.replace('_', '-')} {rest}" if name in _HELP else line


@assets.command("export")
@click.argument("folder", metavar="DIR")
@_options
@_with_error_lines
def export_assets(folder: str, only: tuple[str, ...], **given: Any) -> None:
    """
    Write the files into DIR.

    Options that are not given are taken from the last export into DIR. Files that you changed are kept; the new version
    is written next to them as NAME.new.
    """
    place = _folder(folder)
    before = manifest_of(place)
    parameters = _parameters(given, before.parameters if before else Parameters())
    for sentence in warnings(parameters):
        click.echo(f"Warning: {sentence}", err=True)
    plan = export(place, parameters, only, before)
    for line in plan.messages:
        click.echo(line)
    click.echo(f"{plan.up_to_date} files are up to date.")


@assets.command("list")
@_options
@_with_error_lines
def list_assets(only: tuple[str, ...], **given: Any) -> None:
    """Print the path, the size in bytes and a description of each file."""
    texts = selected(exported(_parameters(given, Parameters())), only)
    width = max(map(len, texts))
    for path, text in texts.items():
        click.echo(f"{path:<{width}}  {len(text.encode()):>7}  {description(path)}")


@assets.command("diff")
@click.argument("folder", metavar="DIR")
@_with_error_lines
def diff_assets(folder: str) -> None:
    """
    Show what you changed in DIR since the export, and what an export with this version would change.

    The exit status is 0 without differences, 1 with differences and 2 after an error.
    """
    place = _folder(folder)
    before = manifest_of(place)
    if before is None:
        raise AssetsError(f"{folder} has no {NAME}. Run `divan-obs assets export {folder}` first.")
    found = [difference.written() for difference in differences(place, before)]
    for text in found:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
    sys.exit(1 if found else 0)


def _parameters(given: dict[str, str | None], before: Parameters) -> Parameters:
    values: dict[str, Any] = {}
    for parameter in fields(Parameters):
        text, kind = given[parameter.name], type(getattr(before, parameter.name))
        try:
            values[parameter.name] = getattr(before, parameter.name) if text is None else kind(text)
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            raise ImproperlyConfigured(f"{parameter.name} is {text!r}; expected {expected}.") from None
    return Parameters(**values)


def _folder(path: str) -> Folder:
    # An empty path, for example from an unset shell variable, would mean the working directory.
    if not path:
        raise AssetsError("DIR is empty; expected a folder.")
    return Folder(Path(path))


__all__ = ["assets"]
