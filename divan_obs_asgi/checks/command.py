"""`divan-obs check`: find mistakes of a deployment before it is deployed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace

import click

from divan_obs_asgi.checks.base import Check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.files import load_alertmanager, load_queries
from divan_obs_asgi.checks.finding import CannotCheck, Finding
from divan_obs_asgi.checks.registry import all_checks, run
from divan_obs_asgi.checks.reports import FORMS
from divan_obs_asgi.checks.target import loaded


@click.command("check")
@click.option("--deploy", is_flag=True, help="Also run the checks that only matter in production.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help="The application; it is imported from this folder, not served.")
@click.option("--factory", is_flag=True, help="--app names a function that returns the application.")
@click.option("--rules", multiple=True, metavar="FILE", help="A Prometheus rule file; may be repeated.")
@click.option("--dashboards", multiple=True, metavar="DIR", help="A folder of Grafana boards; may be repeated.")
@click.option("--alertmanager", metavar="FILE", help="Alertmanager's configuration.")
@click.option("--silence", multiple=True, metavar="ID=REASON", help="Silence a check, with a reason; may be repeated.")
@click.option(
    "--format", "form", type=click.Choice(list(FORMS)), default="text", show_default=True, help="The output format."
)
def check_deployment(
    deploy: bool,
    app: str | None,
    factory: bool,
    rules: tuple[str, ...],
    dashboards: tuple[str, ...],
    alertmanager: str | None,
    silence: tuple[str, ...],
    form: str,
) -> None:
    """
    Find mistakes of a deployment. Flags are read from the environment, as in the service.

    The exit status is 0 without errors, 1 with errors, and 2 if an input cannot be checked.
    """
    found: list[tuple[Check, Finding]] = []
    failure = None
    # The application may print when it is imported, and its log lines go to standard output.
    with redirect_stdout(sys.stderr):
        try:
            checks = all_checks()
            silenced = _silenced(silence, checks)
            deployment = Deployment.of(os.environ, deploy=deploy)
            found += run([one for one in checks if one.subject == "flags"], deployment)
            deployment = replace(
                deployment,
                queries=load_queries(rules, dashboards),
                alertmanager=None if alertmanager is None else (alertmanager, load_alertmanager(alertmanager)),
            )
            with nullcontext() if app is None else loaded(app, is_factory=factory) as target:
                others = [one for one in checks if one.subject != "flags"]
                found += run(others, replace(deployment, app=target))
        except CannotCheck as error:
            failure = error
    if failure is None or found:
        click.echo(FORMS[form](found, silenced), nl=False)
    if failure is not None:
        click.echo(f"Error: {failure}", err=True)
        sys.exit(2)
    # Log lines that the application writes at exit.
    sys.stdout = sys.stderr
    sys.exit(1 if any(one.level == "error" and one.id not in silenced for one, _ in found) else 0)


def _silenced(options: Iterable[str], checks: Iterable[Check]) -> dict[str, str]:
    known = {one.id for one in checks}
    silenced = {}
    for option in options:
        id, _, reason = option.partition("=")
        if id not in known:
            raise click.BadParameter(f"unknown check {id!r}", param_hint="--silence")
        if not reason.strip():
            raise click.BadParameter(f"expected a reason: {id}='it is behind a proxy'", param_hint="--silence")
        silenced[id] = reason.strip()
    return silenced


__all__ = ["check_deployment"]
