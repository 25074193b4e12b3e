"""Traces by OpenTelemetry's SDK: spans go to a bounded queue, and a thread of the SDK's sends them by OTLP.

A collector that is slow or dead costs spans and nothing else: the queue drops its oldest ones, and the proxy
waits for nobody. The SDK reads the usual variables by itself (OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS,
OTEL_TRACES_SAMPLER, OTEL_BSP_MAX_QUEUE_SIZE …). The parent of a span is always given, never looked up: the
SDK's own context variable is not used.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, cast

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from twisted.internet.defer import Deferred

from lfsproxy.logs import Logger
from lfsproxy.tracing.spans import Attributes, Kind, Span
from lfsproxy.words import error_text

CLOSE_SECONDS = 3.0
"""How long a stop waits until the spans that are left have been sent."""

_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT, Kind.PRODUCER: SpanKind.PRODUCER}
_log = Logger(namespace="lfsproxy.tracing.otel")


class OtelSpan:
    """A ``tracing.Span``. One that is not sampled has the trace's id, and children that are not either."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        context = span.get_span_context()
        self.on = span.is_recording()
        self.trace_id = trace.format_trace_id(context.trace_id) if context.is_valid else ""
        self._tracer = tracer
        self._span = span

    def child(self, name: str, kind: Kind, attributes: Attributes) -> Span:
        context = trace.set_span_in_context(self._span, Context())
        return OtelSpan(
            self._tracer, self._tracer.start_span(name, context, _KINDS[kind], attributes=dict(attributes))
        )

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def link(self, headers: Mapping[str, str]) -> None:
        context = trace.get_current_span(_extracted(headers)).get_span_context()
        if context.is_valid:
            self._span.add_link(context)

    def end(self, error: str = "") -> None:
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


class OtelTracer:
    """A ``tracing.Tracer``. ``processor`` is given each span that has ended; ``close`` ends it."""

    on = True

    def __init__(self, reactor: Any, version: str, processor: SpanProcessor) -> None:
        self._reactor = reactor
        self._provider = TracerProvider(resource=_resource(version), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("lfsproxy", version)

    def server(self, name: str, headers: Mapping[str, str], attributes: Attributes) -> Span:
        return OtelSpan(
            self._tracer,
            self._tracer.start_span(name, _extracted(headers), SpanKind.SERVER, attributes=dict(attributes)),
        )

    async def close(self) -> None:
        """Send what is left, for CLOSE_SECONDS at most: what is not sent by then is lost."""
        over: Deferred[None] = Deferred()
        over.addTimeout(CLOSE_SECONDS, self._reactor, lambda *_: None)

        def shut_down() -> None:
            self._provider.shutdown()
            self._reactor.callFromThread(lambda: None if over.called else over.callback(None))

        # No thread of the reactor's: those are waited for when the process ends.
        threading.Thread(target=shut_down, name="traces-end", daemon=True).start()
        await over


class _ToOurLog(logging.Handler):
    """Passes the SDK's warnings on, with their kind (lfsproxy.log.repeats). Is called by its threads too."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        _log.warn(
            "traces: {text}{why}",
            text=record.getMessage(),
            why=f" {error_text(error)}" if error else "",
            kind=record.msg,
        )


def forward_sdk_logs() -> None:
    """Send the SDK's warnings to our log, and nowhere else; may be called more than once."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    if not any(isinstance(handler, _ToOurLog) for handler in logger.handlers):
        logger.addHandler(_ToOurLog())


def make_tracer(reactor: Any, version: str) -> OtelTracer:
    """The tracer that the OTEL_ variables describe. Nothing is sent before the first span has ended."""
    forward_sdk_logs()
    return OtelTracer(reactor, version, BatchSpanProcessor(OTLPSpanExporter()))


def _resource(version: str) -> Resource:
    """What the traces are of; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before our own words."""
    ours = Resource({SERVICE_NAME: "lfsproxy", SERVICE_VERSION: version})
    told = OTELResourceDetector().detect()
    return Resource.create().merge(ours).merge(told)


def _extracted(headers: Mapping[str, str]) -> Context:
    """The context that header fields name, empty where they name none or a broken one."""
    return propagate.extract(cast(Any, dict(headers)), Context())
