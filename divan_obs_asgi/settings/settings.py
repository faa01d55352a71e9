"""The configuration of one bundle: every flag, in groups, read once at start-up."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.settings.console import ConsoleSettings
from divan_obs_asgi.settings.env_file import read_env_file
from divan_obs_asgi.settings.flag import Flag, FlagValue, declared_in, flag
from divan_obs_asgi.settings.given import HIDDEN, given, shown
from divan_obs_asgi.settings.health import HealthSettings
from divan_obs_asgi.settings.logs import LogSettings
from divan_obs_asgi.settings.metrics import MetricSettings
from divan_obs_asgi.settings.misspelt import MisspeltFlag, misspelt_flags
from divan_obs_asgi.settings.ops import FEW_CHARACTERS, OpsSettings
from divan_obs_asgi.settings.otel import OtelSettings
from divan_obs_asgi.settings.otel_variables import WithoutEffect, without_effect
from divan_obs_asgi.settings.otlp import OtlpSettings
from divan_obs_asgi.settings.parsers import (
    SECRET_LENGTH,
    boolean,
    dotted_paths,
    exact_paths,
    is_guessable,
    origins,
    page_routes,
    path,
    request_id_headers,
    response_header,
)
from divan_obs_asgi.settings.redaction import RedactionSettings
from divan_obs_asgi.settings.requests import RequestSettings
from divan_obs_asgi.settings.runtime import RuntimeSettings
from divan_obs_asgi.settings.service import ServiceSettings
from divan_obs_asgi.settings.socketio import SocketIoSettings
from divan_obs_asgi.settings.tracing import TracingSettings
from divan_obs_asgi.settings.vitals import VitalSettings

_PACKAGE = "divan_obs_asgi.middlewares."
DEFAULT_MIDDLEWARE = tuple(
    _PACKAGE + name
    for name in (
        "ContextMiddleware",
        "RequestIdMiddleware",
        "RedactionMiddleware",
        "TracingMiddleware",
        "MetricsMiddleware",
        "AccessLogMiddleware",
        "QuietPathsMiddleware",
        "OpsMiddleware",
    )
)
_ENV_FILE = "OBS_ENV_FILE"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    Every flag of one `Observability`, in groups: `settings.tracing.enabled`.

    Make one with `Settings.from_env()`, or in code from groups: `Settings(service=ServiceSettings(env="prod"))`.

    Attributes:
        enabled: whether the library is active.
        env_file: a file with further flags.
        middleware: dotted paths of the middlewares, outermost first.
        misspelt: variables that `from_env` found and that look like a flag but are not one.
        without_effect: variables of OpenTelemetry that `from_env` found and that have no effect, with what to do.
    """

    # Set by `from_env`; empty if the settings were made in code.
    misspelt: ClassVar[tuple[MisspeltFlag, ...]] = ()
    without_effect: ClassVar[tuple[WithoutEffect, ...]] = ()
    # The variable of each flag that `from_env` read, and the variables that it read from OBS_ENV_FILE.
    _read: ClassVar[Mapping[str, str]] = MappingProxyType({})
    _in_file: ClassVar[frozenset[str]] = frozenset()

    enabled: bool = flag("OBS_ENABLED", boolean, True, "The whole library; false leaves the application untouched.")
    env_file: str | None = flag(
        _ENV_FILE,
        path,
        None,
        "A `.env` file with further flags; environment variables override it. Needs the extra `dotenv`.",
    )
    middleware: tuple[str, ...] = flag(
        "OBS_MIDDLEWARE", dotted_paths, DEFAULT_MIDDLEWARE, "Dotted paths of the middlewares, outermost first."
    )
    service: ServiceSettings = field(default_factory=ServiceSettings)
    requests: RequestSettings = field(default_factory=RequestSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    redaction: RedactionSettings = field(default_factory=RedactionSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    otel: OtelSettings = field(default_factory=OtelSettings)
    otlp: OtlpSettings = field(default_factory=OtlpSettings)
    metrics: MetricSettings = field(default_factory=MetricSettings)
    ops: OpsSettings = field(default_factory=OpsSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    vitals: VitalSettings = field(default_factory=VitalSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    socketio: SocketIoSettings = field(default_factory=SocketIoSettings)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read every flag from `environ` (default: `os.environ`), and from the file that its OBS_ENV_FILE names.

        Raises:
            ImproperlyConfigured: with every bad flag, its value unless it is secret, and the expected form.
        """
        readable, _, wrong = cls.readable(environ)
        if wrong:
            # Contradictions between the other flags are reported too.
            raise ImproperlyConfigured("\n".join([*wrong, *readable.contradictions()]))
        settings = cls(**{field.name: getattr(readable, field.name) for field in dataclasses.fields(cls)})
        # Not arguments of the constructor: after `dataclasses.replace` the values come from code.
        for name in ("_read", "_in_file", "misspelt", "without_effect"):
            object.__setattr__(settings, name, getattr(readable, name))
        return settings

    @classmethod
    def readable(cls, environ: Mapping[str, str] | None = None) -> tuple[Self, Mapping[str, str], list[str]]:
        """
        Return the flags that can be read, all variables with those of OBS_ENV_FILE, and a sentence for each bad flag.

        The flags may contradict each other, and a bad one has its default.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, dict[str, Any]] = {group: {} for group in ("", *_GROUPS)}
        read: dict[str, str] = {}
        wrong: list[str] = []
        in_file: dict[str, str] = {}
        try:
            if env_file := environ.get(_ENV_FILE, "").strip():
                in_file = {name: text for name, text in read_env_file(env_file).items() if name not in environ}
        except ValueError as expected:
            wrong.append(f"{_ENV_FILE} is {shown(env_file)}; expected {expected}.")
        environ = {**in_file, **environ}
        for group, attribute, one, default in _DECLARED:
            name, text = given(one, environ)
            # Container files may set an unset variable to an empty text. Only a list may be empty on purpose.
            if text is None or (not text.strip() and not isinstance(default, tuple)):
                continue
            try:
                values[group][attribute] = one.parse(text)
                read[one.name] = name
            except ValueError as expected:
                wrong.append(f"{name} is {HIDDEN if one.secret else shown(text)}; expected {expected}.")
        # Without the constructor, which rejects contradictions.
        settings = object.__new__(cls)
        groups = {name: kind(**values[name]) for name, kind in _GROUPS.items()}
        found = {
            "misspelt": tuple(misspelt_flags(environ, _NAMES)),
            "without_effect": tuple(without_effect(environ)),
            "_read": read,
            "_in_file": frozenset(in_file),
        }
        settings.__dict__.update(values[""], **groups, **found)
        return settings, environ, wrong

    def __post_init__(self) -> None:
        wrong = self.contradictions()
        if wrong:
            raise ImproperlyConfigured("\n".join(wrong))

    def contradictions(self) -> list[str]:
        """Return a sentence for each pair of flags that cannot hold together."""
        env, redaction = self.service.env, self.redaction
        wrong = []
        if self.metrics.public and env != "dev":
            wrong.append(
                f"OBS_METRICS_PUBLIC is 'true' with OBS_ENV={env!r}; it is for OBS_ENV=dev only: "
                "set OBS_ADMIN_TOKEN and scrape with it."
            )
        for name, policy in (("OBS_REDACT_USER_ID", redaction.user_id), ("OBS_REDACT_IP", redaction.ip)):
            if policy == "hash" and self._is_weak_key(redaction.hash_key or ""):
                wrong.append(
                    f"{name} is 'hash' and OBS_REDACT_HASH_KEY has {FEW_CHARACTERS}: it can be guessed, and then every "
                    "user can be identified. Set a random one, the same for all workers."
                )
        if self.enabled and self.tracing.enabled:
            wrong += self.otel.missing_propagators() + self.otlp.contradictions()
        wrong += self.vitals.misused(env) + self._bad_names()
        if self.enabled and self.ops.enabled and not self.service.is_test_env:
            wrong += self.ops.guessable_tokens(env) + self.console.guessable_key(env)
        return wrong

    def _bad_names(self) -> list[str]:
        """Return a sentence for each header or path that was passed in code and would be invalid as a flag."""
        given: tuple[tuple[str, Callable[[str], object], tuple[str, ...]], ...] = (
            ("OBS_REQUEST_ID_HEADERS", request_id_headers, self.requests.id_headers),
            ("OBS_REQUEST_ID_RESPONSE_HEADER", response_header, (self.requests.id_response_header,)),
            ("OBS_QUIET_PATHS", exact_paths, self.requests.quiet_paths),
            ("OBS_VITALS_ORIGINS", origins, self.vitals.origins),
            ("OBS_VITALS_ROUTES", page_routes, self.vitals.routes),
        )
        wrong = []
        for name, parse, values in given:
            for each in values:
                try:
                    parse(each)
                except ValueError as expected:
                    wrong.append(f"{name} has {each!r}; expected {expected}.")
        return wrong

    def _is_weak_key(self, key: str) -> bool:
        return len(key) < SECRET_LENGTH or (not self.service.is_test_env and is_guessable(key))

    @property
    def slow_s(self) -> float:
        """The seconds after which a request is slow, for its log line or for its span; infinite if none is."""
        limits = [self.logs.slow_ms / 1e3] if self.logs.slow_ms else []
        if self.tracing.enabled and self.tracing.keep_errors:
            limits.append(self.tracing.keep_slow_s)
        return min(limits, default=math.inf)

    @property
    def dev_is_explicit(self) -> bool:
        """Whether OBS_ENV=dev was set explicitly. It is also the default, so a real deployment may not set it."""
        return self.service.env == "dev" and self._read.get("OBS_ENV") == "OBS_ENV"

    def in_force(self) -> list[FlagValue]:
        """Return every flag with its value and its source."""

        def source(one: Flag, value: object, default: object) -> str:
            if one.name in self._read:
                return "file" if self._read[one.name] in self._in_file else "environment"
            return "default" if value == default else "code"

        values = [(one, self._value(group, attribute), default) for group, attribute, one, default in _DECLARED]
        return [FlagValue(one, value, source(one, value, default)) for one, value, default in values]

    def _value(self, group: str, attribute: str) -> object:
        return getattr(getattr(self, group) if group else self, attribute)

    @classmethod
    def flags(cls, group: str | None = None) -> list[tuple[Flag, object]]:
        """
        Return flags with their defaults, in the order of declaration.

        Args:
            group: the name of a group ("tracing"; "" for flags of `Settings` itself), or None for all flags.
        """
        return [(one, default) for of, _, one, default in _DECLARED if group in (None, of)]


# The class of each group, by its field.
_GROUPS = {
    one.name: cast(type, one.default_factory)
    for one in dataclasses.fields(Settings)
    if one.default_factory is not dataclasses.MISSING
}
# Each flag: its group ("" for `Settings` itself), its attribute there, the flag and its default.
_DECLARED = tuple(
    (group, attribute, one, getattr(kind, attribute))
    for group, kind in {"": Settings, **_GROUPS}.items()
    for attribute, one in declared_in(kind)
)
_NAMES = frozenset(one.name for _, _, one, _ in _DECLARED)


__all__ = ["DEFAULT_MIDDLEWARE", "Settings"]
