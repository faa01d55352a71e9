"""The library's part of the application's life, around the application's own."""

from __future__ import annotations

import anyio

from divan_obs_asgi.observability import Observability
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send

_ENDED = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})
_STARTED = frozenset({"lifespan.startup.complete", "lifespan.startup.failed"})
# Who does not end by then is left behind.
_PATIENCE_S = 3.0


async def run_lifespan(app: ASGIApp, obs: Observability, scope: Scope, receive: Receive, send: Send) -> None:
    """
    Forward `app`'s lifespan, and keep `obs` running from before its start to after its end.

    An application without lifespan raises before it has listened, or returns before it has answered (ASGI,
    "Lifespan Protocol"); then the protocol is spoken for it, so that probes start and stop all the same. One that
    listens and then raises could not start, and its server is to know.
    """
    answered = False
    startup_received = False
    failure: BaseException | None = None

    async def receive_and_note() -> Message:
        nonlocal startup_received
        message = await receive()
        startup_received = True
        return message

    async def send_and_note(message: Message) -> None:
        nonlocal answered
        answered = answered or message["type"] in _STARTED
        if message["type"] == "lifespan.startup.complete":
            # What was not there before the application started may be there now.
            obs.probes.recheck()
            obs.background.tell_started()
        if message["type"] in _ENDED:
            # A server may end the process as soon as it has heard this: uvicorn raises its signal again.
            with anyio.move_on_after(_PATIENCE_S):
                await stop()
            await obs.flush_in_thread()
        await send(message)

    async with obs.running() as stop:
        try:
            await app(scope, receive_and_note, send_and_note)
        except BaseException as error:
            # Kept and raised outside the task group, which would wrap it in an ExceptionGroup.
            failure = error
        if not answered and (failure is None or (isinstance(failure, Exception) and not startup_received)):
            await _speak_for_the_application(receive, send_and_note, startup_received)
            return
    if failure is not None:
        raise failure


async def _speak_for_the_application(receive: Receive, send: Send, startup_received: bool) -> None:
    if not startup_received:
        await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


__all__ = ["run_lifespan"]
