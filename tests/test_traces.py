"""Spans of uploads and downloads: what belongs to what, through either door, and what they say."""

from __future__ import annotations

import pkgutil
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from opentelemetry.semconv import attributes as stable
from opentelemetry.semconv._incubating import attributes as incubating
from opentelemetry.trace import SpanKind, StatusCode
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

import lfsproxy
from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.errors import BrokerUnavailable, StoreRefused, StoreUnavailable
from lfsproxy.log.trail import NOBODYS, TRAIL, Trail, follow
from lfsproxy.tracing.choice import NO_TRACES, make_traces
from lfsproxy.tracing.spans import NO_SPAN, NO_TRACER, Kind
from tests.relay.records import batch, lfs, produce, record
from tests.relay.rig import PART as KAFKA_PART
from tests.relay.rig import RelayTestCase
from tests.s3.faults import Refuse
from tests.s3.helpers import PART, FakeS3TestCase
from tests.store_contract import write_all
from tests.traces import PARENT, TRACE, TRACEPARENT, Recorder, parent_of, said, trace_of
from tests.uploadlog import download_lines, upload_lines
from tests.web.doubles import Door, request
from tests.web.tus_door import TusDoor, patch

UPLOAD = "POST /v1/topics/{topic}/records"
DOWNLOAD = "GET /v1/topics/{topic}/partitions/{partition}/records/{offset}"
OWN = {"lfs.bytes", "lfs.request_id", "lfs.discarded"}


class HttpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.made = Recorder()
        self.door = Door(tracer=self.made.tracer)

    def test_an_upload_belongs_to_the_trace_of_its_client(self) -> None:
        with capturedLogs() as events:
            answer = self.door.ask(request(body=b"abc", headers=[f"traceparent: {TRACEPARENT}"]))
        span = self.made.one(UPLOAD)
        self.assertEqual((trace_of(span), parent_of(span), span.kind), (TRACE, PARENT, SpanKind.SERVER))
        self.assertEqual(
            said(span),
            {
                "http.request.method": "POST",
                "http.route": "/v1/topics/{topic}/records",
                "url.path": "/v1/topics/t/records",
                "url.scheme": "http",
                "client.address": "192.168.1.1",
                "http.response.status_code": 201,
                "aws.s3.key": answer.json["envelope"]["s3_key"],
                "lfs.bytes": 3,
                "lfs.request_id": answer.headers["x-request-id"],
            },
        )
        (publish,) = self.made.below(span)
        self.assertEqual((publish.name, publish.kind), ("send t", SpanKind.PRODUCER))
        self.assertEqual(
            said(publish),
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": "t",
                "messaging.destination.partition.id": "0",
                "messaging.kafka.offset": 0,
            },
        )
        (line,) = upload_lines(events)
        self.assertEqual(line["trace_id"], TRACE)

    def test_one_without_a_trace_or_with_a_broken_one_begins_its_own(self) -> None:
        for headers in ([], ["traceparent: 00-broken-01"], [f"traceparent: 00-{'0' * 32}-{PARENT}-01"]):
            with capturedLogs() as events:
                self.door.ask(request(body=b"abc", headers=headers))
            (line,) = upload_lines(events)
            self.assertRegex(line["trace_id"], "^[0-9a-f]{32}$")
            self.assertNotIn(line["trace_id"], (TRACE, "0" * 32))
        self.assertEqual([parent_of(span) for span in self.made.spans if span.name == UPLOAD], ["", "", ""])

    def test_one_that_the_client_does_not_sample_is_only_named_in_the_log(self) -> None:
        with capturedLogs() as events:
            self.door.ask(request(body=b"abc", headers=[f"traceparent: {TRACEPARENT[:-1]}0"]))
        (line,) = upload_lines(events)
        self.assertEqual((line["trace_id"], self.made.spans), (TRACE, ()))

    def test_a_failure_of_ours_is_an_error_and_one_of_the_client_s_is_none(self) -> None:
        self.door.store.fail_next("commit", StoreUnavailable("S3 is asleep"))
        self.door.ask(request(body=b"abc"))
        span = self.made.one(UPLOAD)
        self.assertEqual(
            (span.status.status_code, span.status.description), (StatusCode.ERROR, "S3 is asleep")
        )
        self.assertEqual(said(span)["http.response.status_code"], 503)
        self.door.ask(request(path="/v1/topics/t/records?checksum=abc", body=b"abc"))
        refused = self.made.spans[-1]
        self.assertEqual(said(refused)["http.response.status_code"], 400)
        self.assertEqual(refused.status.status_code, StatusCode.UNSET)

    def test_a_publish_that_fails_is_an_error(self) -> None:
        self.door.publisher.fail_next("publish", BrokerUnavailable("Kafka is away"))
        self.door.ask(request(body=b"abc"))
        self.assertEqual(self.made.one("send t").status.description, "Kafka is away")

    def test_a_client_that_leaves_ends_its_span(self) -> None:
        self.door.store.hold("seal")
        client = self.door.client()
        client.send(request(body=b"abc"))
        client.leave()
        span = self.made.one(UPLOAD)
        self.assertEqual(span.status.description, "the client went away")
        self.assertNotIn("http.response.status_code", said(span))

    def test_two_at_once_do_not_mix(self) -> None:
        self.door.store.hold("seal")
        clients = []
        for number in range(2):
            trace = f"{number + 1:032x}"
            client = self.door.client()
            client.send(request(body=b"abc", headers=[f"traceparent: 00-{trace}-{PARENT}-01"]))
            clients.append(client)
        with capturedLogs() as events:
            self.door.store.let_go_one("seal", -1)
            self.door.store.let_go("seal")
        publishes = [span for span in self.made.spans if span.name == "send t"]
        self.assertEqual([trace_of(span) for span in publishes], [f"{2:032x}", f"{1:032x}"])
        for publish in publishes:
            (upload,) = [span for span in self.made.spans if publish in self.made.below(span)]
            self.assertEqual(trace_of(upload), trace_of(publish))
        self.assertEqual([line["trace_id"] for line in upload_lines(events)], [f"{2:032x}", f"{1:032x}"])

    def test_a_download(self) -> None:
        self.door.ask(request(path="/v1/topics/t/records?partition=0", body=b"abc"))
        path = "/v1/topics/t/partitions/0/records/0"
        with capturedLogs() as events:
            self.door.ask(request("GET", path, None, [f"traceparent: {TRACEPARENT}", "Range: bytes=1-"]))
        span = self.made.one(DOWNLOAD)
        self.assertEqual((trace_of(span), span.kind), (TRACE, SpanKind.SERVER))
        (line,) = download_lines(events)
        self.assertEqual((line["trace_id"], line["range"]), (TRACE, "1-2"))
        found = said(span)
        self.assertEqual((found["http.response.status_code"], found["lfs.bytes"]), (206, 2))
        self.assertEqual(found["aws.s3.key"], line["key"])

    def test_probes_and_refusals_of_the_gate_have_none(self) -> None:
        for wire in (request("GET", "/healthz", None), request("GET", "/nowhere", None)):
            self.door.ask(wire)
        self.assertEqual(self.made.spans, ())


class ResumableTests(SynchronousTestCase):
    def test_the_request_that_publishes_has_the_publish_below_it(self) -> None:
        made = Recorder()
        door = TusDoor(tracer=made.tracer)
        path = door.new(4)
        with capturedLogs() as events:
            door.ask(patch(path, 0, b"abcd", f"traceparent: {TRACEPARENT}"))
        span = made.one("PATCH /v1/topics/{topic}/uploads/{id}")
        self.assertEqual((trace_of(span), said(span)["http.response.status_code"]), (TRACE, 204))
        (publish,) = made.below(span)
        self.assertEqual((publish.name, said(publish)["messaging.kafka.offset"]), ("send t", 0))
        (line,) = upload_lines(events)
        self.assertEqual(line["trace_id"], TRACE)
        door.publisher.fail_next("publish", BrokerUnavailable("Kafka is away"))
        door.create("Upload-Length: 0")
        self.assertEqual(made.spans[-2].status.description, "Kafka is away")


class KafkaTests(RelayTestCase):
    def setUp(self) -> None:
        self.made = Recorder()
        self.tracer = self.made.tracer
        super().setUp()

    def test_each_record_belongs_to_the_trace_that_its_header_names(self) -> None:
        other = f"00-{5:032x}-{PARENT}-01"
        wanted = (b"traceparent", TRACEPARENT.encode())
        self.client().send(
            produce(
                1, batch(lfs(b"one", wanted), record(b"plain"), lfs(b"two", (b"traceparent", other.encode())))
            )
        )
        uploads = [span for span in self.made.spans if span.name == "upload demo-topic"]
        self.assertEqual([trace_of(span) for span in uploads], [TRACE, f"{5:032x}"])
        self.assertEqual([parent_of(span) for span in uploads], [PARENT, PARENT])
        keys = list(self.store.blobs)
        for index, span in enumerate(uploads):
            self.assertEqual(
                said(span),
                {
                    "messaging.system": "kafka",
                    "messaging.destination.name": "demo-topic",
                    "messaging.destination.partition.id": "0",
                    "messaging.client.id": "a-client",
                    "client.address": "127.0.0.1",
                    "aws.s3.key": keys[index],
                    "lfs.bytes": 3,
                },
            )
            (publish,) = self.made.below(span)
            self.assertEqual(said(publish)["messaging.kafka.offset"], 2 * index)
        self.assertEqual([line["trace_id"] for line in upload_lines(self.events)], [TRACE, f"{5:032x}"])

    def test_the_record_keeps_its_header_and_gets_no_other(self) -> None:
        wanted = (b"traceparent", TRACEPARENT.encode())
        self.client().send(produce(1, batch(lfs(b"one", wanted, (b"x", b"y")))))
        self.client().send(produce(2, batch(lfs(b"two", (b"x", b"y")))))
        headers = [
            list(each.headers) for found in self.cluster.records("demo-topic", 0) for each in found.records
        ]
        self.assertEqual(headers, [[wanted, (b"x", b"y")], [(b"x", b"y")]])

    def test_one_that_is_uploaded_before_its_headers_are_read_is_linked(self) -> None:
        self.client().send(
            produce(1, batch(lfs(bytes(3 * KAFKA_PART), (b"traceparent", TRACEPARENT.encode()))))
        )
        span = self.made.one("upload demo-topic")
        self.assertEqual([f"{link.context.trace_id:032x}" for link in span.links], [TRACE])
        self.assertNotEqual(trace_of(span), TRACE)

    def test_one_that_was_no_upload_after_all_says_so(self) -> None:
        self.client().send(produce(1, batch(record(bytes(2 * KAFKA_PART)))))
        self.assertTrue(said(self.made.one("upload demo-topic"))["lfs.discarded"])

    def test_failures_end_their_spans_too(self) -> None:
        self.store.fail_next("commit", StoreUnavailable("S3 is asleep"))
        self.client().send(produce(1, batch(lfs(b"one"))))
        self.client().send(produce(2, batch(lfs(b"one", mark=b"not hex"))))
        first, second = (span.status.description or "" for span in self.made.spans)
        self.assertEqual(first, "S3 is asleep")
        self.assertIn("hex", second)


class StoreTests(FakeS3TestCase):
    """Requests to S3 belong to the upload that they are for, whoever's turn it was that sent them."""

    def setUp(self) -> None:
        super().setUp()
        self.made = Recorder()

    async def upload(self, key: str, size: int) -> Trail:
        trail = Trail(self.made.tracer.server(key, {}, {}), key)
        with follow(trail):
            upload = self.s3.blobs.begin(key, "a/b", {}, new_checksum("sha256"), None, HeldMemory())
        # From here on nothing but the upload itself knows whose it is.
        self.assertIs(TRAIL.get(), NOBODYS)
        try:
            await write_all(upload, bytes(size))
            await upload.seal()
            await upload.commit({})
        except BaseException as error:
            await upload.abort()
            trail.span.end(str(error))
            raise
        trail.span.end()
        return trail

    async def test_two_uploads_side_by_side(self) -> None:

        trails = await gatherResults(
            [Deferred.fromCoroutine(self.upload(key, 7 * PART)) for key in ("one", "two")]
        )
        for key, trail in zip(("one", "two"), trails, strict=True):
            spans = self.made.below(self.made.one(key))
            names = sorted(span.name for span in spans)
            self.assertEqual(
                names,
                ["S3.CompleteMultipartUpload", "S3.CreateMultipartUpload", *["S3.UploadPart"] * 7],
            )
            self.assertEqual({said(span)["aws.s3.key"] for span in spans}, {key})
            parts = sorted(said(span).get("aws.s3.part_number", 0) for span in spans)
            self.assertEqual(parts, [0, 0, 1, 2, 3, 4, 5, 6, 7])
            ids = {span.name: said(span)["aws.request_id"] for span in spans}
            self.assertEqual(trail.s3_request_id, ids["S3.CompleteMultipartUpload"])

    async def test_what_a_request_says(self) -> None:
        await self.upload("k", 10)
        span = self.made.one("S3.PutObject")
        self.assertEqual(span.kind, SpanKind.CLIENT)
        self.assertEqual(
            said(span),
            {
                "rpc.system.name": "aws-api",
                "rpc.method": "S3/PutObject",
                "aws.s3.bucket": self.s3.location.bucket,
                "aws.s3.key": "k",
                "http.request.method": "PUT",
                "server.address": "127.0.0.1",
                "server.port": self.port,
                "http.response.status_code": 200,
                "aws.request_id": "fake-1",
            },
        )

    async def test_each_try_has_its_own(self) -> None:
        self.fake.fault("put_object", Refuse(503))
        trail = await self.upload("k", 10)
        first, second = self.made.below(self.made.one("k"))
        self.assertEqual(first.status.status_code, StatusCode.ERROR)
        self.assertEqual(second.status.status_code, StatusCode.UNSET)
        self.assertEqual(said(second)["http.request.resend_count"], 1)
        self.assertEqual(trail.s3_request_id, "fake-2")

    async def test_a_refusal_is_the_request_that_mattered(self) -> None:
        self.fake.fault("upload_part", Refuse(403, "AccessDenied"))
        with self.assertRaises(StoreRefused):
            await self.upload("k", 8 * PART)
        refused = [span for span in self.made.spans if span.status.status_code is StatusCode.ERROR]
        self.assertIn("AccessDenied", refused[0].status.description or "")

    async def test_requests_of_nobody_have_none(self) -> None:
        await self.s3.blobs.check()
        self.assertEqual(self.made.spans, ())


class ConventionTests(SynchronousTestCase):
    def test_every_attribute_is_one_of_the_conventions(self) -> None:
        """By their names in the source: what no test makes is looked at too."""

        known = set(OWN)
        for package in (stable, incubating):
            for module in pkgutil.iter_modules(package.__path__):
                values: Any = vars(import_module(f"{package.__name__}.{module.name}"))
                known |= {value for value in values.values() if isinstance(value, str)}
        prefixes = "aws|client|http|lfs|messaging|rpc|server|url"
        folder = Path(lfsproxy.__file__).parent
        used = set[str]()
        for name in (
            "claimcheck",
            "resumable/publication",
            "relay/produce/spans",
            "s3/spans",
            "web/followed",
        ):
            used |= set(re.findall(rf'"((?:{prefixes})\.[a-z0-9_.]+)"', (folder / f"{name}.py").read_text()))
        self.assertEqual(used - known, set())
        self.assertGreater(len(used), 20)


class OffTests(SynchronousTestCase):
    def lines(self, **environment: str) -> list[str]:
        """What is logged where traces stay off."""
        with capturedLogs() as events:
            self.assertEqual(make_traces(None, environment), NO_TRACES)
        return [formatEvent(event) for event in events]

    def test_off_unless_asked_for(self) -> None:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
        for environment in (
            {},
            {"OTEL_SERVICE_NAME": "x"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
            {**endpoint, "OTEL_TRACES_EXPORTER": "none"},
            {**endpoint, "OTEL_SDK_DISABLED": "true"},
        ):
            self.assertEqual(self.lines(**environment), [])

    def test_what_is_not_known_is_a_warning(self) -> None:
        (line,) = self.lines(OTEL_TRACES_EXPORTER="zipkin")
        self.assertIn("OTEL_TRACES_EXPORTER is 'zipkin'", line)
        (line,) = self.lines(OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
        self.assertIn("OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'", line)

    def test_a_variable_that_opentelemetry_refuses_is_a_warning(self) -> None:
        refused = {"OTEL_BSP_MAX_QUEUE_SIZE": "100"}
        with mock.patch.dict("os.environ", refused):
            (line,) = self.lines(OTEL_EXPORTER_OTLP_ENDPOINT="http://localhost:4318")
        self.assertIn("OpenTelemetry refuses a variable: max_export_batch_size must be", line)

    def test_a_missing_package_is_a_warning(self) -> None:
        missing: dict[str, Any] = {"lfsproxy.tracing.otel": None, "opentelemetry": None}
        with mock.patch.dict(sys.modules, missing):
            (line,) = self.lines(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://localhost:4318/v1/traces")
        self.assertIn("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, but there are no traces", line)
        self.assertIn("its extra, otel", line)

    def test_nothing_is_made_without_traces(self) -> None:
        self.assertIs(NO_TRACER.server("x", {}, {}), NO_SPAN)
        self.assertIs(NO_SPAN.child("x", Kind.CLIENT, {}), NO_SPAN)
        with capturedLogs() as events:
            Door().ask(request(body=b"abc", headers=[f"traceparent: {TRACEPARENT}"]))
        (line,) = upload_lines(events)
        self.assertNotIn("trace_id", line)
