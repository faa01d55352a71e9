"""A TCP load balancer in a thread: a connection goes to the first backend that accepts it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketStream, TaskStatus
from anyio.from_thread import start_blocking_portal

_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class Balancer:
    """Listens on a free port of 127.0.0.1, and passes connections on to another one."""

    def __init__(self, backends: Sequence[int]) -> None:
        self._backends = backends
        self._closing = ExitStack()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        portal = self._closing.enter_context(start_blocking_portal("asyncio"))
        serving, self.port = portal.start_task(self._serve)
        self._closing.callback(serving.cancel)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    async def _serve(self, *, task_status: TaskStatus[int]) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
            await listener.serve(self._pass_on)

    async def _pass_on(self, client: SocketStream) -> None:
        async with client:
            for port in self._backends:
                try:
                    backend = await anyio.connect_tcp("127.0.0.1", port)
                except OSError:
                    continue
                async with backend, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._copy, client, backend, tasks.cancel_scope)
                    tasks.start_soon(self._copy, backend, client, tasks.cancel_scope)
                return

    async def _copy(self, source: ByteReceiveStream, target: ByteSendStream, scope: anyio.CancelScope) -> None:
        try:
            while True:
                await target.send(await source.receive())
        except _BROKEN:
            # A connection that is closed on one side is closed on the other.
            scope.cancel()
