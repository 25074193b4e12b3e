"""Names, labels and bounds of the metrics, and the page that Prometheus reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet.address import IPv6Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lfsproxy.interfaces import IMetrics
from lfsproxy.metrics import BUCKETS, MAX_APIS, MAX_TOPICS, MetricsSite, PrometheusMetrics

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "metrics.md"


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = PrometheusMetrics("1.2.3")

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def test_provides_the_interface(self) -> None:
        verifyObject(IMetrics, self.metrics)

    def test_readiness_is_asked_at_each_scrape(self) -> None:
        answers = [True, False]
        self.metrics.ready("s3", lambda: answers.pop(0))
        self.assertEqual(self.value("lfsproxy_ready", dependency="s3"), 1)
        self.assertEqual(self.value("lfsproxy_ready", dependency="s3"), 0)

    def test_published_upload_counts_bytes_and_time(self) -> None:
        self.metrics.upload("kafka", "photos", "ok", 1000, 0.2)
        self.metrics.upload("kafka", "photos", "ok", 500, 0.3)
        self.assertEqual(self.value("lfsproxy_uploads_total", path="kafka", topic="photos", result="ok"), 2)
        self.assertEqual(self.value("lfsproxy_upload_bytes_total", path="kafka", topic="photos"), 1500)
        self.assertEqual(self.value("lfsproxy_upload_seconds_count", path="kafka"), 2)
        self.assertEqual(self.value("lfsproxy_upload_seconds_sum", path="kafka"), 0.5)

    def test_failed_upload_counts_no_bytes(self) -> None:
        self.metrics.upload("http", "photos", "ok", 0, 0.2)
        self.metrics.upload("http", "photos", "store_error", 1000, 0.2)
        self.assertEqual(
            self.value("lfsproxy_uploads_total", path="http", topic="photos", result="store_error"), 1
        )
        self.assertEqual(self.value("lfsproxy_upload_bytes_total", path="http", topic="photos"), 0)

    def test_made_up_topics_leave_room_for_real_ones(self) -> None:
        for number in range(MAX_TOPICS + 5):
            self.metrics.upload("kafka", f"made-up-{number}", "broker_error", 1, 0.1)
        self.metrics.upload("kafka", "photos", "ok", 1, 0.1)
        self.assertEqual(self.value("lfsproxy_uploads_total", path="kafka", topic="photos", result="ok"), 1)
        self.assertEqual(
            self.value("lfsproxy_uploads_total", path="kafka", topic="other", result="broker_error"),
            MAX_TOPICS + 5,
        )

    def test_topics_beyond_the_bound_are_other(self) -> None:
        for number in range(MAX_TOPICS + 5):
            self.metrics.upload("http", f"topic-{number}", "ok", 1, 0.1)
        self.metrics.upload("http", "topic-7", "ok", 1, 0.1)
        self.assertEqual(self.value("lfsproxy_uploads_total", path="http", topic="other", result="ok"), 5)
        self.assertEqual(self.value("lfsproxy_uploads_total", path="http", topic="topic-7", result="ok"), 2)

    def test_apis_of_clients_are_bounded(self) -> None:
        for number in range(MAX_APIS + 3):
            self.metrics.kafka_request(f"api-{number}", None)
        self.assertEqual(self.value("lfsproxy_kafka_requests_total", api="other"), 3)

    def test_kafka_request_without_a_time_is_only_counted(self) -> None:
        self.metrics.kafka_request("Fetch", None)
        self.metrics.kafka_request("Produce", 0.01)
        self.assertEqual(self.value("lfsproxy_kafka_requests_total", api="Fetch"), 1)
        self.assertIsNone(self.value("lfsproxy_kafka_request_seconds_count", api="Fetch"))
        self.assertEqual(self.value("lfsproxy_kafka_request_seconds_count", api="Produce"), 1)

    def test_connections_go_up_and_down(self) -> None:
        for change in (1, 1, -1):
            self.metrics.kafka_connection(change)
        self.assertEqual(self.value("lfsproxy_kafka_connections"), 1)

    def test_the_other_counters_have_their_labels(self) -> None:
        self.metrics.kafka_closed("framing")
        self.metrics.s3_operation("PutObject", "ok", 0.1)
        self.metrics.s3_retry("UploadPart")
        self.metrics.http_request("/v1/topics/{topic}/records", "POST", 201)
        self.metrics.checksum_mismatch("http")
        self.metrics.orphan("unknown_outcome")
        self.metrics.publish(0.02)
        for name, labels in (
            ("lfsproxy_kafka_closed_total", {"reason": "framing"}),
            ("lfsproxy_s3_operation_seconds_count", {"operation": "PutObject", "result": "ok"}),
            ("lfsproxy_s3_retries_total", {"operation": "UploadPart"}),
            (
                "lfsproxy_http_requests_total",
                {"route": "/v1/topics/{topic}/records", "method": "POST", "status": "201"},
            ),
            ("lfsproxy_checksum_mismatches_total", {"path": "http"}),
            ("lfsproxy_orphans_total", {"reason": "unknown_outcome"}),
            ("lfsproxy_publish_seconds_count", {}),
        ):
            self.assertEqual(self.value(name, **labels), 1, name)

    def test_what_alerts_look_for_is_0_before_it_first_happens(self) -> None:
        for path in ("kafka", "http", "tus"):
            self.assertEqual(self.value("lfsproxy_checksum_mismatches_total", path=path), 0)
        for reason in ("unknown_outcome", "abort_failed", "delete_failed"):
            self.assertEqual(self.value("lfsproxy_orphans_total", reason=reason), 0)

    def test_memory_is_read_when_asked(self) -> None:
        used = [7]
        self.metrics.memory(lambda: used[0], 100)
        self.assertEqual(self.value("lfsproxy_upload_memory_bytes"), 7)
        used[0] = 9
        self.assertEqual(self.value("lfsproxy_upload_memory_bytes"), 9)
        self.assertEqual(self.value("lfsproxy_upload_memory_limit_bytes"), 100)

    def test_build_info_names_the_version(self) -> None:
        [family] = [f for f in self.metrics.registry.collect() if f.name == "lfsproxy_build"]
        self.assertEqual(family.samples[0].name, "lfsproxy_build_info")
        self.assertEqual(family.samples[0].labels["version"], "1.2.3")

    def test_buckets_run_from_5_ms_to_an_hour(self) -> None:
        self.assertEqual((BUCKETS[0], BUCKETS[-1]), (0.005, 3600))
        self.assertEqual(sorted(BUCKETS), list(BUCKETS))


class ScrapeTests(SynchronousTestCase):
    """Connections to the metrics that bring no request."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.channel = cast(Any, MetricsSite(PrometheusMetrics("1").registry)).buildProtocol(None)
        self.channel.callLater = self.clock.callLater
        self.transport = StringTransport(peerAddress=IPv6Address("TCP", "::ffff:10.1.2.3", 4000))
        self.channel.makeConnection(self.transport)

    def said(self, events: Sequence[Any]) -> list[str]:
        return [formatEvent(event) or "" for event in events]

    def test_tls_where_there_is_none_is_turned_away_at_once(self) -> None:
        with capturedLogs() as events:
            self.channel.dataReceived(b"\x16\x03\x01\x02\x00\x01")
        why = "it speaks TLS, and LFS_METRICS_TLS is not set"
        self.assertEqual(self.said(events), [f"a client of the metrics (10.1.2.3) is turned away: {why}"])
        self.assertTrue(self.transport.disconnecting)
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 400 "))

    def test_one_that_sends_nothing_and_stays_is_cut_without_alarm(self) -> None:
        with capturedLogs() as events:
            self.clock.advance(60)
            self.assertTrue(self.transport.disconnecting)
            self.clock.advance(15)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.said(events), [])


class MetricsSiteTests(SynchronousTestCase):
    def ask(self, path: str, accept: str = "*/*") -> tuple[bytes, bytes]:
        metrics = PrometheusMetrics("1.2.3")
        metrics.kafka_closed("framing")
        channel = cast(Any, MetricsSite(metrics.registry)).buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(f"GET {path} HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode())
        head, _, body = transport.value().partition(b"\r\n\r\n")
        return head, body

    def test_metrics_are_prometheus_text(self) -> None:
        head, body = self.ask("/metrics")
        self.assertIn(b"200 OK", head)
        self.assertIn(b"text/plain; version=0.0.4", head)
        self.assertIn(b'lfsproxy_kafka_closed_total{reason="framing"} 1.0\n', body)
        self.assertIn(b"process_resident_memory_bytes", body)

    def test_openmetrics_where_asked_for(self) -> None:
        head, body = self.ask("/metrics", "application/openmetrics-text; version=1.0.0")
        self.assertIn(b"application/openmetrics-text", head)
        self.assertTrue(body.endswith(b"# EOF\n"))

    def test_other_paths_are_404(self) -> None:
        for path in ("/", "/metrics/more", "/v1"):
            self.assertIn(b" 404 ", self.ask(path)[0], path)


class ReferenceTests(SynchronousTestCase):
    def test_the_reference_page_lists_every_metric(self) -> None:
        metrics = PrometheusMetrics("1.2.3")
        metrics.memory(lambda: 0, 1)
        suffix = {"counter": "_total", "info": "_info"}
        counted = {
            family.name + suffix.get(family.type, "")
            for family in metrics.registry.collect()
            if family.name.startswith("lfsproxy_")
        }
        self.assertEqual(set(re.findall(r"^\| `(lfsproxy_\w+)` \|", PAGE.read_text(), re.M)), counted)
