"""LFS records: their values go to the store, their envelopes to the broker, and everything else stays."""

from __future__ import annotations

import hashlib
import zlib

from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import batch, lfs, produce, produce_topics, read_batch, record, request
from tests.relay.rig import KIB, PASSTHROUGH, RelayTestCase
from tests.wire.helpers import CODECS


class OffloadTests(RelayTestCase):
    def test_a_value_is_replaced_by_its_envelope(self) -> None:
        value = b"payload" * 1000
        client = self.client()
        client.send(produce(1, batch(lfs(value, (b"content-type", b"image/png")))))
        self.assertEqual(client.code(1), 0)
        (sent,) = self.cluster.records()
        (envelope,) = sent.envelopes
        self.assertEqual((envelope.s3_bucket, envelope.content_type), ("kafscale", "image/png"))
        self.assertEqual((envelope.content_length, envelope.checksum_algo), (7000, "sha256"))
        self.assertEqual(envelope.checksum, hashlib.sha256(value).hexdigest())
        self.assertRegex(envelope.s3_key, r"^lfs/default/demo-topic/0/0-[0-9a-f-]{36}\.bin$")
        self.assert_published(value)

    def test_only_the_lfs_headers_are_removed(self) -> None:
        others = [(b"trace", b"1"), (b"content-type", b"a/b"), (b"\xff\xfe", None), (b"trace", b"2")]
        headers = [others[0], (b"LFS_BLOB", b""), *others[1:3], (b"LFS_BLOB_ALG", b"md5"), others[3]]
        self.client().send(produce(1, batch(record(b"value", *headers))))
        (sent,) = self.cluster.records()
        self.assertEqual(sent.records[0].headers, others)

    def test_keys_timestamps_order_and_other_records_stay(self) -> None:
        others = [record(b"first"), record(None, key=None), record(b"last", (b"h", b""))]
        data = batch(
            others[0],
            lfs(b"blob-1", key=b"k1"),
            others[1],
            lfs(b"blob-2", key=None),
            others[2],
            producer=7,
            epoch=3,
            sequence=42,
        )
        self.client().send(produce(1, data))
        before, after = read_batch(data), self.cluster.records()[0]
        self.assertEqual(
            [
                (after.base_timestamp, after.max_timestamp, after.last_offset_delta, after.attributes),
                (after.producer_id, after.producer_epoch, after.base_sequence),
            ],
            [(before.base_timestamp, before.max_timestamp, 4, 0), (7, 3, 42)],
        )
        kept = [(each.key, each.timestamp_delta, each.offset_delta) for each in after.records]
        self.assertEqual(
            kept, [(each.key, each.timestamp_delta, each.offset_delta) for each in before.records]
        )
        self.assertEqual([after.records[i] for i in (0, 2, 4)], [before.records[i] for i in (0, 2, 4)])
        self.assert_published(b"blob-1", b"blob-2")

    def test_a_null_value_beside_an_offloaded_one_keeps_its_headers(self) -> None:
        self.client().send(produce(1, batch(lfs(None), lfs(b"blob"))))
        tombstone = self.cluster.records()[0].records[0]
        self.assertEqual((tombstone.value, tombstone.headers), (None, [(b"LFS_BLOB", b"")]))
        self.assert_published(b"blob")

    def test_a_null_mark_counts_as_empty(self) -> None:
        self.client().send(produce(1, batch(lfs(b"blob", mark=None))))
        self.assert_published(b"blob")

    def test_an_empty_value_is_offloaded(self) -> None:
        self.client().send(produce(1, batch(lfs(b""))))
        self.assert_published(b"")

    def test_a_right_checksum_is_accepted_in_either_case(self) -> None:
        for algorithm, digest in (
            (b"sha256", hashlib.sha256(b"blob").hexdigest()),
            (b"md5", hashlib.md5(b"blob").hexdigest().upper()),
            (b"crc32", f"{zlib.crc32(b'blob'):08x}"),
        ):
            client = self.client()
            mark = digest.encode()
            client.send(produce(1, batch(lfs(b"blob", (b"LFS_BLOB_ALG", algorithm), mark=mark))))
            self.assertEqual(client.code(1), 0)
            (envelope,) = self.cluster.records()[-1].envelopes
            self.assertEqual(envelope.checksum_algo, algorithm.decode())
            self.assertEqual(envelope.checksum, digest.lower())

    def test_every_codec_is_rewritten_in_itself(self) -> None:
        large = bytes(range(256)) * 4 * 100
        for codec, xerial in CODECS:
            data = batch(record(b"plain"), lfs(large), record(b"end"), codec=codec, xerial=xerial)
            client = self.client()
            client.send(produce(1, data))
            self.assertEqual(client.code(1), 0, f"codec {codec}")
            sent = self.cluster.records()[-1]
            self.assertEqual(sent.attributes, codec)
            self.assertEqual((sent.records[0].value, sent.records[2].value), (b"plain", b"end"))
            (envelope,) = sent.envelopes
            self.assertEqual(self.store.blobs[envelope.s3_key].data, large)

    def test_snappy_keeps_its_framing(self) -> None:
        for xerial in (True, False):
            self.client().send(produce(1, batch(lfs(b"x" * KIB), codec=2, xerial=xerial)))
            ((_, _, sent),) = self.broker.requests[-1].batches()
            self.assertEqual((sent or b"")[61:69] == b"\x82SNAPPY\0", xerial)

    def test_a_compressed_batch_without_lfs_records_passes_byte_for_byte(self) -> None:
        for codec, xerial in CODECS:
            frame = produce(1, batch(record(b"value" * 100), codec=codec, xerial=xerial))
            self.client().send(frame)
            self.assertEqual(self.broker.requests[-1].frame, frame)

    def test_the_rest_of_the_request_stays(self) -> None:
        plain = batch(record(b"plain"))
        topics = [
            TopicRecords("b", [PartitionRecords(3, [batch(lfs(b"blob"))], [(5, b"p")])], [(6, b"t")]),
            TopicRecords("a", [PartitionRecords(0, None), PartitionRecords(1, [plain])]),
        ]
        client = self.client()
        client.send(
            produce_topics(
                1, topics, transactional_id="tx", header_tags=[(7, b"h")], tags=[(8, b"e")], version=12
            )
        )
        sent = self.broker.requests[-1]
        self.assertEqual((sent.version, sent.correlation_id, sent.client_id), (12, 1, b"a-client"))
        info = sent.info
        self.assertEqual((info.transactional_id, info.acks, info.timeout_ms), ("tx", -1, 30000))
        self.assertEqual((info.header_tags, sent.end.tags), ([(7, b"h")], [(8, b"e")]))
        self.assertEqual([each[:2] for each in sent.batches()], [("b", 3), ("a", 0), ("a", 1)])
        self.assertEqual([each[2] for each in sent.batches()][1:], [None, plain])
        self.assert_published(b"blob", topic="b", partition=3)
        self.assertEqual(
            [(each.topic, each.partition) for each in client.verdicts(1, 12)], [("b", 3), ("a", 0), ("a", 1)]
        )

    def test_a_batch_as_large_as_the_limits_is_offloaded(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(bytes(200 * KIB)), record(bytes(200 * KIB)))))
        self.assertEqual(client.code(1), 0)
        self.assert_published(bytes(200 * KIB))

    def test_more_records_than_uploads_at_once_keep_their_order(self) -> None:
        values = [b"%d" % index for index in range(100)]
        self.client().send(produce(1, batch(*[lfs(value) for value in values])))
        self.assert_published(*values)

    def test_uploads_of_one_request_run_at_most_32_at_a_time(self) -> None:
        self.store.hold("seal")
        self.client().send(produce(1, batch(*[lfs(b"x") for _ in range(50)])))
        self.assertEqual(self.store.held("seal"), 32)

    def test_a_published_blob_is_counted(self) -> None:
        self.client().send(produce(1, batch(lfs(b"12345"))))
        self.assertEqual(self.metrics.of("upload"), [("kafka", "demo-topic", "ok", 5, 0.0)])
        self.assertEqual(self.metrics.of("kafka_request"), [("Produce", 0.0)])


class ThresholdTests(RelayTestCase):
    overrides = {"offload_threshold": 1000}

    def test_a_value_of_the_threshold_s_size_is_offloaded_without_a_header(self) -> None:
        self.client().send(produce(1, batch(record(b"x" * 999), record(b"x" * 1000, (b"h", b"v")))))
        small, large = self.cluster.records()[0].records
        self.assertEqual((small.value, large.headers), (b"x" * 999, [(b"h", b"v")]))
        self.assert_published(b"x" * 1000)

    def test_a_smaller_value_with_the_header_is_offloaded_too(self) -> None:
        self.client().send(produce(1, batch(lfs(b"x"))))
        self.assert_published(b"x")

    def test_values_in_a_compressed_batch_are_measured_decompressed(self) -> None:
        self.client().send(produce(1, batch(record(bytes(5000)), codec=4)))
        self.assert_published(bytes(5000))

    def test_topics_that_kafka_and_its_tools_keep_for_themselves_are_offloaded_by_the_header_alone(
        self,
    ) -> None:
        frame = produce(1, batch(record(b"x" * 5000)), topic="__internal")
        client = self.client()
        client.send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)
        self.assertEqual(self.store.blobs, {})
        client.send(produce(2, batch(lfs(b"x")), topic="__internal"))
        self.assert_published(b"x", topic="__internal")

    def test_small_values_in_a_large_batch_pass_byte_for_byte(self) -> None:
        frame = produce(1, batch(*[record(b"x" * 900) for _ in range(10)]))
        self.client().send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)


class OffsetHintTests(RelayTestCase):
    def hints(self) -> list[str]:
        """The offsets in the keys of the blobs, in order."""
        return [key.split("/")[4].split("-")[0] for key in self.store.blobs]

    def test_the_broker_is_asked_once_and_followed_from_then_on(self) -> None:
        self.cluster.next_offsets["demo-topic", 0] = 42
        client = self.client()
        client.send(request(KafkaApi.API_VERSIONS, 0, 1))
        client.send(produce(2, batch(lfs(b"a"), lfs(b"b"))), produce(3, batch(record(b"plain"))))
        client.send(produce(4, batch(lfs(b"c"))))
        self.assertEqual(self.hints(), ["42", "43", "45"])
        self.assertEqual([each.api_key for each in self.broker.requests].count(KafkaApi.LIST_OFFSETS), 1)
        self.assertEqual(client.order, [1, 2, 3, 4])

    def test_records_that_are_on_their_way_are_counted(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.API_VERSIONS, 0, 1))
        self.cluster.held = True
        client.send(produce(2, batch(lfs(b"a"), lfs(b"b"))))
        self.answer()
        client.send(produce(3, batch(lfs(b"c"))))
        self.assertEqual(self.hints(), ["0", "1", "2"])

    def test_a_broker_that_does_not_answer_costs_two_seconds(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.API_VERSIONS, 0, 1))
        self.know_topic()
        self.cluster.held = True
        client.send(produce(2, batch(lfs(b"a"))))
        self.assertEqual(self.broker.requests[-1].api_key, KafkaApi.LIST_OFFSETS)
        self.pass_seconds(2)
        self.assertEqual(self.hints(), ["0"])
        self.answer(2)
        self.assertEqual(client.order, [1, 2])

    def test_without_the_broker_s_versions_it_is_0(self) -> None:
        self.cluster.next_offsets["demo-topic", 0] = 42
        self.client().send(produce(1, batch(lfs(b"a"))))
        self.assertEqual(self.hints(), ["0"])


class PassthroughLimitTests(RelayTestCase):
    def test_a_batch_may_shrink_to_the_limit(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(bytes(100 * KIB)), record(bytes(PASSTHROUGH - 2 * KIB)))))
        self.assertEqual(client.code(1), 0)
