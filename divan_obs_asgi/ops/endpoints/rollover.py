"""GET and POST /ops/rollover: what jobs there are, and start one of them now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.headers import values
from divan_obs_asgi.jobs import RESULTS
from divan_obs_asgi.names import NAME_PATTERN
from divan_obs_asgi.ops.bodies import read_json
from divan_obs_asgi.ops.endpoint import REFUSAL, Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.endpoints.job_runs import Runs
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.idempotency import IdempotencyStore, Once
from divan_obs_asgi.ops.responses import Refused, json_answer

if TYPE_CHECKING:
    from divan_obs_asgi.jobs import Job
    from divan_obs_asgi.observability import Observability

# What an operator, and an HTTP client with its default timeout, wait for; a longer run goes on by itself.
PATIENCE_S = 4.0
RUNNING = "running"
# So that `curl --fail` fails where the job has.
_STATUS = {"ok": 200, "error": 500, "cancelled": 500, RUNNING: 202}
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")

_JOB: Schema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_WISH: Schema = {"type": ["object", "null"], "properties": {"job": _JOB}, "additionalProperties": False}
_RUN: Schema = {
    "type": "object",
    "properties": {"job": _JOB, "result": {"enum": [*RESULTS, RUNNING]}},
    "required": ["job", "result"],
    "additionalProperties": False,
}
_JOBS: Schema = {
    "type": "object",
    "properties": {
        "default": _JOB,
        "jobs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": _JOB, "running": {"type": "boolean"}},
                "required": ["name", "running"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["default", "jobs"],
    "additionalProperties": False,
}


class Rollover:
    """
    Starts a job of the service in this process, unless it runs already, and waits for its end a little while.

    It belongs to the application's life and not to the request: a client that leaves does not end it, a shutdown does.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs
        self._runs = Runs(obs.work)
        self._repeats = IdempotencyStore()
        obs.background.add("rollover", self._runs.serve)

    def endpoints(self) -> Iterator[Endpoint]:
        answers = {
            200: Content("The job has run.", _RUN),
            202: Content(f"It runs still, after {PATIENCE_S:g} s.", _RUN),
            404: Content("There is no such job.", REFUSAL),
            409: Content("It runs already, or the request with this Idempotency-Key does.", REFUSAL),
            500: Content("The job has failed.", _RUN),
        }
        key: Schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
        yield Endpoint(
            "/ops/rollover",
            (
                Operation("GET", "The jobs that can be started.", self.describe, {200: Content("The jobs.", _JOBS)}),
                Operation("POST", "Start a job now, once.", self.start, answers, _WISH, {"Idempotency-Key": key}),
            ),
        )

    async def describe(self, request: Request) -> Response:
        jobs = [{"name": name, "running": self._job(name).running} for name in self._obs.jobs.names()]
        return json_answer({"default": self._obs.settings.ops.rollover_job, "jobs": jobs})

    async def start(self, request: Request) -> Response:
        key = _key_of(request)
        name = self._wanted(await read_json(request))
        if key is None:
            return await self._run(name, Once(name))
        with self._repeats.once(key, name) as once:
            return once.answer or await self._run(name, once)

    async def _run(self, name: str, once: Once) -> Response:
        job = self._job(name)
        run = self._runs.admit(job)
        try:
            await self._runs.carry_out(run, job, PATIENCE_S)
        finally:
            # Also where the request is cancelled: what goes on without it is not begun a second time.
            result = run.result or RUNNING
            once.answer = json_answer({"job": name, "result": result}, _STATUS[result])
        return once.answer

    def _wanted(self, content: object) -> str:
        if content is None:
            content = {}
        if not isinstance(content, dict) or content.keys() - {"job"}:
            raise Refused(422, 'Expected nothing, or {"job": "lb_snapshot"}.')
        name = content.get("job", self._obs.settings.ops.rollover_job)
        if not isinstance(name, str):
            raise Refused(422, "job is no name.")
        return name

    def _job(self, name: str) -> Job:
        job = self._obs.jobs.get(name)
        if job is None:
            raise Refused(404, "There is no such job; GET /ops/rollover tells which there are.")
        return job


def _key_of(request: Request) -> bytes | None:
    keys = values(request.scope["headers"], b"idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise Refused(400, "Idempotency-Key is one of up to 255 visible characters.")
    return keys[0]


__all__ = ["Rollover"]
