"""Spans as the product sees them, and those that do nothing. lfsproxy.tracing.otel has OpenTelemetry's.

What makes a span looks at ``on`` first, so that without traces nothing is built for it. Names of attributes
are those of OpenTelemetry's semantic conventions, which a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Protocol

Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Kind(Enum):
    """Whose side of a conversation a span is: OpenTelemetry's span kinds, by their names."""

    SERVER = auto()
    CLIENT = auto()
    PRODUCER = auto()


class Span(Protocol):
    """Something that takes time. ``trace_id`` is 32 hex digits; empty where there is no trace."""

    on: bool
    trace_id: str

    def child(self, name: str, kind: Kind, attributes: Attributes) -> Span:
        """A part of it, which begins now."""

    def set(self, attributes: Attributes) -> None:
        """Say more of it."""

    def link(self, headers: Mapping[str, str]) -> None:
        """Name the trace that ``headers`` are of (W3C Trace Context), learnt too late to belong to it."""

    def end(self, error: str = "") -> None:
        """It ends now. ``error`` is why it failed."""


class Tracer(Protocol):
    """Makes the first span of each piece of work."""

    on: bool

    def server(self, name: str, headers: Mapping[str, str], attributes: Attributes) -> Span:
        """A span for what a client asks. It belongs to the client's trace where ``headers`` name one."""


class _NoSpan:
    on = False
    trace_id = ""

    def child(self, name: str, kind: Kind, attributes: Attributes) -> Span:
        return self

    def set(self, attributes: Attributes) -> None:
        pass

    def link(self, headers: Mapping[str, str]) -> None:
        pass

    def end(self, error: str = "") -> None:
        pass


class _NoTracer:
    on = False

    def server(self, name: str, headers: Mapping[str, str], attributes: Attributes) -> Span:
        return NO_SPAN


NO_SPAN: Span = _NoSpan()
NO_TRACER: Tracer = _NoTracer()
