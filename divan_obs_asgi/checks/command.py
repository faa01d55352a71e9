"""`divan-obs check`: what a deployment has got wrong, before it is deployed."""

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
@click.option("--deploy", is_flag=True, help="Also ask what matters only where the service serves in earnest.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help="The application, imported from this folder and not served.")
@click.option("--factory", is_flag=True, help="--app names a function that returns the application.")
@click.option("--rules", multiple=True, metavar="FILE", help="A rule file of Prometheus; may be repeated.")
@click.option("--dashboards", multiple=True, metavar="DIR", help="A folder of Grafana's boards; may be repeated.")
@click.option("--alertmanager", metavar="FILE", help="Alertmanager's configuration.")
@click.option("--silence", multiple=True, metavar="ID=REASON", help="Pass over a check, for a reason; may be repeated.")
@click.option(
    "--format", "form", type=click.Choice(list(FORMS)), default="text", show_default=True, help="How it is printed."
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
    Find what a deployment has got wrong. The flags are those of the environment, as in the service.

    The exit status is 0 if there is no error, 1 if there is one, 2 if something cannot be checked.
    """
    found: list[tuple[Check, Finding]] = []
    failure = None
    # The application may print, and has its lines written there when it is imported.
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
    # Lines of the application, which are written at its end.
    sys.stdout = sys.stderr
    sys.exit(1 if any(one.level == "error" and one.id not in silenced for one, _ in found) else 0)


def _silenced(options: Iterable[str], checks: Iterable[Check]) -> dict[str, str]:
    known = {one.id for one in checks}
    silenced = {}
    for option in options:
        id, _, reason = option.partition("=")
        if id not in known:
            raise click.BadParameter(f"there is no check {id!r}", param_hint="--silence")
        if not reason.strip():
            raise click.BadParameter(f"expected a reason: {id}='it is behind a proxy'", param_hint="--silence")
        silenced[id] = reason.strip()
    return silenced


__all__ = ["check_deployment"]
