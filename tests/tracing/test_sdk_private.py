"""What the package uses of OpenTelemetry's private names is in one file, and the installed version has all of it."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import opentelemetry.context
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind

import divan_obs_asgi
from divan_obs_asgi.otlp import sdk_private
from divan_obs_asgi.tracing.spans.recording import RecordingSpan

PACKAGE = Path(divan_obs_asgi.__file__).parent
THE_FILE = "divan_obs_asgi.otlp.sdk_private"


def modules() -> Iterator[tuple[str, str]]:
    """Yield the name and the source of every module that names OpenTelemetry."""
    for info in pkgutil.walk_packages([str(PACKAGE)], "divan_obs_asgi."):
        path = PACKAGE.parent.joinpath(*info.name.split("."))
        source = (path / "__init__.py" if info.ispkg else path.with_suffix(".py")).read_text()
        if "opentelemetry" in source and info.name != THE_FILE:
            yield info.name, source


MODULES = dict(modules())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@cache
def of_self(cls: type) -> frozenset[str]:
    """Return the private attributes of `self` that a class uses."""
    return frozenset(
        node.attr
        for node in ast.walk(ast.parse(dedent(inspect.getsource(cls))))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        if is_private(node.attr)
    )


@pytest.mark.parametrize("name", MODULES)
def test_no_private_name_is_imported(name: str) -> None:
    """Neither a private module nor a private object of a module."""
    found = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(MODULES[name]))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("opentelemetry")
        for alias in node.names
        if any(map(is_private, f"{node.module}.{alias.name}".split(".")))
    ]
    assert found == []


@pytest.mark.parametrize("name", MODULES)
def test_no_private_attribute_of_the_sdk_is_named(name: str) -> None:
    """Neither in code nor in a text for `getattr`."""
    of_the_sdk = of_self(TracerProvider) | of_self(ReadableSpan)
    tree = ast.walk(ast.parse(MODULES[name]))
    used = {
        node.attr if isinstance(node, ast.Attribute) else str(getattr(node, "value", ""))
        for node in tree
        if isinstance(node, ast.Constant)
        or (isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"))
    }
    assert used & of_the_sdk == set()


@pytest.mark.parametrize("name", MODULES)
def test_no_subclass_shares_a_private_attribute(name: str) -> None:
    """A class of ours neither uses nor hides a private attribute of a class of OpenTelemetry."""
    try:
        module = import_module(name)
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed")
    shared = {}
    for cls in vars(module).values():
        if isinstance(cls, type) and cls.__module__ == name:
            theirs = [base for base in cls.__mro__ if base.__module__.startswith("opentelemetry.")]
            private: set[str] = set().union(*(of_self(base) for base in theirs))
            private |= {attribute for base in theirs for attribute in vars(base) if attribute.startswith("_")}
            shared[cls.__name__] = (private & of_self(cls)) - {"_abc_impl"}
    assert {cls: names for cls, names in shared.items() if names} == {}


def test_the_keys_of_suppression_are_there() -> None:
    """What changed upstream: the private keys of opentelemetry.context."""
    for key in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"):
        assert isinstance(getattr(opentelemetry.context, key), str)


def test_a_provider_has_its_processors() -> None:
    """What changed upstream: the attribute of TracerProvider that `add_span_processor` adds to."""
    provider = TracerProvider(shutdown_on_exit=False)
    assert hasattr(sdk_private.processors_of(provider), "add_span_processor")


def test_a_trace_state_has_its_members() -> None:
    """What changed upstream: the attribute of TraceState that its methods read."""
    state = sdk_private.StateMembers({"a": "1", "b": "2"})
    assert (state.to_header(), state.get("b"), len(state)) == ("a=1,b=2", "2", 2)


def test_our_span_has_the_fields_of_the_sdk() -> None:
    """What changed upstream: the private fields that ReadableSpan has, or those that its methods read."""
    context, resource, scope = SpanContext(1, 2, False), Resource({}), InstrumentationScope("shop")
    theirs = ReadableSpan(
        "work",
        context,
        resource=resource,
        attributes={"a": 1},
        kind=SpanKind.SERVER,
        instrumentation_scope=scope,
        start_time=1,
        end_time=2,
    )
    ours = RecordingSpan("", context, None, SpanKind.SERVER, resource, scope, 1)
    ours.close("work", {"a": 1}, None, 2)
    assert set(vars(theirs)) - set(dir(ours)) == set()
    assert ours.to_json() == theirs.to_json()
