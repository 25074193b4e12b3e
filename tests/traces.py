"""The spans that were made, and what hangs below what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lfsproxy.tracing.otel import OtelTracer

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Recorder:
    """A tracer whose spans are kept once they have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = OtelTracer(None, "1.2.3", SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def one(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def below(self, span: ReadableSpan) -> list[ReadableSpan]:
        """Its children, in the order in which they began."""
        children = [each for each in self.spans if parent_of(each) == id_of(span)]
        return sorted(children, key=lambda each: each.start_time or 0)


def id_of(span: ReadableSpan) -> str:
    """Its id, in hex."""
    return f"{span.context.span_id:016x}" if span.context is not None else ""


def trace_of(span: ReadableSpan) -> str:
    """The trace's id, in hex."""
    return f"{span.context.trace_id:032x}" if span.context is not None else ""


def parent_of(span: ReadableSpan) -> str:
    """The parent's id, in hex; empty for the first span of a trace."""
    return f"{span.parent.span_id:016x}" if span.parent is not None else ""


def said(span: ReadableSpan) -> dict[str, Any]:
    """Its attributes."""
    return dict(span.attributes or {})
