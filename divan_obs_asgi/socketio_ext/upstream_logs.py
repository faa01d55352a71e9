"""Removes session ids, rooms and payloads from what python-socketio, Engine.IO and asyncio log."""

from __future__ import annotations

import base64
import logging
import re
import string
import weakref
from typing import Any

from divan_obs_asgi.logs.lines import HIDDEN_KEY
from divan_obs_asgi.logs.socketio_lines import REDUCED_KEY, reduced
from divan_obs_asgi.redaction.text import HIDDEN
from divan_obs_asgi.socketio_ext.names import UNKNOWN
from divan_obs_asgi.socketio_ext.server_metrics import COMPONENT

# asyncio logs exceptions of tasks that were never awaited, with their text.
_ASYNCIO = "asyncio"
# engineio.BaseServer.generate_id: 12 random bytes and a 3-byte number, in base64; an application may use other ids.
_ID = re.compile(r"[\w-]{8,128}")
# Characters of a text that are read, at its beginning and at its end.
_READ = 2048
_WORD_CHARACTERS = f"{string.ascii_letters}{string.digits}-_"
_RANDOM_BYTES, _OWN_LENGTH = 12, 20


class SessionFilter(logging.Filter):
    """
    Masks session ids in a server's log records, before any handler sees them. Every record passes.

    With a session id anybody can act as the client. It recognises the ids of connected clients, and all that this
    server has made: the number in such an id is at most the server's counter.
    """

    def __init__(self, server: Any, logger: logging.Logger) -> None:
        super().__init__()
        # The loggers belong to the process and live longer: this filter must not keep the server alive.
        self._server = weakref.ref(server)
        logger.addFilter(self)
        weakref.finalize(server, logger.removeFilter, self)

    def filter(self, record: logging.LogRecord) -> bool:
        server = self._server()
        if server is None:
            return True
        try:
            self._mask(record)
        except Exception as error:
            server.obs.faults.report(COMPONENT, error)
            record.msg, record.args, record.exc_info, record.exc_text = "[redacted:unreadable]", (), None, None
        return True

    def _mask(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and record.args:
            record.args = tuple(self._masked(value) if isinstance(value, str) else value for value in record.args)
        text = reduced(record, self._event, self._namespace)
        if text is None:
            message = record.getMessage()
            text = self._masked(message)
            if text != message:
                record.msg, record.args = text, ()
        else:
            record.msg, record.args = text, ()
            setattr(record, REDUCED_KEY, text)
        if record.exc_info and record.exc_info[1] is not None:
            self._mask_error(record, record.exc_info)

    def _event(self, namespace: Any, event: object) -> str:
        server = self._server()
        return server._names.event(namespace, event) if server is not None else UNKNOWN

    def _namespace(self, namespace: Any) -> str:
        server = self._server()
        return server._names.namespace(namespace) if server is not None else UNKNOWN

    def _mask_error(self, record: logging.LogRecord, exc_info: Any) -> None:
        whole = _formatter.formatException(exc_info)
        text = _bounded(whole)
        ids = self._ids_in(text)
        if ids or text is not whole:
            # The standard library's formatters use `exc_text`; our own lines use the ids.
            record.exc_text = self._masked(text)
            setattr(record, HIDDEN_KEY, ids)

    def _masked(self, text: str) -> str:
        text = _bounded(text)
        ids = self._ids_in(text)
        return _ID.sub(lambda found: HIDDEN if found[0] in ids else found[0], text) if ids else text

    def _ids_in(self, text: str) -> tuple[str, ...]:
        return tuple(word for word in set(_ID.findall(text)) if self._is_id(word))

    def _is_id(self, word: str) -> bool:
        server = self._server()
        if server is None:
            return False
        if word in server.eio.sockets or any(
            word in rooms.get(None, ()) for rooms in tuple(server.manager.rooms.values())
        ):
            return True
        return len(word) == _OWN_LENGTH and self._number_in(word) < server.eio.sequence_number

    def _number_in(self, word: str) -> int:
        try:
            return int.from_bytes(base64.urlsafe_b64decode(word)[_RANDOM_BYTES:])
        except ValueError:  # Not base64.
            return 1 << 24


_formatter = logging.Formatter()


def _bounded(text: str) -> str:
    """Cut the middle out of a text that is longer than any of Engine.IO's; never cuts a word in two."""
    if len(text) <= 2 * _READ:
        return text
    return f"{text[:_READ].rstrip(_WORD_CHARACTERS)}[cut:length]{text[-_READ:].lstrip(_WORD_CHARACTERS)}"


def mask_sessions(server: Any) -> None:
    """Mask the session ids of `server` in everything that is logged about it."""
    # `logger=` takes anything that logs: a LoggerAdapter, or an object of another library with a `name` of any type.
    named = [getattr(getattr(logger, "logger", logger), "name", "") for logger in (server.logger, server.eio.logger)]
    for name in sorted({_ASYNCIO, *(name for name in named if isinstance(name, str) and name)}):
        SessionFilter(server, logging.getLogger(name))


__all__ = ["SessionFilter", "mask_sessions"]
