"""Bytes that cannot be followed: the connection is closed, one line is logged, and it is counted."""

from __future__ import annotations

import struct

from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, RelayTestCase


class FramingTestCase(RelayTestCase):
    def assert_closed(self, data: bytes, why: str) -> None:
        client = self.client()
        client.send(data)
        self.assertFalse(client.is_open)
        self.assertEqual(self.metrics.of("kafka_closed"), [("broken-framing",)])
        (line,) = self.lines()
        self.assertRegex(line, why)
        self.assertIn("127.0.0.1:40000", line)
        self.assertNotIn("None", line)
        self.assertEqual(self.broker.requests, [])
        self.assert_nothing_published()


class FramingTests(FramingTestCase):
    def test_a_length_that_is_none(self) -> None:
        self.assert_closed(struct.pack(">i", -1), "length is -1")

    def test_tls_on_a_plaintext_port(self) -> None:
        self.assert_closed(b"\x16\x03\x01\x02\x00\x01\x00", "looks like TLS on a plaintext")

    def test_http_on_the_kafka_port(self) -> None:
        self.assert_closed(b"GET / HTTP/1.1\r\n\r\n", "looks like HTTP on the Kafka port")

    def test_a_client_id_beyond_the_frame(self) -> None:
        self.assert_closed(struct.pack(">ihhih", 12, 0, 9, 1, 100), "client id")

    def test_a_produce_request_that_is_cut_short(self) -> None:
        frame = produce(1, batch(lfs(b"blob")))
        body = frame[4:-20]
        self.assert_closed(struct.pack(">i", len(body)) + body, "Produce request")

    def test_bytes_after_the_end_of_a_produce_request(self) -> None:
        body = produce(1, batch(lfs(b"blob")))[4:] + b"xyz"
        self.assert_closed(struct.pack(">i", len(body)) + body, "3 bytes after the end")

    def test_records_longer_than_a_large_produce_request(self) -> None:
        data = batch(record(bytes(800 * KIB)))
        body = produce(1, data, version=8)[4:]
        body = body.replace(struct.pack(">i", len(data)), struct.pack(">i", 2**31 - 1), 1)
        self.assert_closed(struct.pack(">i", len(body)) + body, "records of")

    def test_more_items_than_the_request_has_bytes(self) -> None:
        body = struct.pack(">hhih", 0, 8, 1, -1) + struct.pack(">hhii", -1, -1, 30000, 2**30)
        self.assert_closed(struct.pack(">i", len(body)) + body, "items")

    def test_what_came_before_is_still_given_up_cleanly(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))), b"\xff\xff\xff\xff")
        self.assertFalse(client.is_open)
        self.assertEqual(self.store.open_uploads, 0)
        self.assertEqual(self.broker.requests, [])

    def test_a_well_formed_request_of_any_size_split_anywhere_is_followed(self) -> None:
        data = produce(1, batch(lfs(b"blob"))) + request(KafkaApi.FETCH, 12, 2, b"fetch")
        client = self.client()
        for byte in data:
            client.wire.arrive(bytes([byte]))
        self.net.flow()
        self.assertEqual(client.order, [1, 2])


class ManyPartitionsTests(FramingTestCase):
    # Memory for what the entries take before they are counted to the end.
    overrides = {"upload_memory": 16 * 1024 * KIB}

    def test_more_partitions_than_any_broker_has(self) -> None:
        self.assert_closed(produce(1, *[None] * 16385, version=8), "more than 16384 partitions")
