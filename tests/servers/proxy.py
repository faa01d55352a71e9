"""A TCP proxy that can be slow."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self


class Proxy:
    """Forwards a free port of 127.0.0.1 to another one; while it is slow, it delays each response."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._delay_s = 0.0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._forward(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            # It does not wait for open connections.
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Delay responses by `seconds` during the block."""
        self._delay_s = seconds
        try:
            yield
        finally:
            self._delay_s = 0.0

    def _forward(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._to)
        except OSError:
            return  # The connection of the client ends.
        with server:
            back = threading.Thread(target=self._copy, args=(server, client, True), daemon=True)
            back.start()
            self._copy(client, server, False)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self._delay_s:
                    time.sleep(self._delay_s)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
