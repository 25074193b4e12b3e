"""Traces as a collector gets them; and one that is dead or slow, which costs spans and nothing else."""

from __future__ import annotations

import os
import socket
from typing import Any, cast
from unittest import mock

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.log.repeats import FEW, Repeats
from lfsproxy.tracing.choice import make_traces
from lfsproxy.tracing.otel import CLOSE_SECONDS, OtelTracer
from lfsproxy.tracing.spans import Kind
from tests.collector import Collector
from tests.traces import PARENT, TRACE, TRACEPARENT

QUEUE = 100
BATCH = 50


def tracer_for(url: str, on: Any, **more: str) -> OtelTracer:
    """A tracer that sends to ``url``, made as the process makes it."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(BATCH),
        **more,
    }
    with mock.patch.dict(os.environ, environment):
        made = make_traces(on, environment).tracer
    assert isinstance(made, OtelTracer)
    return made


class ThreadedClock(Clock):
    """A clock whose calls from threads are never made: nothing tells that a thread is done."""

    def callFromThread(self, function: Any, *args: Any) -> None:
        pass


def sdk_lines(events: Any) -> list[str]:
    """What the log says of the SDK's own."""
    found: list[LogEvent] = []
    repeats = Repeats(cast(ILogObserver, found.append), Clock().seconds)
    for each in events:
        if each["log_namespace"] == "lfsproxy.tracing.otel":
            repeats(each)
    return [formatEvent(event) for event in found]


class DeliveryTests(TestCase):
    timeout = 10

    def setUp(self) -> None:
        self.collector = Collector()
        self.addCleanup(self.collector.stop)

    async def test_what_a_collector_gets(self) -> None:
        tracer = tracer_for(self.collector.url, reactor, OTEL_RESOURCE_ATTRIBUTES="deployment.name=blue")
        span = tracer.server("work", {"traceparent": TRACEPARENT}, {"lfs.bytes": 3})
        part = span.child("part", Kind.CLIENT, {"aws.s3.key": "k"})
        part.end("it broke")
        span.end()
        await tracer.close()
        first, second = self.collector.spans
        self.assertEqual((first.name, first.kind), ("part", Span.SPAN_KIND_CLIENT))
        self.assertEqual((first.status.code, first.status.message), (Status.STATUS_CODE_ERROR, "it broke"))
        self.assertEqual(first.parent_span_id, second.span_id)
        self.assertEqual((second.trace_id.hex(), second.parent_span_id.hex()), (TRACE, PARENT))
        self.assertEqual(second.kind, Span.SPAN_KIND_SERVER)
        resource = self.collector.resource
        self.assertEqual((resource["service.name"], resource["deployment.name"]), ("lfsproxy", "blue"))
        self.assertIn("service.version", resource)

    async def test_a_service_name_that_is_set_stays(self) -> None:
        tracer = tracer_for(self.collector.url, reactor, OTEL_SERVICE_NAME="blobs")
        tracer.server("work", {}, {}).end()
        await tracer.close()
        self.assertEqual(self.collector.resource["service.name"], "blobs")

    async def test_a_slow_collector_loses_the_oldest_spans_of_a_bounded_queue(self) -> None:
        self.collector.open.clear()
        tracer = tracer_for(self.collector.url, reactor)
        with capturedLogs() as events:
            for number in range(BATCH):
                tracer.server(f"{number}", {}, {}).end()
            # The first batch is with the collector now, so that what comes next waits behind it.
            self.assertTrue(self.collector.asked.wait(5))
            for number in range(20 * QUEUE):
                tracer.server(f"later {number}", {}, {}).end()
            self.collector.open.set()
            await tracer.close()
        names = [span.name for span in self.collector.spans]
        self.assertEqual(names[:BATCH], [f"{number}" for number in range(BATCH)])
        self.assertEqual(names[BATCH:], [f"later {number}" for number in range(19 * QUEUE, 20 * QUEUE)])
        self.assertLessEqual(len(sdk_lines(events)), FEW)

    async def test_a_dead_one_takes_no_time_and_few_lines(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            tracer = tracer_for(url, reactor)
            with capturedLogs() as events:
                for number in range(20 * QUEUE):
                    tracer.server(f"{number}", {}, {}).end()
                await tracer.close()
        lines = sdk_lines(events)
        self.assertTrue(1 <= len(lines) <= 4 * FEW, lines)
        for line in lines:
            self.assertTrue(line.startswith("traces: "), line)


class StopTests(SynchronousTestCase):
    def test_a_collector_that_does_not_answer_does_not_hold_up_a_stop(self) -> None:
        collector = Collector()
        self.addCleanup(collector.stop)
        collector.open.clear()
        clock = ThreadedClock()
        tracer = tracer_for(collector.url, clock)
        tracer.server("work", {}, {}).end()
        closing = Deferred.fromCoroutine(tracer.close())
        self.assertTrue(collector.asked.wait(5))
        clock.advance(CLOSE_SECONDS - 0.1)
        self.assertNoResult(closing)
        clock.advance(0.1)
        self.assertIsNone(self.successResultOf(closing))
