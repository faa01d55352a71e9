"""GET and POST /ops/rollover, with jobs that end when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import orjson
import pytest
from starlette.responses import Response

import divan_obs_asgi as obs
from divan_obs_asgi.ops import idempotency as repeats
from divan_obs_asgi.ops.endpoints import rollover
from divan_obs_asgi.ops.idempotency import IdempotencyStore
from divan_obs_asgi.ops.responses import RequestRefused
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import ASGIApp, Message
from tests.ops.asking import application, ask, bearer, detail, operated, told
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, Observed, run_on


@pytest.fixture(autouse=True)
def _a_busy_machine_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollover, "PATIENCE_S", 30.0)


class Snapshot:
    """A job that waits for the test."""

    def __init__(self, observed: Observed, name: str = "lb_snapshot") -> None:
        self.runs = 0
        self.ends: anyio.Event | None = None
        observed.obs.jobs.register(name, self.run)

    async def run(self) -> None:
        self.runs += 1
        if self.ends is not None:
            await self.ends.wait()


async def post(stack: ASGIApp, body: object = b"", key: str | None = None) -> Conversation:
    headers = [bearer()] if key is None else [bearer(), (b"idempotency-key", key.encode())]
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    incoming: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    return await converse(stack, http_scope("/ops/rollover", method="POST", headers=headers), incoming)


def answered(done: Conversation) -> tuple[int | None, Any]:
    return done.status, orjson.loads(done.body)


def living(observed: Observed, live: Callable[[ASGIApp], Awaitable[None]], backend: str = "asyncio") -> None:
    """Run a test within the life of an application."""

    async def main() -> None:
        stack = obs.build_stack(application, observed.obs)
        with anyio.fail_after(PATIENCE_S):
            async with observed.obs.running():
                await anyio.wait_all_tasks_blocked()
                await live(stack)

    run_on(backend, main)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("body", [b"", {}, {"job": "lb_snapshot"}], ids=str)
def test_a_job_is_started_once(body: object, backend: str) -> None:
    """The one that is named, or the one that is the default; the answer comes when it has ended."""
    observed = operated()
    snapshot = Snapshot(observed)

    async def live(stack: ASGIApp) -> None:
        assert answered(await post(stack, body)) == (200, {"job": "lb_snapshot", "result": "ok"})

    living(observed, live, backend)
    assert snapshot.runs == 1
    assert observed.value("divan_jobs_runs_total", name="lb_snapshot", result="ok") == 1


def test_the_default_is_a_flag() -> None:
    """Another service has another job."""
    observed = operated({"OBS_ROLLOVER_JOB": "nightly"})
    snapshot = Snapshot(observed, "nightly")
    assert ask(observed, "/ops/rollover", bearer(), method="POST").status == 200
    assert snapshot.runs == 1


def test_a_server_without_lifespan_runs_it_too() -> None:
    """In the request itself; then whoever asks waits for its end."""
    observed = operated()
    snapshot = Snapshot(observed)
    assert ask(observed, "/ops/rollover", bearer(), method="POST").status == 200
    assert snapshot.runs == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_start_while_it_runs_is_a_conflict(backend: str) -> None:
    """Whether an operator has started it or the service itself; afterwards it can be started again."""
    observed = operated()
    snapshot = Snapshot(observed)

    async def live(stack: ASGIApp) -> None:
        snapshot.ends = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(post, stack)
            await anyio.wait_all_tasks_blocked()
            assert answered(await post(stack)) == (409, {"detail": "This job is running already."})
            snapshot.ends.set()
        assert (await post(stack)).status == 200
        job = observed.obs.jobs.get("lb_snapshot")
        assert job is not None
        snapshot.ends = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(job.run)
            await anyio.wait_all_tasks_blocked()
            assert (await post(stack)).status == 409
            snapshot.ends.set()

    living(observed, live, backend)
    assert snapshot.runs == 3


def test_of_many_that_start_it_at_once_one_does() -> None:
    """There is no moment between asking whether it runs and starting it."""
    observed = operated()
    snapshot = Snapshot(observed)
    statuses: list[int | None] = []

    async def live(stack: ASGIApp) -> None:
        snapshot.ends = anyio.Event()

        async def start() -> None:
            statuses.append((await post(stack)).status)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(start)
            await anyio.wait_all_tasks_blocked()
            snapshot.ends.set()

    living(observed, live)
    assert (snapshot.runs, sorted(map(str, statuses))) == (1, ["200", *["409"] * 19])


def test_a_long_run_is_accepted_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """202 after a while; what runs can be asked for, and it ends when it ends."""
    monkeypatch.setattr(rollover, "PATIENCE_S", 0.02)
    observed = operated()
    snapshot = Snapshot(observed)

    async def live(stack: ASGIApp) -> None:
        snapshot.ends = anyio.Event()
        assert answered(await post(stack)) == (202, {"job": "lb_snapshot", "result": "running"})
        asked = await converse(stack, http_scope("/ops/rollover", headers=[bearer()]))
        assert answered(asked) == (
            200,
            {"default": "lb_snapshot", "jobs": [{"name": "lb_snapshot", "running": True}]},
        )
        snapshot.ends.set()
        await anyio.wait_all_tasks_blocked()

    living(observed, live)
    assert observed.value("divan_jobs_runs_total", name="lb_snapshot", result="ok") == 1


def test_a_shutdown_ends_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted as cancelled, and nothing is left behind."""
    monkeypatch.setattr(rollover, "PATIENCE_S", 0.02)
    observed = operated()
    snapshot = Snapshot(observed)

    async def live(stack: ASGIApp) -> None:
        snapshot.ends = anyio.Event()
        assert (await post(stack)).status == 202

    living(observed, live)
    assert observed.value("divan_jobs_runs_total", name="lb_snapshot", result="cancelled") == 1


def test_a_job_that_fails_is_told_as_failed() -> None:
    """So that `curl --fail` fails; what it raised is in the log, and not in the answer."""
    observed = operated()

    @observed.obs.job("lb_snapshot")
    async def broken() -> None:
        raise RuntimeError("on purpose")

    done = ask(observed, "/ops/rollover", bearer(), method="POST")
    assert answered(done) == (500, {"job": "lb_snapshot", "result": "error"})
    assert done.error is None


def test_a_job_that_waits_for_what_was_cancelled_takes_no_other_along() -> None:
    """It has been cancelled itself, as far as anybody can tell; other runs, and those after it, are what they were."""
    observed = operated()
    snapshot = Snapshot(observed)

    @observed.obs.job("cancelled")
    async def waits() -> None:
        other = asyncio.create_task(anyio.sleep_forever())
        await anyio.lowlevel.checkpoint()
        other.cancel()
        await other

    async def live(stack: ASGIApp) -> None:
        snapshot.ends = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(post, stack)
            await anyio.wait_all_tasks_blocked()
            assert answered(await post(stack, {"job": "cancelled"})) == (
                500,
                {"job": "cancelled", "result": "cancelled"},
            )
            await anyio.wait_all_tasks_blocked()
            assert observed.value("divan_jobs_running", name="lb_snapshot") == 1
            snapshot.ends.set()

    living(observed, live)
    assert observed.value("divan_jobs_runs_total", name="lb_snapshot", result="ok") == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"job": "nothing"}, 404),
        ({"job": ""}, 404),
        ({"job": None}, 422),
        ({"job": ["lb_snapshot"]}, 422),
        ({"job": "lb_snapshot", "force": True}, 422),
        ([], 422),
        (b"null", 200),
        (b"nonsense", 400),
        (b"[" * 5000, 400),
        (b" " * (64 * 1024) + b"{}", 413),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_meant_starts_nothing(body: object, status: int) -> None:
    """The answer says what was expected."""
    observed = operated()
    snapshot = Snapshot(observed)
    done = ask(observed, "/ops/rollover", bearer(), method="POST", body=body)
    assert done.status == status
    assert snapshot.runs == (1 if status == 200 else 0)


def test_there_is_nothing_to_start_where_there_is_no_job() -> None:
    """And the answer says where to look."""
    observed = operated()
    assert detail(ask(observed, "/ops/rollover", bearer(), method="POST")) == (
        404,
        "There is no such job; GET /ops/rollover lists them.",
    )
    assert told(observed, "/ops/rollover") == {"default": "lb_snapshot", "jobs": []}


def test_a_repeated_request_gets_the_first_answer() -> None:
    """Whoever has not heard it asks again under its key, and nothing is done twice."""
    observed = operated()
    snapshot = Snapshot(observed)

    async def live(stack: ASGIApp) -> None:
        first, second = [await post(stack, key="rollover-of-today") for _ in range(2)]
        assert (first.status, first.body) == (second.status, second.body) == (200, first.body)
        assert snapshot.runs == 1
        assert (await post(stack, key="rollover-of-tomorrow")).status == 200
        assert (await post(stack)).status == 200
        assert snapshot.runs == 3

    living(observed, live)


def test_a_key_is_one_requests() -> None:
    """Under the key of another one, it is refused; while the first is not answered, it is a conflict."""
    observed = operated()
    snapshot = Snapshot(observed)
    Snapshot(observed, "another")

    async def live(stack: ASGIApp) -> None:
        snapshot.ends = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(post, stack, b"", "key")
            await anyio.wait_all_tasks_blocked()
            assert (await post(stack, key="key")).status == 409
            snapshot.ends.set()
        done = await post(stack, {"job": "another"}, "key")
        assert answered(done) == (422, {"detail": "This Idempotency-Key was sent with another request."})
        assert (await post(stack, key="key")).status == 200

    living(observed, live)
    assert snapshot.runs == 1


def test_a_request_that_is_cancelled_has_used_its_key() -> None:
    """A timeout in front of us ends the request and not the job: who repeats it starts no second one."""
    observed = operated()
    snapshot = Snapshot(observed)

    async def live(stack: ASGIApp) -> None:
        snapshot.ends = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(post, stack, b"", "key")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert (await post(stack)).status == 409
        snapshot.ends.set()
        await anyio.wait_all_tasks_blocked()
        assert answered(await post(stack, key="key")) == (202, {"job": "lb_snapshot", "result": "running"})

    living(observed, live)
    assert snapshot.runs == 1
    assert observed.value("divan_jobs_runs_total", name="lb_snapshot", result="ok") == 1


def test_a_refused_request_does_not_use_its_key_up() -> None:
    """It has done nothing: it may be sent again when it can be granted."""
    observed = operated()

    async def live(stack: ASGIApp) -> None:
        assert (await post(stack, key="key")).status == 404
        snapshot = Snapshot(observed)
        assert (await post(stack, key="key")).status == 200
        assert snapshot.runs == 1

    living(observed, live)


@pytest.mark.parametrize("key", [b"", b"a b", "schlüssel".encode(), b"k" * 256, b"\x00"])
def test_a_bad_key_is_refused(key: bytes) -> None:
    """As are two of them."""
    observed = operated()
    snapshot = Snapshot(observed)
    name = b"idempotency-key"
    assert ask(observed, "/ops/rollover", bearer(), (name, key), method="POST").status == 400
    assert ask(observed, "/ops/rollover", bearer(), (name, b"a"), (name, b"a"), method="POST").status == 400
    assert snapshot.runs == 0


def test_answers_are_kept_for_a_day_and_not_without_end() -> None:
    """The oldest go first."""
    now = [0.0]
    store = IdempotencyStore(lambda: now[0])

    def first_answer(key: bytes) -> Response | None:
        with store.request(key, "the same") as request:
            known = request.response
            request.response = request.response or Response()
        return known

    for number in range(1000):
        assert first_answer(str(number).encode()) is None
    assert len(store) == repeats.MAX_KEYS
    assert first_answer(b"999") is not None
    assert first_answer(b"0") is None
    now[0] += repeats.TTL_S
    assert first_answer(b"999") is None
    assert len(store) == 1
    with pytest.raises(RequestRefused), store.request(b"999", "another"):
        pass
