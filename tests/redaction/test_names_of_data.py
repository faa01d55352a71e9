"""Names may be made of data: of classes, loggers, tracers, spans, commands. Each sink is handed them by real calls."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

import anyio
import pytest
import redis
import sqlalchemy
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanContext

import divan_obs_asgi as obs
from divan_obs_asgi.names import UNNAMED, class_name
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.servers.redis import RedisServer
from tests.stacks import Observed
from tests.tracing.exported import Exported

MAIL = "ada@example.org"
TOKEN = "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
SECRETS = (MAIL, TOKEN)
ADMIN = "an-admin-token-for-tests-only-0123456789"


class Service:
    """Everything on, with all that leaves it at hand."""

    def __init__(self, *, own_provider: bool = False) -> None:
        self.exported = Exported()
        provider = TracerProvider(shutdown_on_exit=False) if own_provider else None
        if provider is not None:
            provider.add_span_processor(SimpleSpanProcessor(self.exported))
        self.observed = Observed(
            {"OBS_TRACING_ENABLED": "true", "OBS_ADMIN_TOKEN": ADMIN},
            span_exporter=None if own_provider else self.exported,
            tracer_provider=provider,
        )
        assert self.observed.obs.spans is not None
        self.provider = self.observed.obs.spans.provider

    def left(self) -> str:
        """Return what has left: lines, spans, the page of metrics."""
        self.observed.obs.flush()
        self.observed.obs.log.sink.flush()
        spans = "".join(span.to_json() for span in self.exported.spans)
        scopes = "".join(repr(span.instrumentation_scope) for span in self.exported.spans)
        page = self.observed.obs.metrics.render().decode()
        return self.observed.stream.getvalue().decode() + spans + scopes + page


def kinds() -> Iterator[tuple[str, type[Exception]]]:
    for name in (MAIL, TOKEN, f"Refused {MAIL}", "hunter2 with words", "x" * 500, "Überfall", "a\nb"):
        yield name, type(name, (Exception,), {})


@pytest.mark.parametrize(("name", "kind"), list(kinds()), ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("own_provider", [False, True], ids=["ours", "the application's"])
def test_the_name_of_an_exceptions_class(own_provider: bool, name: str, kind: type[Exception]) -> None:
    """It is a label, an attribute and a field; what is not as Python writes a class is `__unnamed__`."""
    service = Service(own_provider=own_provider)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(kind), service.observed.obs.work.span("work"):
            raise kind
        raise kind

    anyio.run(converse, obs.wrap(app, service.observed.obs), http_scope())
    line = logging.makeLogRecord({"name": "application", "msg": "failed", "exc_info": (kind, kind(), None)})
    service.observed.obs.log.application(line)
    types = {line["error"]["type"] for line in service.observed.lines() if "error" in line}
    service.observed.obs.flush()
    # The traceback of a log line says what Python says, as far as the policy lets it.
    spans = [span for span in service.exported.spans if (span.attributes or {}).get("error.type")]
    labels = list(service.observed.samples("divan_http_exceptions_total"))
    found = types | {str((span.attributes or {})["error.type"]) for span in spans}
    found |= {value for label in labels for key, value in label if key == "exception"}
    assert len(spans) == 2
    assert labels
    assert len(found) == 1
    assert found != {name}
    if name != TOKEN:
        assert found == {UNNAMED}
    for secret in SECRETS:
        assert secret not in service.left()


@pytest.mark.parametrize("kind", [ValueError, UnicodeDecodeError, sqlalchemy.exc.DBAPIError, Service], ids=class_name)
def test_names_as_python_writes_them_stay(kind: type) -> None:
    """Also of a class within a class, or within a function."""

    class Inner(Exception):
        pass

    assert class_name(kind) == kind.__qualname__
    assert class_name(Inner) == Inner.__qualname__


def test_the_name_of_a_logger_and_of_a_level() -> None:
    """In lines, and at /ops/loggers."""
    service = Service()
    logging.addLevelName(37, MAIL)
    stack = obs.wrap(lambda scope, receive, send: anyio.lowlevel.checkpoint(), service.observed.obs)
    for secret in SECRETS:
        logger = logging.getLogger(f"chat.{secret}")
        service.observed.obs.log.application(logger.makeRecord(logger.name, 37, "a.py", 1, "hello", (), None))
    headers = [(b"authorization", f"Bearer {ADMIN}".encode())]
    answer = anyio.run(lambda: converse(stack, http_scope("/ops/loggers", headers=headers)))
    assert answer.status == 200
    assert b"chat." in answer.body
    for secret in SECRETS:
        assert secret.encode() not in answer.body
        assert secret not in service.left()
    assert len([line for line in service.observed.lines() if line["msg"] == "hello"]) == 2


def test_the_names_of_tracers_spans_events_and_links() -> None:
    """A tracer's scope has a name, a version, a schema and attributes."""
    service = Service()
    for secret in SECRETS:
        tracer = service.provider.get_tracer(
            f"tracer of {secret}",
            f"1 {secret}",
            schema_url=f"https://x/{secret}",
            attributes={"a": secret, secret: "b"},
        )
        ids = SpanContext(1, 1, False)
        with tracer.start_as_current_span(f"span {secret}", links=[Link(ids, {secret: secret})]) as span:
            span.add_event(f"event {secret}", {secret: secret})
            span.set_attribute(secret, secret)
    with service.provider.get_tracer("plain", "1.0").start_as_current_span("plain"):
        pass
    left = service.left()
    for secret in SECRETS:
        assert secret not in left
    plain = next(span for span in service.exported.spans if span.name == "plain")
    assert plain.instrumentation_scope is not None
    assert (plain.instrumentation_scope.name, plain.instrumentation_scope.version) == ("plain", "1.0")
    assert "tracer of" in left


def test_a_redis_command_is_one_that_redis_knows(redis_server: RedisServer) -> None:
    """What a client's text has made of it is in no name, attribute or statement, in a pipeline as little."""
    service = Service()
    assert service.observed.obs.spans is not None
    clients = type(service.observed.obs.spans.clients)(["redis"], service.provider)
    clients.instrument()
    try:
        with redis.Redis(host=redis_server.host, port=redis_server.port) as client:
            client.set("key", "value")
            client.client_setname("tests")
            for data in ("hunter2 get", "hunter2", "HUNTER2", "a" * 300):
                with suppress(redis.ResponseError):
                    client.execute_command(data, "planted")
            with suppress(redis.ResponseError):
                client.pipeline(transaction=False).set("a", "b").execute_command("hunter2", "planted").execute()
    finally:
        clients.undo()
    left = service.left()
    assert "hunter2" not in left.lower()
    assert "planted" not in left
    assert "aaaaaaaa" not in left
    names = [span.name for span in service.exported.spans]
    assert "SET" in names
    assert "?" in names
    assert "SET ?" in names


def test_an_sql_command_is_one_of_sql() -> None:
    """The first word of a statement is the span's name."""
    service = Service()
    clients = type(service.observed.obs.spans.clients)(["sqlalchemy"], service.provider)  # type: ignore[union-attr]
    clients.instrument()
    try:
        with sqlalchemy.create_engine("sqlite://").connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
            with suppress(sqlalchemy.exc.OperationalError):
                connection.execute(sqlalchemy.text("hunter2 FROM users"))
    finally:
        clients.undo()
    service.left()
    names = [span.name for span in service.exported.spans]
    assert any(name.startswith("SELECT") for name in names)
    assert not any("hunter2" in name for name in names)
