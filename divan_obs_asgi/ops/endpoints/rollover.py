"""GET and POST /ops/rollover: list the jobs of the service, and start one of them now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.headers import values
from divan_obs_asgi.jobs import RESULTS
from divan_obs_asgi.names import NAME_PATTERN
from divan_obs_asgi.observability.ops_endpoints import ERROR_SCHEMA, Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.bodies import read_json
from divan_obs_asgi.ops.endpoints.job_runs import JobRunner
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.idempotency import IdempotencyStore, IdempotentRequest
from divan_obs_asgi.ops.responses import RequestRefused, json_response

if TYPE_CHECKING:
    from divan_obs_asgi.jobs import Job
    from divan_obs_asgi.observability import Observability

# How long an operator waits, and an HTTP client with its default timeout; a longer run continues without the request.
PATIENCE_S = 4.0
RUNNING = "running"
# `curl --fail` fails if the job has failed.
_STATUS = {"ok": 200, "error": 500, "cancelled": 500, RUNNING: 202}
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")

_JOB: Schema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_BODY: Schema = {"type": ["object", "null"], "properties": {"job": _JOB}, "additionalProperties": False}
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


class RolloverEndpoint:
    """
    Starts a job in this process, unless it is running already, and waits a little for its end.

    The run does not depend on the request: it continues when the client leaves, and ends when the service shuts down.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs
        self._runner = JobRunner(obs.work)
        self._idempotency = IdempotencyStore()
        obs.background.add("rollover", self._runner.serve)

    def endpoints(self) -> Iterator[Endpoint]:
        jobs = {200: ResponseDescription("The jobs.", _JOBS)}
        responses = {
            200: ResponseDescription("The job has finished.", _RUN),
            202: ResponseDescription(f"The job is still running after {PATIENCE_S:g} s.", _RUN),
            404: ResponseDescription("There is no such job.", ERROR_SCHEMA),
            409: ResponseDescription("The job, or the request with this Idempotency-Key, is running.", ERROR_SCHEMA),
            500: ResponseDescription("The job has failed.", _RUN),
        }
        key: Schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
        yield Endpoint(
            "/ops/rollover",
            (
                Operation("GET", "The jobs that can be started.", self.describe, jobs),
                Operation("POST", "Start a job now, once.", self.start, responses, _BODY, {"Idempotency-Key": key}),
            ),
        )

    async def describe(self, request: Request) -> Response:
        jobs = [{"name": name, "running": self._job(name).running} for name in self._obs.jobs.names()]
        return json_response({"default": self._obs.settings.ops.rollover_job, "jobs": jobs})

    async def start(self, request: Request) -> Response:
        key = _key_of(request)
        name = self._job_name(await read_json(request))
        if key is None:
            return await self._run(name, IdempotentRequest(name))
        with self._idempotency.request(key, name) as known:
            return known.response or await self._run(name, known)

    async def _run(self, name: str, request: IdempotentRequest) -> Response:
        job = self._job(name)
        run = self._runner.admit(job)
        try:
            await self._runner.run(run, job, PATIENCE_S)
        finally:
            # Also if the request is cancelled: the run continues, and its key must not start a second one.
            result = run.result or RUNNING
            request.response = json_response({"job": name, "result": result}, _STATUS[result])
        return request.response

    def _job_name(self, content: object) -> str:
        if content is None:
            content = {}
        if not isinstance(content, dict) or content.keys() - {"job"}:
            raise RequestRefused(422, 'The body must be empty, or like {"job": "lb_snapshot"}.')
        name = content.get("job", self._obs.settings.ops.rollover_job)
        if not isinstance(name, str):
            raise RequestRefused(422, "job must be a name.")
        return name

    def _job(self, name: str) -> Job:
        job = self._obs.jobs.get(name)
        if job is None:
            raise RequestRefused(404, "There is no such job; GET /ops/rollover lists them.")
        return job


def _key_of(request: Request) -> bytes | None:
    keys = values(request.scope["headers"], b"idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise RequestRefused(400, "Send one Idempotency-Key of up to 255 visible ASCII characters.")
    return keys[0]


__all__ = ["RolloverEndpoint"]
