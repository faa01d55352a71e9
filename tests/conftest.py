"""Which package is tested, which tests can run here, and the real servers."""

from __future__ import annotations

import ast
import gc
import importlib.metadata
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx._transports.default
import hypothesis
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG

from tests.patience import PATIENCE_S
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from tests.servers.otlp import OtlpReceiver

ROOT = Path(__file__).resolve().parents[1]
TESTS = Path(__file__).parent

# Under tox PYTHONPATH names a folder of links (tox.ini); elsewhere the work tree itself is tested. It is PYTHONPATH so
# that the processes which tests start find the same.
for folder in os.environ.setdefault("PYTHONPATH", str(ROOT)).split(os.pathsep):
    # pytest-xdist gives its processes a path of its own.
    if folder not in sys.path:
        sys.path.insert(0, folder)

# gRPC restarts its threads in every forked child, also in one that is about to become another program (a server of
# these tests, under another user), where they meet closed files and end it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Each process that a test starts would compile all modules anew: 5 s of a processor for the reference backend, not 2.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A client gives up after five seconds where it is told nothing else; a busy machine may take longer.
for phase in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, phase, PATIENCE_S)

# Each client would read the certificates of all authorities, 20 ms of a processor; no test needs them.
httpx._transports.default.create_ssl_context = cache(httpx._transports.default.create_ssl_context)  # type: ignore[attr-defined]

#: The libraries that the core does without, and the extra of setup.cfg that brings each.
EXTRA_OF_LIBRARY = {
    "opentelemetry": "tracing",
    "k6": "load",
    "grpc": "tracing",
    "engineio": "socketio",
    "socketio": "socketio",
    "redis": "redis",
    "requests": "test-all",
    "aiosqlite": "databases",
    "psycopg": "test-all",
    "psycopg_pool": "test-all",
    "asyncpg": "databases",
    "databases": "databases",
    "dotenv": "dotenv",
    "sqlalchemy": "databases",
    "fakeredis": "example",
    "fastapi": "example",
    "aiohttp": "test-all",
    "schemathesis": "test-all",
    "check_jsonschema": "test-all",
    "kubernetes_validate": "test-all",
    "cattrs": "test-all",
    "channels": "test-all",
    "daphne": "test-all",
    "django": "test-all",
    "falcon": "test-all",
    "granian": "test-all",
    "litestar": "test-all",
    "graphql": "test-all",
    "rest_framework": "test-all",
    "jsonschema": "test-all",
    "msgspec": "test-all",
    "marshmallow": "test-all",
    "loguru": "test-all",
    "quart": "test-all",
    "ariadne": "test-all",
    "graphene": "test-all",
    "strawberry": "test-all",
    "asgi_correlation_id": "bench",
    "prometheus_fastapi_instrumentator": "bench",
    "pythonjsonlogger": "bench",
    "starlette_exporter": "bench",
    "structlog": "bench",
}
#: The parts of the package that import such a library. They are named, and not found by following the package's own
#: imports, so that a core module which imports an extra by mistake fails its tests and does not hide them.
LIBRARY_OF_PART = {
    "divan_obs_asgi.settings.env_file": "dotenv",
    "divan_obs_asgi.socketio_ext": "socketio",
    "divan_obs_asgi.graphql.strawberry": "strawberry",
    "divan_obs_asgi.middlewares.contrib_tracing": "opentelemetry",
    "divan_obs_asgi.tracing.spans.attributes": "opentelemetry",
    "divan_obs_asgi.tracing.clients": "opentelemetry",
    "divan_obs_asgi.tracing.config_file": "opentelemetry",
    "divan_obs_asgi.tracing.frameworks": "opentelemetry",
    "divan_obs_asgi.tracing.export.encoder": "opentelemetry",
    "divan_obs_asgi.tracing.spans.client": "opentelemetry",
    "divan_obs_asgi.tracing.spans.event": "opentelemetry",
    "divan_obs_asgi.tracing.export.build": "opentelemetry",
    "divan_obs_asgi.tracing.export.console": "opentelemetry",
    "divan_obs_asgi.tracing.export.span_queue": "opentelemetry",
    "divan_obs_asgi.otlp.answers": "opentelemetry",
    "divan_obs_asgi.otlp.build": "opentelemetry",
    "divan_obs_asgi.otlp.grpc_transport": "opentelemetry",
    "divan_obs_asgi.otlp.queue": "opentelemetry",
    "divan_obs_asgi.otlp.resource": "opentelemetry",
    "divan_obs_asgi.otlp.sdk_private": "opentelemetry",
    "divan_obs_asgi.otlp.metric_export": "opentelemetry",
    "divan_obs_asgi.observability.signal_exports": "opentelemetry",
    "divan_obs_asgi.logs.line_encoder": "opentelemetry",
    "divan_obs_asgi.logs.line_export": "opentelemetry",
    "divan_obs_asgi.tracing.spans.disabled": "opentelemetry",
    "divan_obs_asgi.tracing.spans.fast": "opentelemetry",
    "divan_obs_asgi.tracing.spans.limits": "opentelemetry",
    "divan_obs_asgi.tracing.global_provider": "opentelemetry",
    "divan_obs_asgi.tracing.propagation.parents": "opentelemetry",
    "divan_obs_asgi.tracing.propagation.context": "opentelemetry",
    "divan_obs_asgi.tracing.propagation.propagators": "opentelemetry",
    "divan_obs_asgi.tracing.propagation.pubsub": "opentelemetry",
    "divan_obs_asgi.tracing.provider": "opentelemetry",
    "divan_obs_asgi.tracing.export.redaction": "opentelemetry",
    "divan_obs_asgi.tracing.sampling": "opentelemetry",
    "divan_obs_asgi.tracing.spans.server": "opentelemetry",
    "divan_obs_asgi.tracing.spans.recording": "opentelemetry",
    "divan_obs_asgi.tracing.spans.tracer": "opentelemetry",
    "divan_obs_asgi.tracing.spans.unrecorded": "opentelemetry",
}
#: Folders of the checkout that tests import; the package is not among them, it comes from where it is installed.
FOLDERS = ("benchmarks", "examples", "tests")

#: `core`: leave out every test that needs an extra. `all`: refuse to leave out any. Unset: run what can run here.
SELECTION = os.environ.get("DIVAN_TESTS", "")

# How long an example takes, or is looked for, says nothing on a busy machine.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("divan", PATIENT)
# For `make check`, whose answer somebody waits for, and for a second interpreter.
CI = os.environ.get("CI") == "true"
hypothesis.settings.register_profile("quick", PATIENT, max_examples=25, derandomize=CI)
if not CI:  # there hypothesis chooses its own, deterministic profile
    hypothesis.settings.load_profile("divan")


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the full names that a file imports at its top level, when it is loaded."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def libraries(path: Path) -> frozenset[str]:
    """Return the optional libraries that a test file needs, through the checkout's other files too."""
    found = set()
    for name in imported_modules(path):
        top = name.partition(".")[0]
        found |= {library for part, library in LIBRARY_OF_PART.items() if f"{name}.".startswith(f"{part}.")}
        if top in EXTRA_OF_LIBRARY:
            found.add(top)
        elif top in FOLDERS:
            module = ROOT.joinpath(*name.split("."))
            for file in (module.with_suffix(".py"), module / "__init__.py", module / "__main__.py"):
                if file.is_file() and file != path:
                    found |= libraries(file)
    return frozenset(found)


def lacking(path: Path) -> set[str]:
    """Return those of a test file's optional libraries that this run does without."""
    return {library for library in libraries(path) if SELECTION == "core" or importlib.util.find_spec(library) is None}


left_out: dict[Path, set[str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    # Reading the imports of all files takes a second of a processor: a worker is given the result.
    if hasattr(config, "workerinput"):
        left_out.update({Path(path): set() for path in config.workerinput["left_out"]})
    else:
        left_out.update({path: names for path in sorted(TESTS.rglob("test_*.py")) if (names := lacking(path))})
    if SELECTION == "all" and left_out:
        missing = ", ".join(sorted(set().union(*left_out.values())))
        raise pytest.UsageError(f"DIVAN_TESTS=all, but libraries are missing: {missing}")
    origin = package_origin()
    if "TOX_ENV_NAME" in os.environ and origin == ROOT / "divan_obs_asgi" / "__init__.py":
        raise pytest.UsageError(f"Under tox the tests are for the built wheel, but the work tree was found: {origin}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker of pytest-xdist the files that are left out."""
    node.workerinput["left_out"] = [str(path) for path in left_out]


# Not `collect_ignore`: pytest would build that list anew, and look for each path in it.
def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path in left_out else None


def pytest_collection_finish() -> None:
    """
    Leave what the collection has made out of every garbage collection to come.

    The modules and the items of all tests are a million objects and more: a full collection of them takes 0.2 s.
    """
    gc.collect()
    gc.freeze()


def package_origin() -> Path | None:
    """Return the file that `import divan_obs_asgi` loads."""
    spec = importlib.util.find_spec("divan_obs_asgi")
    return Path(spec.origin) if spec and spec.origin else None


def version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def pytest_report_header() -> list[str]:
    """Say what is tested, beside what, and what is left out."""
    beside = ("starlette", "fastapi", "opentelemetry-sdk", "python-socketio")
    return [
        f"divan_obs_asgi: {version('divan-obs-asgi')} from {package_origin()}",
        "beside: " + ", ".join(f"{name} {version(name)}" for name in beside),
        *(
            f"not collected without extras: {path.relative_to(TESTS.parent)} "
            f"({', '.join(sorted({EXTRA_OF_LIBRARY[library] for library in names}))})"
            for path, names in left_out.items()
        ),
    ]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """`init`, `wrap` and `install` take over the root logger, which belongs to all tests."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn.access")
    before = list(root.handlers), root.level, uvicorn.disabled
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)
    for handler in root.handlers:
        if type(handler).__name__ == "PipelineHandler" and handler not in before[0]:
            # Its pipeline would put it back.
            handler.logs.replaced()  # type: ignore[attr-defined]
    if before != (root.handlers, root.level, uvicorn.disabled):
        root.handlers[:], root.level, uvicorn.disabled = before
        # Levels that loggers have remembered.
        root.manager._clear_cache()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this session. A test that takes it down brings it back: `with redis_server.down()`."""
    server = RedisServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this session. A test that takes it down brings it back: `with postgres_server.down()`."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """An OTLP receiver of this test, so that no late span of another one arrives in it."""
    from tests.servers.otlp import OtlpReceiver

    with OtlpReceiver() as receiver:
        yield receiver
