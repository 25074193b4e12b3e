"""The log and the traces of a real proxy: one line for each upload and download of either door, as JSON."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from twisted.trial.unittest import TestCase

from tests.collector import Collector
from tests.integration.kafka_door import wait_for
from tests.integration.proxy import ProxyProcess, own_proxy
from tests.integration.stack import in_thread, stack
from tests.traces import PARENT

TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
DATA = b"some bytes"


def trace(number: int) -> str:
    return f"{number:032x}"


def ask(proxy: ProxyProcess, method: str, path: str, number: int, body: bytes | None, **headers: str) -> Any:
    """The answer to a request that is in a trace of its own, and its body."""
    sent = {"X-Request-Id": f"order-{number}", "traceparent": f"00-{trace(number)}-{PARENT}-01", **headers}
    wire = urllib.request.Request(f"{proxy.http}{path}", body, sent, method=method)
    with urllib.request.urlopen(wire, timeout=30) as answer:
        return answer, answer.read()


def produce(bootstrap: str, topic: str, number: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "client.id": "app-1"})
    named = f"00-{trace(number)}-{PARENT}-01"
    producer.produce(topic, DATA, headers=[("LFS_BLOB", b""), ("traceparent", named.encode())], partition=0)
    assert producer.flush(30) == 0


class LogTests(TestCase):
    timeout = 120

    async def test_each_upload_and_download_has_one_line_and_its_spans(self) -> None:
        servers = await stack()
        topic = await servers.new_topic("logs")
        collector = Collector()
        self.addCleanup(collector.stop)
        proxy = await own_proxy(
            self, servers, LFS_LOG_FORMAT="json", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url
        )
        records = f"/v1/topics/{topic}/records?partition=0"
        await in_thread(ask, proxy, "POST", records, 1, DATA)
        await in_thread(produce, proxy.bootstrap, topic, 2)
        tus = {**TUS, "Upload-Length": str(len(DATA))}
        await in_thread(ask, proxy, "POST", f"/v1/topics/{topic}/uploads", 3, DATA, **tus)
        path = f"/v1/topics/{topic}/partitions/0/records/0"
        _, body = await in_thread(ask, proxy, "GET", path, 4, None, Range="bytes=5-")
        self.assertEqual(body, DATA[5:])

        lines = await in_thread(wait_for, lambda: self.transfers(proxy), lambda found: len(found) == 4)
        by_http, by_kafka, by_tus, download = lines
        for number, line in enumerate(lines, 1):
            self.assertEqual((line["event"], line["result"]), ("upload" if number < 4 else "download", "ok"))
            self.assertEqual((line["topic"], line["trace_id"]), (topic, trace(number)))
            self.assertTrue(line["peer"].startswith("127.0.0.1:"), line)
            self.assertTrue(line["s3_request_id"] and line["key"], line)
            self.assertGreaterEqual(line["seconds"], 0)
        self.assertEqual([line["door"] for line in lines], ["http", "kafka", "tus", "http"])
        self.assertEqual([line["bytes"] for line in lines], [10, 10, 10, 5])
        self.assertEqual((by_http["offset"], by_kafka["offset"]), (0, 1))
        self.assertEqual(by_kafka["client"], "app-1")
        self.assertNotIn("request_id", by_kafka)
        self.assertEqual(
            [line["request_id"] for line in (by_http, by_tus, download)], ["order-1", "order-3", "order-4"]
        )
        self.assertEqual((download["status"], download["range"], download["offset"]), (206, "5-9", 0))
        self.assertEqual(download["key"], by_http["key"])

        await in_thread(proxy.stop)
        for number, root, below in (
            (1, "POST /v1/topics/{topic}/records", ["S3.PutObject", f"send {topic}"]),
            (2, f"upload {topic}", ["S3.PutObject", f"send {topic}"]),
            (4, "GET /v1/topics/{topic}/partitions/{partition}/records/{offset}", ["S3.GetObject"]),
        ):
            spans = [span for span in collector.spans if span.trace_id.hex() == trace(number)]
            (top,) = [span for span in spans if span.parent_span_id.hex() == PARENT]
            self.assertEqual((top.name, top.kind), (root, Span.SPAN_KIND_SERVER))
            children = sorted(
                (span for span in spans if span.parent_span_id == top.span_id),
                key=lambda span: span.start_time_unix_nano,
            )
            self.assertEqual([span.name for span in children], below)
            self.assertEqual(len(spans), 1 + len(children))
            said = {attribute.key: attribute.value.string_value for attribute in children[0].attributes}
            self.assertEqual(said["aws.request_id"], lines[number - 1]["s3_request_id"])
        tus_spans = [span for span in collector.spans if span.trace_id.hex() == trace(3)]
        ids = {
            attribute.value.string_value
            for span in tus_spans
            for attribute in span.attributes
            if attribute.key == "aws.request_id"
        }
        self.assertIn(by_tus["s3_request_id"], ids)
        self.assertIn(f"send {topic}", [span.name for span in tus_spans])

    @staticmethod
    def transfers(proxy: ProxyProcess) -> list[dict[str, Any]]:
        """The lines about uploads and downloads so far. Every line of the log has to be JSON."""
        lines = [json.loads(line) for line in proxy.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") in ("upload", "download")]
