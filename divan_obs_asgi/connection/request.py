"""The record of an HTTP request or a WebSocket: it reads the messages, and decides how the connection has ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter, time_ns
from typing import Any, Literal, TypeAlias

from divan_obs_asgi.connection import headers
from divan_obs_asgi.connection.app_errors import in_background, own_failure
from divan_obs_asgi.connection.close_codes import (
    NO_STATUS_RECEIVED,
    NORMAL_CLOSURE,
    REGULAR_CLOSES,
    close_code,
    has_server_error_status,
    is_server_error,
)
from divan_obs_asgi.connection.record import OperationNames, Record
from divan_obs_asgi.connection.routes import RECORD_KEY, ROUTE_KEY, UNMATCHED, RouteTemplates
from divan_obs_asgi.connection.timers import call_later
from divan_obs_asgi.internal_errors import InternalErrors, is_exit, is_foreign_cancellation
from divan_obs_asgi.types import Message, Outcome, Scope

# RFC 9110, section 9, and PATCH (RFC 5789). A client can invent any other method, so that one is never a label.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
OTHER_METHOD = "_OTHER"

# Larger integers are not exact in every JSON parser.
_MAX_STATUS = 1 << 53

# Seconds after a possible end of the response in which an exception still belongs to the response.
_DOUBT_S = 1.0

# An application may declare its routes; a longer one was built from data.
_MAX_ROUTE = 500

Finisher: TypeAlias = "Callable[[RequestRecord], object]"
Direction: TypeAlias = Literal["in", "out"]


class RequestRecord(Record):
    """
    One HTTP request or WebSocket connection, from the first middleware to its end.

    A `Channel` passes it every message between the application and its server. It is finished when the response has
    ended, or when the application has returned, raised or was cancelled before that; then every finisher is called
    once, the innermost middleware's first. When the call of the application has ended, the record drops the scope, the
    finishers and the exception (`release`). Ids, fields and figures stay, for tasks that outlive the call.

    Attributes:
        kind: "http" or "websocket".
        method: one of `METHODS`, or "_OTHER"; "GET" for a WebSocket handshake.
        route: the template (`/users/{id}`); "__unmatched__" until the end, and where no route matched.
        status: as it was sent. 0 where no response was started, or where the status is invalid. 101 for an accepted
            WebSocket. 500 where the application raised before it responded, as servers respond.
        duration_s: seconds to the end of the response, without background tasks.
        first_byte_s: seconds to the start of the response, or None.
        response_bytes: body bytes sent.
        close_code: of a WebSocket.
        messages_received, messages_sent: of a WebSocket.
        on_message: called with the record and "in" or "out" for each of these messages.
        disconnected: whether the client has left.
        error: the exception that made the outcome, or that was being handled when a 5xx response started.
        hang_up: the exception by which `send` reported that the client has gone. None again after `release`.
        housekeeping: a request for the service's own sake (health checks, scrapes). Where it succeeds, no finisher is
            called.
        waits: the request is answered when there is something to send, as Engine.IO's long polls are. It is in no
            latency, never slow, and not in flight. Set it while the request lasts, with a route where no framework has
            matched one: `record = scope.get(RECORD_KEY)`, and unless that is None `record.waits = True` and
            `record.declare_route("/socket.io")`.
        details: more fields of the log line, set by the library; they never hold what a client has sent.
        caller: the record of the request or event in which the application has made this request within the process;
            set while this request lasts.
        refusals: what a protocol server inside of the application, such as Engine.IO, has refused, by reason.
        matched: the match that a framework's adapter has noted, and how to name it; dropped with the scope.
    """

    # Most connections leave most of these as they are; a class attribute costs nothing per connection.
    route = UNMATCHED
    first_byte_s: float | None = None
    response_bytes = 0
    messages_received = 0
    messages_sent = 0
    on_message: Callable[[RequestRecord, Direction], None] | None = None
    disconnected = False
    details: dict[str, object] | None = None
    hidden: tuple[str, ...] = ()
    caller: Record | None = None
    refusals: dict[str, int] | None = None
    matched: tuple[Callable[[Any], str | None], object, bool] | None = None
    _trailers = False
    _closed_s: float | None = None
    _close_was_refused = False
    _in_doubt: Outcome | None = None
    _left_s: float | None = None
    _cancel_timer: Callable[[], object] | None = None
    _housekeeping = False
    _waits = False
    _leave: Callable[[], object] | None = None
    _header_index: dict[bytes, bytes] | None = None
    _more_headers: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(
        self,
        scope: Scope,
        routes: RouteTemplates,
        faults: InternalErrors,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        if clock is not perf_counter:
            self._clock = clock
        # Here and not in the parent: a call would cost as much as the clocks.
        self._started = clock()
        self.started_ns = time_ns()
        self._finishers = {}
        self._scope = scope
        self._routes = routes
        self._faults = faults
        self._headers: dict[bytes, bytes] = {}
        self.kind = scope["type"]
        method = scope.get("method", "GET")
        self.method = method if method in METHODS else OTHER_METHOD

    # What middlewares read and set.

    @property
    def request_headers(self) -> dict[bytes, bytes]:
        """The request's headers by name, built once; of several with one name the last."""
        if self._header_index is None:
            self._header_index = headers.by_name(self._scope.get("headers", ()))
        return self._header_index

    def set_header(self, name: bytes, value: bytes) -> None:
        """Set the response header `name` (lower case) to this one value, whatever the application sets."""
        self._headers[name] = value

    def append_header(self, name: bytes, value: bytes) -> None:
        """Add one more response header `name` (lower case); for headers that are lists."""
        self._more_headers += ((name, value),)

    def count_in_flight(self, leave: Callable[[], object]) -> Callable[[], None]:
        """Have `leave` called once: by the returned function, or earlier where this is housekeeping or waits."""
        self._leave = leave
        return self._leave_flight

    def _leave_flight(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    @property
    def housekeeping(self) -> bool:
        return self._housekeeping

    @housekeeping.setter
    def housekeeping(self, value: bool) -> None:
        self._housekeeping = value
        if value:
            self._leave_flight()

    @property
    def waits(self) -> bool:
        return self._waits

    @waits.setter
    def waits(self, value: bool) -> None:
        self._waits = value
        if value:
            self._leave_flight()

    @property
    def lingers(self) -> bool:
        return self._waits or self.kind == "websocket"

    def declare_route(self, route: str) -> None:
        """Declare which route this is; works also where the application was called with a copy of the scope."""
        self._scope[ROUTE_KEY] = route

    @property
    def operations(self) -> OperationNames:
        operations: OperationNames = self._routes.operations
        return operations

    def add_detail(self, name: str, value: object) -> None:
        self.details = {**(self.details or {}), name: value}

    def route_so_far(self) -> str:
        return self.route if self.outcome is not None else self._route()

    # How the connection ends.

    def release(self) -> None:
        """As in the parent; drops the scope, too."""
        # A server's `send` holds the scope, and the scope holds the record: a cycle for every request.
        if self._scope.get(RECORD_KEY) is self:
            del self._scope[RECORD_KEY]
        self._scope = {}
        Record.release(self)
        self.caller = None
        if self.matched is not None:
            self.matched = None
        if self.on_message is not None:
            self.on_message = None
        if self.hang_up is not None:
            self.hang_up = None

    def refuse(self, reason: str) -> None:
        """
        Note that a protocol server inside of the application, such as Engine.IO, has refused or dropped something.

        Args:
            reason: one of a closed set.
        """
        if self.outcome is not None:
            return
        if self.refusals is None:
            self.refusals = {}
            self.add_detail("refused", self.refusals)
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def hung_up(self, error: OSError | None = None) -> None:
        """Note that the client has gone, as `send` (ASGI 2.4), `receive` or the state of the server has shown."""
        if self._left_s is None:
            self._left_s = self._clock() - self._started
        self.disconnected = True
        if error is not None:
            self.hang_up = error

    @property
    def awaits_response(self) -> bool:
        """Whether it is an HTTP request that has not ended."""
        return self.kind == "http" and self.outcome is None and self._in_doubt is None

    def may_have_body(self) -> bool:
        """
        Return whether the request may have a body, as far as its headers say.

        An HTTP/1 request without either header has no body (RFC 9112, section 6.3); an HTTP/2 request may have one.
        """
        present = self.request_headers
        if b"transfer-encoding" in present:
            return True
        if b"content-length" in present:
            return present[b"content-length"] != b"0"
        return self.method not in ("GET", "HEAD") and not self._scope.get("http_version", "").startswith("1")

    def sent(self, kind: str, message: Message) -> None:
        """The application has sent a message."""
        after = _AFTER_SENDING.get(kind)
        if after is not None:
            try:
                after(self, message)
            except Exception as error:
                # An invalid message; the server decides what to do with it.
                self._faults.report("record", error)

    def received(self, message: Message) -> None:
        """The application has received a message."""
        kind = message["type"]
        if kind == "http.disconnect":
            self.hung_up()
        elif kind == "websocket.receive":
            self.messages_received += 1
            self._report_message("in")
        elif kind == "websocket.disconnect":
            self._client_closed(close_code(message, NO_STATUS_RECEIVED))

    def returned(self) -> None:
        """The application has returned."""
        if self.outcome is None:
            self._finish(self._in_doubt or (self._left() if self.disconnected else "incomplete"))

    def raised(self, error: BaseException) -> None:
        """The application has raised, or was cancelled."""
        if self.outcome is not None:
            return
        if self._in_doubt is not None:
            self._raised_in_doubt(error)
            return
        # After a client's close, the exception by which Starlette reports that close is not an error.
        if self._closed_s is None or own_failure(error, self.hang_up) is not None:
            self.error = error
        if self.disconnected:
            self._finish(self._left())
        elif not isinstance(error, Exception) and not is_foreign_cancellation(error):
            # asyncio.CancelledError, trio.Cancelled, GeneratorExit, KeyboardInterrupt: not the application's decision.
            self._finish("cancelled")
        elif self.status:
            self._finish("error_after_start")
        else:
            # Every ASGI server responds so.
            self.status = 500
            self._finish("error")

    def _raised_in_doubt(self, error: BaseException) -> None:
        """The application has raised after a message that ended its response, or a broken stream."""
        assert self._in_doubt is not None
        if own_failure(error, self.hang_up) is None or in_background(error):
            self._finish(self._in_doubt)
            return
        self.error = error
        self._finish("error_after_start")

    def failed_after_end(self, error: Exception, faults: InternalErrors) -> None:
        """Pass an exception raised after the end to each finisher whose object has a method `failed_after_end`."""
        for component, finisher in reversed(tuple(self._finishers.items())):
            report = getattr(getattr(finisher, "__self__", None), "failed_after_end", None)
            if report is None:
                continue
            try:
                report(self, error)
            except BaseException as another:
                if is_exit(another):
                    raise
                faults.report(component, another)

    # What the messages mean.

    def with_headers(self, message: Message) -> Message:
        """Return the start of the response, with the headers that middlewares have set."""
        if not self._headers and not self._more_headers:
            return message
        # Outside of the `try`: an exception of the application's own generator must reach the application.
        message = headers.with_lasting_headers(message)
        try:
            changed = headers.replaced(message.get("headers", ()), self._headers)
            changed.extend(self._more_headers)
            if self.kind == "http" and (b"origin" in self.request_headers or headers.allows_origin(changed)):
                # Scripts of another origin may read these. A middleware further out may allow the origin later; then
                # only the browser's `Origin` shows that it is needed.
                changed = headers.exposed(changed, (*self._headers, *dict(self._more_headers)))
            return {**message, "headers": changed}
        except Exception as error:
            # A malformed list of headers goes to the server as it is.
            self._faults.report("headers", error)
            return message

    def _response_started(self, message: Message) -> None:
        if self.disconnected or self._in_doubt is not None:
            return  # The client has left, so that no response starts: status stays 0.
        self.first_byte_s = self._clock() - self._started
        if message.get("trailers"):
            self._trailers = True
        status = message["status"]
        if type(status) is int and 0 <= status < 500:
            self.status = status
            return
        if type(status) is not int:
            status = self._number(status)
        self.status = status if abs(status) < _MAX_STATUS else 0
        if self.status >= 500:
            # A framework's error handler responds inside its `except` block, and raises the exception again when
            # this record is finished already.
            self.error = sys.exc_info()[1]

    def _number(self, status: Any) -> int:
        """Return a status that is not an int as the servers that accept it read it; 0 for an invalid one."""
        try:
            number = int(status)
        except (TypeError, ValueError, OverflowError) as error:
            self._faults.report("record", error)
            return 0
        if not isinstance(status, int):  # http.HTTPStatus is an int.
            self._faults.report("record", TypeError())
        return number

    def _body_sent(self, message: Message) -> None:
        if self._in_doubt is not None:
            return
        body = message.get("body")
        if body and not self.disconnected:
            self.response_bytes += len(body)
        if not message.get("more_body") and not self._trailers:
            if (not body or sys.exc_info()[1] is not None) and self._is_in_doubt():
                self._doubt()
            else:
                self._end_of_response()

    def _is_in_doubt(self) -> bool:
        """
        Return whether an end like this may be the end of a stream that broke.

        Starlette's `BaseHTTPMiddleware` (also made by `@app.middleware("http")`) ends the body of a broken stream with
        an empty message, and raises afterwards. Other middlewares end it in the block that handles the exception.
        """
        return self.kind == "http" and 0 < self.status < 500 and not self.disconnected

    def _doubt(self) -> None:
        """Stop the clock, and finish when the application has returned or raised, but after a second at the latest."""
        self._closed_s = self._clock() - self._started
        self._in_doubt = "ok"
        self._cancel_timer = call_later(_DOUBT_S, self._trust)
        if self._cancel_timer is None:
            self._trust()

    def _trust(self) -> None:
        if self._in_doubt is not None:
            self._finish(self._in_doubt)

    def _trailers_sent(self, message: Message) -> None:
        if not message.get("more_trailers"):
            self._end_of_response()

    def _path_sent(self, message: Message) -> None:
        if not self._trailers:
            self._end_of_response()

    def _copy_sent(self, message: Message) -> None:
        if not self.disconnected:
            self.response_bytes += message.get("count") or 0
        if not message.get("more_body") and not self._trailers:
            self._end_of_response()

    def _accepted(self, message: Message) -> None:
        if self.disconnected:
            return
        self.status = 101
        self.first_byte_s = self._clock() - self._started

    def message_sent(self) -> None:
        """The application has sent a WebSocket message."""
        if not self.disconnected:
            self.messages_sent += 1
            self._report_message("out")

    def _report_message(self, direction: Direction) -> None:
        if self.on_message is None:
            return
        try:
            self.on_message(self, direction)
        except BaseException as error:
            if is_exit(error):
                raise
            self._faults.report("record", error)

    def _server_closed(self, message: Message) -> None:
        if self.disconnected:
            return  # The client has left.
        if not self.status:
            # ASGI: a close before the accept is a 403 to the handshake.
            self.status = 403
            self._finish("ok")
            return
        self.close_code = code = close_code(message, NORMAL_CLOSURE)
        handled = sys.exc_info()[1]
        reports_error = handled is not None and has_server_error_status(code)
        if reports_error or is_server_error(code) or self._close_was_refused:
            if own_failure(handled, self.hang_up) is not None and not self._close_was_refused:
                self.error = handled
            self._finish("error")
        else:
            self._finish("ok")

    def close_refused(self, message: Message) -> None:
        """
        The server has refused to close a WebSocket with this code.

        daphne does: its WebSocket library accepts only 1000 and 3000 to 4999. The application may try another code.
        """
        if is_server_error(close_code(message, NORMAL_CLOSURE)):
            self._close_was_refused = True

    def _client_closed(self, code: int) -> None:
        self.disconnected = True
        if self.status == 101 and self._closed_s is None:
            # Only the duration ends here. The record waits for the application, whose exception it reports.
            self.close_code = code
            self._closed_s = self._clock() - self._started

    def _left(self) -> Outcome:
        """Return the outcome of a connection whose client has gone."""
        if self.close_code not in REGULAR_CLOSES:
            return "client_disconnect"
        return "ok" if self.error is None and not self._logged_failure() else "error_after_start"

    def _end_of_response(self) -> None:
        if self.disconnected:
            # A WebSocket that its client has closed has no response that could end.
            if self._closed_s is None:
                self._finish("client_disconnect")
        elif not self.status:
            self._finish("incomplete")  # A body without a start.
        else:
            self._finish("error" if self.status >= 500 else "ok")

    def _finish(self, outcome: Outcome) -> None:
        if self.outcome is not None:
            return
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None
        ended_s = self._left_s if outcome == "client_disconnect" and self._closed_s is None else self._closed_s
        self.duration_s = self._clock() - self._started if ended_s is None else ended_s
        if self.failure and outcome == "ok":
            outcome = "error"
        if self.held:
            outcome = self._with_logged_failure(outcome)
        if self.refusals and outcome == "ok":
            outcome = "refused"
        self.outcome = outcome
        if self._housekeeping and outcome == "ok" and self.status < 400:
            self.write_held()
            return
        if self.response_bytes and (self.method == "HEAD" or self.status in (204, 304)):
            # RFC 9110, section 6.4.1: these responses have no content, whatever the application has sent.
            self.response_bytes = 0
        self.route = self._route()
        self.call_finishers(self._faults)
        if self.held:
            self.write_held()

    def _with_logged_failure(self, outcome: Outcome) -> Outcome:
        """Return the outcome, and set the exception, where a framework has logged an exception and responded itself."""
        error = self._logged_failure()
        if error is not None and outcome == "ok" and self._is_closed_without_a_reason():
            outcome = "error"
        if self.error is None and outcome in ("error", "error_after_start", "incomplete"):
            self.error = error
        return outcome

    def _is_closed_without_a_reason(self) -> bool:
        """Return whether the application has closed a WebSocket normally; Quart does so after an exception."""
        return self.kind == "websocket" and self._closed_s is None and self.close_code in (None, NORMAL_CLOSURE)

    def _logged_failure(self) -> BaseException | None:
        """Return the last exception that a framework has logged, without those by which it refuses a request."""
        for line in reversed(self.held or ()):
            status = getattr(line.error, "status_code", 500)
            refuses = isinstance(status, int) and 400 <= status < 500
            if not refuses and own_failure(line.error, self.hang_up) is not None:
                return line.error
        return None

    def _route(self) -> str:
        try:
            route = self._routes.template(self._scope)[:_MAX_ROUTE]
            # Labels and lines are UTF-8, which has no lone surrogates.
            return route if route.isascii() else route.encode("utf-8", "replace").decode()
        except Exception as error:
            self._faults.report("routes", error)
            return UNMATCHED


_AFTER_SENDING: dict[str, Callable[[RequestRecord, Message], None]] = {
    "http.response.start": RequestRecord._response_started,
    "http.response.body": RequestRecord._body_sent,
    "http.response.trailers": RequestRecord._trailers_sent,
    "http.response.pathsend": RequestRecord._path_sent,
    "http.response.zerocopysend": RequestRecord._copy_sent,
    "websocket.accept": RequestRecord._accepted,
    "websocket.close": RequestRecord._server_closed,
    "websocket.http.response.start": RequestRecord._response_started,
    "websocket.http.response.body": RequestRecord._body_sent,
}

__all__ = ["METHODS", "OTHER_METHOD", "Direction", "Finisher", "RequestRecord"]
