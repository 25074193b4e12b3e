"""What is not to be offloaded passes as it came."""

from __future__ import annotations

from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import batch, lfs, produce, produce_topics, record, request
from tests.relay.rig import KIB, RelayTestCase


class PassThroughTests(RelayTestCase):
    def test_a_plain_produce_passes_byte_for_byte(self) -> None:
        for version in range(3, 13):
            frame = produce(version, batch(record(b"a", (b"h", b"v")), record(None)), version=version)
            client = self.client()
            client.send(frame)
            self.assertEqual(self.broker.requests[-1].frame, frame)
            self.assertEqual(client.code(version, version), 0)
        self.assertEqual(self.blobs, [])

    def test_a_large_plain_produce_passes_byte_for_byte(self) -> None:
        frame = produce(1, batch(record(bytes(200 * KIB))), batch(record(bytes(200 * KIB))))
        client = self.client()
        client.send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 0])

    def test_tagged_fields_and_null_records_pass(self) -> None:
        topic = TopicRecords(
            "demo-topic", [PartitionRecords(0, None, [(5, b"p")]), PartitionRecords(1, [b""])], [(6, b"t")]
        )
        frame = produce_topics(1, [topic], header_tags=[(7, b"h")], tags=[(8, b"e")])
        self.client().send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)

    def test_a_format_without_headers_passes(self) -> None:
        frame = produce(1, batch(lfs(b"LFS_BLOB"), magic=1), version=3)
        self.client().send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)

    def test_a_null_value_passes_with_its_lfs_headers(self) -> None:
        frame = produce(1, batch(lfs(None, (b"LFS_BLOB_ALG", b"md5"))))
        self.client().send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)
        self.assertEqual(self.blobs, [])

    def test_the_algorithm_s_header_alone_offloads_nothing(self) -> None:
        frame = produce(1, batch(record(b"value", (b"LFS_BLOB_ALG", b"md5"))))
        self.client().send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)

    def test_a_value_that_contains_the_header_s_name_passes(self) -> None:
        frame = produce(1, batch(record(b"LFS_BLOB", (b"xLFS_BLOB", b""))))
        self.client().send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)

    def test_other_requests_and_their_answers_pass(self) -> None:
        client = self.client()
        frame = request(KafkaApi.FETCH, 12, 9, b"x" * 300 * KIB)
        client.send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)
        self.assertEqual([reply.body for reply in client.replies], [b"answer to " + b"x" * 300 * KIB])


class TopicTests(RelayTestCase):
    overrides = {"topics": ("media-*", "exact")}

    def test_a_topic_that_no_glob_matches_passes(self) -> None:
        frame = produce(1, batch(lfs(b"value")), topic="demo-topic")
        self.client().send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)
        self.assertEqual(self.blobs, [])

    def test_a_topic_that_a_glob_matches_is_looked_into(self) -> None:
        self.client().send(
            produce(1, batch(lfs(b"one")), topic="media-video"), produce(2, batch(lfs(b"two")), topic="exact")
        )
        self.assert_published(b"one", topic="media-video")
        self.assert_published(b"two", topic="exact")
