"""
Load tests of the reference backend, with the whole stack and without it: python -m benchmarks.load [--short]

Starts PostgreSQL, Redis and an OTLP receiver, then the backend with OBS_ENABLED=false and with everything on but the
console (every tenth trace is recorded), and runs the k6 scripts of divan_obs_asgi/ops_assets/k6 against each. Fails
where a threshold is not met; thresholds on latency are not judged while others use more than a quarter of the machine.
Everything that it starts ends with it.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from benchmarks.load.processor import Mark
from benchmarks.load.report import Run, table, verdicts
from benchmarks.load.scripts import SCRIPTS, Script, ScriptFailed, run
from benchmarks.load.stage import STACKS, BackendServer, Stage, StageMissing, staged


def measured(script: Script, stack: str, backend: BackendServer, short: bool) -> Run:
    """Run one script against a backend."""
    parameters = {**script.short, "JUDGE_LATENCY": 0} if short else {}
    mark, before_s = Mark.now(), backend.cpu_s()
    summary = run(script, backend.url, parameters)
    return Run(stack, summary, backend.cpu_s() - before_s, mark.others())


def all_runs(stage: Stage, scripts: list[Script], short: bool) -> list[Run]:
    """Run the scripts against each stack in turn; a short run is too short to compare them."""
    runs = []
    for stack in ("on",) if short else STACKS:
        spans_before = len(stage.receiver.spans())
        with stage.backend(stack) as backend:
            for script in scripts:
                click.echo(f"{script.name}, stack {stack}", err=True)
                runs.append(measured(script, stack, backend, short))
        spans = len(stage.receiver.spans()) - spans_before
        if (spans > 0) != (stack == "on"):
            raise ScriptFailed(f"Stack {stack}: the OTLP receiver got {spans} spans.")
    return runs


def interrupt(number: int, frame: FrameType | None) -> None:
    """End as with Ctrl-C."""
    raise KeyboardInterrupt


@click.command(help=__doc__)
@click.option(
    "--short", is_flag=True, help="20 users, 10 s each, with the stack; thresholds on errors and counts only."
)
@click.option("--only", type=click.Choice([script.name for script in SCRIPTS]), help="One script.")
def main(short: bool, only: str | None) -> None:
    signal.signal(signal.SIGTERM, interrupt)
    scripts = [script for script in SCRIPTS if only in (None, script.name)]
    try:
        with staged() as stage:
            runs = all_runs(stage, scripts, short)
    except (ScriptFailed, StageMissing) as failure:
        sys.exit(str(failure))
    failed, unjudged = verdicts(runs)
    click.echo("\n".join([table(runs), "", *unjudged, *failed] if unjudged or failed else [table(runs)]))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
