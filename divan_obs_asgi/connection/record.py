"""The one record of a connection: its only clock, and the only judge of how it ended."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from divan_obs_asgi.connection import headers
from divan_obs_asgi.connection.app_errors import in_background, own_failure
from divan_obs_asgi.connection.routes import RECORD_KEY, ROUTE_KEY, UNMATCHED, RouteTemplates
from divan_obs_asgi.connection.timers import call_later
from divan_obs_asgi.internal_errors import InternalErrors, is_exit, is_foreign_cancellation
from divan_obs_asgi.types import ConnectionKind, Message, Outcome, Scope

# The context in which a connection began, where `ContextMiddleware` has noted it.
CONTEXT_KEY = "divan_obs_asgi.context"

# RFC 9110, section 9, and PATCH (RFC 5789). Anything else is a client's invention and no label.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
OTHER_METHOD = "_OTHER"

# RFC 6455, section 7.4.1: normal closure, going away, no status received. All else is an accident.
# And 1012, service restart: so uvicorn tells of every connection that is open when it ends; nobody's client has left.
_WEBSOCKET_GOODBYES = frozenset({1000, 1001, 1005, 1012})
_NORMAL_CLOSURE = 1000
_NO_STATUS_RECEIVED = 1005
_MAX_CLOSE_CODE = 0xFFFF
# Codes from here on say that the server itself failed (1011 internal error, 1012 restart, 1013 try later).
_WEBSOCKET_SERVER_ERRORS = range(1011, 1015)
# A status of HTTP in the last three digits: Falcon closes with 3500, Litestar and graphql-transport-ws with 4500. An
# application may mean anything by these codes: they are errors only while an exception is handled.
_HTTP_STATUS_IN_CODE, _FIRST_PRIVATE_CODE = 1000, 3000

# W3C Trace Context, level 2, section 3.2.2.5.
_SAMPLED, _RANDOM = 0x01, 0x02

# What is no number in every JSON.
_TOO_LONG = 1 << 53

# Seconds after an end in doubt in which an exception still belongs to the response.
_DOUBT_S = 1.0

# An application may declare its routes; what is longer was made of something else.
_MAX_ROUTE = 500

Finisher: TypeAlias = "Callable[[RequestRecord], None]"
Direction: TypeAlias = Literal["in", "out"]

current_record: ContextVar[RequestRecord | None] = ContextVar("divan_obs_asgi.current_record", default=None)


class OperationNames(Protocol):
    """What may be said of a connection beyond its route (`connection.operations`)."""

    def name(self, record: RequestRecord, name: object) -> None:
        """Note which operation it is."""

    def fail(self, record: RequestRecord, reason: object) -> None:
        """Note that it failed."""


class HeldLine(NamedTuple):
    """
    What a framework has logged about a failure of the connection, until it is known whether the connection's own line
    says the same.

    Attributes:
        error: the exception, if there is one.
        write: writes the line.
        since: seconds, monotonic.
    """

    error: BaseException | None
    write: Callable[[], object]
    since: float


class RequestRecord:
    """
    One HTTP request or WebSocket connection, from the first middleware to its end.

    A `Channel` tells it what the application and its server say to each other. When the response has ended, or when
    the application returned, raised or was cancelled before that, every finisher is called once, with the finished
    record, the innermost middleware's first. When the call of the application has ended, the record lets go of the
    scope, the finishers and the exception (`release`): ids, fields and figures stay for what outlives the call.

    Attributes:
        kind: "http" or "websocket".
        method: one of `METHODS`, or "_OTHER"; "GET" for a WebSocket handshake.
        route: the template (`/users/{id}`); "__unmatched__" until the end, and where no route matched.
        status: as it was sent; 0 where no response was started, or with what is no status. 101 for an accepted
            WebSocket. An application that raises before it answers gives 500, as servers do.
        outcome: None until the record is finished.
        started_ns: Unix time in nanoseconds.
        duration_s: seconds to the end of the response; background tasks are not in it.
        first_byte_s: seconds to the start of the response, or None.
        response_bytes: body bytes that left.
        close_code: of a WebSocket.
        messages_received, messages_sent: of a WebSocket.
        on_message: called with the record and "in" or "out" for each of these.
        error: the exception that made the outcome, or that was being handled when a 5xx answer started; None again
            when the call of the application has ended, as is `hang_up`.
        hang_up: what `send` raised to say that the client has gone.
        request_id, trace_id, span_id: lower-case hex or text; empty where nobody assigned one.
        sampled: whether the trace is recorded; None without tracing.
        random_trace: whether the trace's id is random, as far as the one says who made it.
        trace_flags: both, as W3C Trace Context has them.
        fields: business fields for the log line, bound by the application.
        housekeeping: asked for the service's own sake (health, metrics): no finisher is called where it succeeds.
        waits: answered when there is something to tell, as Engine.IO's long polling is: how long it takes is in no
            latency and nothing slow, and it is not in flight. Whoever knows it says so while the request lasts, with a
            route where no framework has matched one: `record = scope.get(RECORD_KEY)`, and where that is not None
            `record.waits = True` and `record.declare_route("/socket.io")`.
        details: what else the line tells, as it is; the library's own, and nothing that a client has sent.
        caller: the record of the request that has made this one within the process, while this one lasts.
        matched: what an adapter of `routes` has noted: how the route is named, and what by; gone with the call.
        operation, failure: which operation of the route it was, and why it failed, where the application has said so:
            of closed sets (`divan_obs_asgi.operation`, `divan_obs_asgi.fail`), else empty.
        hidden: ids that are credentials, and stand in no line of this connection.
        held: lines of a framework about failures, in their order. Those that the connection's own line does not say are
            written at its end.
        is_reported: whether the connection's own line has told of `error`.
        log_rate, kept_lines, late_lines: what the logs have decided, kept and, after the end, told of this connection.
    """

    # Most connections leave most of these as they are; what is not assigned costs nothing.
    route = UNMATCHED
    status = 0
    outcome: Outcome | None = None
    duration_s = 0.0
    first_byte_s: float | None = None
    response_bytes = 0
    close_code: int | None = None
    messages_received = 0
    messages_sent = 0
    on_message: Callable[[RequestRecord, Direction], None] | None = None
    disconnected = False
    error: BaseException | None = None
    hang_up: OSError | None = None
    request_id = ""
    trace_id = ""
    span_id = ""
    sampled: bool | None = None
    random_trace = True
    span: Any = None
    fields: dict[str, object] | None = None
    log_rate: float | None = None
    kept_lines: Any = None
    late_lines = 0
    held: list[HeldLine] | None = None
    is_reported = False
    details: dict[str, object] | None = None
    caller: RequestRecord | None = None
    matched: tuple[Callable[[Any], str | None], object, bool] | None = None
    hidden: tuple[str, ...] = ()
    operation = ""
    failure = ""
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
        self._clock = clock
        self._started = clock()
        self.started_ns = time_ns()
        self._scope = scope
        self._routes = routes
        self._faults = faults
        self._headers: dict[bytes, bytes] = {}
        self._finishers: dict[str, Finisher] = {}
        self.kind: ConnectionKind = scope["type"]
        method = scope.get("method", "GET")
        self.method: str = method if method in METHODS else OTHER_METHOD

    # What middlewares read and add.

    @property
    def trace_flags(self) -> int:
        return (_SAMPLED if self.sampled else 0) | (_RANDOM if self.random_trace else 0)

    @property
    def request_headers(self) -> dict[bytes, bytes]:
        """The request's headers by name, made once; of several with one name the last."""
        if self._header_index is None:
            self._header_index = headers.by_name(self._scope.get("headers", ()))
        return self._header_index

    def set_header(self, name: bytes, value: bytes) -> None:
        """Have the response carry `name` (lower case) once, with this value, whatever the application sets."""
        self._headers[name] = value

    def append_header(self, name: bytes, value: bytes) -> None:
        """Have the response carry one more `name` (lower case): for headers that are lists."""
        self._more_headers += ((name, value),)

    def add_finisher(self, component: str, finisher: Finisher) -> bool:
        """
        Have `finisher` called once at the end; of two for one component (a nested stack) the outer one counts.

        Returns:
            whether it is this one that counts.
        """
        return self._finishers.setdefault(component, finisher) is finisher

    def count_in_flight(self, leave: Callable[[], object]) -> Callable[[], None]:
        """Have `leave` called once: by what is returned, or before that, where this is no traffic or waits."""
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
        """Whether it may last as long as it likes, and is not slow: a WebSocket, or a request that waits."""
        return self._waits or self.kind == "websocket"

    def declare_route(self, route: str) -> None:
        """Say which route this is; also where the application was called with a copy of the scope."""
        self._scope[ROUTE_KEY] = route

    @property
    def operations(self) -> OperationNames:
        """What the application may say of it."""
        operations: OperationNames = self._routes.operations
        return operations

    def add_detail(self, name: str, value: object) -> None:
        """Have the line say `name`: something of the library's own, and nothing that a client has sent."""
        self.details = {**(self.details or {}), name: value}

    def bind(self, **fields: object) -> None:
        """Add business fields to the log line of this connection."""
        if self.fields is None:
            self.fields = fields
        else:
            self.fields.update(fields)

    def route_so_far(self) -> str:
        """Return the route as far as it is known while the connection lasts."""
        return self.route if self.outcome is not None else self._route()

    def hold(self, line: HeldLine) -> None:
        """Keep a line of a framework until the end; may be called by any thread."""
        held: list[HeldLine] = vars(self).setdefault("held", [])
        held.append(line)
        if self.outcome is not None:
            # Another thread has just ended it.
            self.write_held()

    def write_held(self, until: float = math.inf) -> None:
        """Write the lines that are held since before `until`, each once."""
        # A copy: another thread may take lines away.
        for line in tuple(self.held or ()):
            if line.since < until and self.take_held(line):
                line.write()

    def take_held(self, line: HeldLine) -> bool:
        """Let go of a line; return whether it was still here."""
        try:
            self.held.remove(line)  # type: ignore[union-attr]
        except ValueError:
            return False
        return True

    # How the connection ends.

    def release(self) -> None:
        """
        Let go of what may hold the record, when the call of the application has ended.

        A server's `send` holds the scope, the scope holds the record, and the traceback of an exception holds frames
        that do: each of them would be a cycle for every request, which only the garbage collector can free.
        """
        if self._scope.get(RECORD_KEY) is self:
            del self._scope[RECORD_KEY]
        self._scope = {}
        self._finishers.clear()
        self.caller = None
        if self.matched is not None:
            self.matched = None
        if self.on_message is not None:
            self.on_message = None
        if self.error is not None:
            self.error = None
        if self.hang_up is not None:
            self.hang_up = None

    def hung_up(self, error: OSError | None = None) -> None:
        """The server says that the client has gone: by what `send` has raised (ASGI 2.4), or by its own state."""
        if self._left_s is None:
            self._left_s = self._clock() - self._started
        self.disconnected = True
        if error is not None:
            self.hang_up = error

    @property
    def awaits_response(self) -> bool:
        """Whether it is a request whose client could still leave before the end."""
        return self.kind == "http" and self.outcome is None and self._in_doubt is None

    def may_have_body(self) -> bool:
        """
        Return whether the request may have a body, as far as its headers say.

        One of HTTP/1 has none without either header (RFC 9112, section 6.3); one of HTTP/2 may go without both.
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
                # A message that is none; what its server makes of it is not for an observer to decide.
                self._faults.report("record", error)

    def received(self, message: Message) -> None:
        """The application has received a message."""
        kind = message["type"]
        if kind == "http.disconnect":
            self.hung_up()
        elif kind == "websocket.receive":
            self.messages_received += 1
            self._tell_of_message("in")
        elif kind == "websocket.disconnect":
            self._client_closed(_close_code(message, _NO_STATUS_RECEIVED))

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
        # After a client's close, how Starlette tells of it is no news.
        if self._closed_s is None or own_failure(error, self.hang_up) is not None:
            self.error = error
        if self.disconnected:
            self._finish(self._left())
        elif not isinstance(error, Exception) and not is_foreign_cancellation(error):
            # asyncio.CancelledError, trio.Cancelled, GeneratorExit, KeyboardInterrupt: somebody else's decision.
            self._finish("cancelled")
        elif self.status:
            self._finish("error_after_start")
        else:
            # What every ASGI server answers for it.
            self.status = 500
            self._finish("error")

    def _raised_in_doubt(self, error: BaseException) -> None:
        """The application has raised right after what may have been the end of its response, or of a broken one."""
        assert self._in_doubt is not None
        if own_failure(error, self.hang_up) is None or in_background(error):
            self._finish(self._in_doubt)
            return
        self.error = error
        self._finish("error_after_start")

    def failed_after_end(self, error: Exception, faults: InternalErrors) -> None:
        """Report what was raised after the end to the finishers; those that are methods of something that asks."""
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
        """Return the start of the response with the headers that middlewares have set."""
        if not self._headers and not self._more_headers:
            return message
        # Outside of the `try`: what an application's generator raises is the application's.
        message = headers.with_lasting_headers(message)
        try:
            changed = headers.replaced(message.get("headers", ()), self._headers)
            changed.extend(self._more_headers)
            if self.kind == "http" and (b"origin" in self.request_headers or headers.allows_origin(changed)):
                # What a script of another origin may read. A middleware further out allows it later, and then the
                # browser's `Origin` is all there is.
                changed = headers.exposed(changed, (*self._headers, *dict(self._more_headers)))
            return {**message, "headers": changed}
        except Exception as error:
            # A malformed list of headers is between the application and its server.
            self._faults.report("headers", error)
            return message

    def _response_started(self, message: Message) -> None:
        if self.disconnected or self._in_doubt is not None:
            return  # Nobody is there to be answered: status stays 0.
        self.first_byte_s = self._clock() - self._started
        if message.get("trailers"):
            self._trailers = True
        status = message["status"]
        if type(status) is int and 0 <= status < 500:
            self.status = status
            return
        if type(status) is not int:
            status = self._number(status)
        self.status = status if abs(status) < _TOO_LONG else 0
        if self.status >= 500:
            # A framework's error handler answers from inside its `except` block and re-raises later, when this
            # record is finished already.
            self.error = sys.exc_info()[1]

    def _number(self, status: Any) -> int:
        """Return what the servers make of a status that is no number, which some send and others refuse; 0 for none."""
        try:
            number = int(status)
        except (TypeError, ValueError, OverflowError) as error:
            self._faults.report("record", error)
            return 0
        if not isinstance(status, int):  # http.HTTPStatus is one.
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
        Return whether such an end may be that of a response which broke off.

        Starlette's `BaseHTTPMiddleware`, which `@app.middleware("http")` makes, ends the body of a broken stream in
        order, by an empty message, and raises afterwards; others end it in the block that handles the exception.
        """
        return self.kind == "http" and 0 < self.status < 500 and not self.disconnected

    def _doubt(self) -> None:
        """Stop the clock, and finish when the application has returned or raised; or in a second, as if it had."""
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

    def _websocket_sent(self, message: Message) -> None:
        if self.disconnected:
            return
        self.messages_sent += 1
        self._tell_of_message("out")

    def _tell_of_message(self, direction: Direction) -> None:
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
            return  # Nobody hears it.
        if not self.status:
            # ASGI: a close before the accept is a 403 to the handshake.
            self.status = 403
            self._finish("ok")
            return
        self.close_code = code = _close_code(message, _NORMAL_CLOSURE)
        handled = sys.exc_info()[1]
        says_error = code >= _FIRST_PRIVATE_CODE and 500 <= code % _HTTP_STATUS_IN_CODE < 600 and handled is not None
        if says_error or code in _WEBSOCKET_SERVER_ERRORS or self._close_was_refused:
            if own_failure(handled, self.hang_up) is not None and not self._close_was_refused:
                self.error = handled
            self._finish("error")
        else:
            self._finish("ok")

    def close_refused(self, message: Message) -> None:
        """
        The server has refused to close a WebSocket with this code.

        So does daphne, whose WebSocket library takes 1000 and 3000 to 4999 only. The application may try another.
        """
        if _close_code(message, _NORMAL_CLOSURE) in _WEBSOCKET_SERVER_ERRORS:
            self._close_was_refused = True

    def _client_closed(self, code: int) -> None:
        self.disconnected = True
        if self.status == 101 and self._closed_s is None:
            # The end of its duration, and not of the record: what the application raises on its way out is told too.
            self.close_code = code
            self._closed_s = self._clock() - self._started

    def _left(self) -> Outcome:
        """Return the outcome of a connection whose client has gone."""
        if self.close_code not in _WEBSOCKET_GOODBYES:
            return "client_disconnect"
        return "ok" if self.error is None and not self._logged_failure() else "error_after_start"

    def _end_of_response(self) -> None:
        if self.disconnected:
            # A WebSocket that its client has closed has no response any more.
            if self._closed_s is None:
                self._finish("client_disconnect")
        elif not self.status:
            self._finish("incomplete")  # A body, and no start.
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
        self.outcome = outcome
        if self._housekeeping and outcome == "ok" and self.status < 400:
            self.write_held()
            return
        if self.response_bytes and (self.method == "HEAD" or self.status in (204, 304)):
            # RFC 9110, section 6.4.1: these have no content, whatever the application handed over.
            self.response_bytes = 0
        self.route = self._route()
        self.call_finishers(self._faults)
        if self.held:
            self.write_held()

    def _with_logged_failure(self, outcome: Outcome) -> Outcome:
        """Return the outcome, and set the exception, where a framework has logged what made it, and answered."""
        error = self._logged_failure()
        if error is not None and outcome == "ok" and self._is_closed_without_a_reason():
            outcome = "error"
        if self.error is None and outcome in ("error", "error_after_start", "incomplete"):
            self.error = error
        return outcome

    def _is_closed_without_a_reason(self) -> bool:
        """Return whether the application has ended a WebSocket as if nothing was wrong: Quart does after a failure."""
        return self.kind == "websocket" and self._closed_s is None and self.close_code in (None, _NORMAL_CLOSURE)

    def _logged_failure(self) -> BaseException | None:
        """Return the last exception that a framework has logged, and that is not how it refuses a request."""
        for line in reversed(self.held or ()):
            status = getattr(line.error, "status_code", 500)
            refuses = isinstance(status, int) and 400 <= status < 500
            if not refuses and own_failure(line.error, self.hang_up) is not None:
                return line.error
        return None

    def call_finishers(self, faults: InternalErrors) -> None:
        """Call every finisher, the inner ones first; one that raises is reported, and keeps none from its call."""
        # A copy: a thread of the application may add one right now.
        for component, finisher in reversed(tuple(self._finishers.items())):
            try:
                finisher(self)
            except BaseException as error:
                if is_exit(error):
                    raise
                faults.report(component, error)

    def _route(self) -> str:
        try:
            route = self._routes.template(self._scope)[:_MAX_ROUTE]
            # A label and a line are UTF-8, which a lone surrogate is not.
            return route if route.isascii() else route.encode("utf-8", "replace").decode()
        except Exception as error:
            self._faults.report("routes", error)
            return UNMATCHED


def _close_code(message: Message, default: int) -> int:
    """Return a close code, which is two bytes (RFC 6455, section 5.5.1); `default` for what is none."""
    code = message.get("code")
    return code if isinstance(code, int) and 0 < code <= _MAX_CLOSE_CODE else default


_AFTER_SENDING: dict[str, Callable[[RequestRecord, Message], None]] = {
    "http.response.start": RequestRecord._response_started,
    "http.response.body": RequestRecord._body_sent,
    "http.response.trailers": RequestRecord._trailers_sent,
    "http.response.pathsend": RequestRecord._path_sent,
    "http.response.zerocopysend": RequestRecord._copy_sent,
    "websocket.accept": RequestRecord._accepted,
    "websocket.send": RequestRecord._websocket_sent,
    "websocket.close": RequestRecord._server_closed,
    "websocket.http.response.start": RequestRecord._response_started,
    "websocket.http.response.body": RequestRecord._body_sent,
}

__all__ = [
    "CONTEXT_KEY",
    "METHODS",
    "OTHER_METHOD",
    "RECORD_KEY",
    "Direction",
    "Finisher",
    "HeldLine",
    "RequestRecord",
    "current_record",
]
