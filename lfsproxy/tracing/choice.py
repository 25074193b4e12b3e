"""Whether there are traces: by OpenTelemetry's own variables, where its packages are installed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any

import attrs

from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.tracing.spans import NO_TRACER, Tracer
from lfsproxy.words import error_text

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"

_log = Logger()


@attrs.frozen
class Traces:
    """What makes spans, and what ends it when nothing uses it any more."""

    tracer: Tracer
    close: Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


NO_TRACES = Traces(NO_TRACER, _nothing)


def make_traces(reactor: Any, environment: Mapping[str, str]) -> Traces:
    """The traces that the environment asks for. What keeps them from being made is a warning in the log."""
    asked_by = _asked_by(environment)
    if not asked_by:
        return NO_TRACES
    try:
        from lfsproxy.tracing.otel import make_tracer

        tracer = make_tracer(reactor, version("lfsproxy"))
    except ImportError as error:
        _log.warn(
            "{asked_by} is set, but there are no traces: {module} is not installed; install LFS Proxy with "
            "its extra, otel",
            asked_by=asked_by,
            module=error.name or "OpenTelemetry",
        )
        return NO_TRACES
    except ValueError as error:
        _log.warn(
            "{asked_by} is set, but there are no traces: OpenTelemetry refuses a variable: {error}",
            asked_by=asked_by,
            error=error_text(error),
        )
        return NO_TRACES
    _log.info("traces are sent by OTLP, as {asked_by} is set", asked_by=asked_by)
    return Traces(tracer, tracer.close)


def _asked_by(environment: Mapping[str, str]) -> str:
    """The variable by which traces are asked for, empty where they are not or cannot be made."""
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    exporter = given.get(EXPORTER, "")
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter.lower() == "none":
        return ""
    asked_by = next((name for name in (EXPORTER, *ENDPOINTS) if name in given), "")
    if not asked_by:
        return ""
    if exporter and exporter.lower() != "otlp":
        _log.warn(
            "{name} is {value}: there are no traces, as the proxy knows otlp only",
            name=EXPORTER,
            value=quoted(exporter),
        )
        return ""
    chosen = next((name for name in PROTOCOLS if name in given), "")
    if chosen and given[chosen] != PROTOCOL:
        _log.warn(
            "{name} is {value}: there are no traces, as the proxy knows {known} only",
            name=chosen,
            value=quoted(given[chosen]),
            known=PROTOCOL,
        )
        return ""
    return asked_by
