"""A test server that treats each connection as the test wants."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Listening:
    port: int
    #: The first bytes of each connection.
    received: list[bytes] = field(default_factory=list)


@contextmanager
def listening(answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[Listening]:
    """Listen at a free port of 127.0.0.1."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                stream = tls.wrap_socket(self.request, server_side=True) if tls else self.request
                heard.received.append(stream.recv(65536))
                answer(stream)
                stream.close()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        heard = Listening(server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield heard
        finally:
            server.shutdown()


def says(text: bytes) -> Callable[[socket.socket], None]:
    return lambda stream: stream.sendall(text)


def hangs(stream: socket.socket) -> None:
    """Wait until the client has closed the connection."""
    while stream.recv(65536):
        pass
