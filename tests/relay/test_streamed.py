"""Produce requests larger than may be held: sent on batch by batch, whatever their records are."""

from __future__ import annotations

import hashlib
import zlib

from lfsproxy.errors import StoreUnavailable
from lfsproxy.kafka.stream import LARGE_READ_SIZE, READ_SIZE
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import batch, lfs, produce, produce_topics, record
from tests.relay.rig import KIB, PART, PASSTHROUGH, RelayTestCase
from tests.wire.helpers import CODECS

HOLD_LIMIT = PART + PASSTHROUGH
HUGE = bytes(range(256)) * 8 * KIB  # 2 MiB: eight parts
MEDIUM = bytes(range(255, -1, -1)) * 720  # 180 KiB: held as a value, two of them are more than a part


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress, the same ones each time."""
    blocks = [hashlib.sha512(b"%d-%d" % (seed, index)).digest() for index in range(size // 64 + 1)]
    return b"".join(blocks)[:size]


class OffloadTests(RelayTestCase):
    def test_a_huge_record_goes_to_the_store_and_its_envelope_to_the_broker(self) -> None:
        headers = [(b"trace", b"1"), (b"content-type", b"image/png")]
        client = self.client()
        client.send(produce(1, batch(lfs(HUGE, *headers, key=b"k"), producer=7, epoch=3, sequence=42)))
        self.assertEqual(client.code(1), 0)
        (sent,) = self.cluster.records()
        (envelope,) = sent.envelopes
        self.assertEqual((envelope.content_type, envelope.content_length), ("image/png", len(HUGE)))
        self.assertEqual(envelope.checksum, hashlib.sha256(HUGE).hexdigest())
        self.assertEqual((sent.records[0].key, sent.records[0].headers), (b"k", headers))
        self.assertEqual((sent.producer_id, sent.producer_epoch, sent.base_sequence), (7, 3, 42))
        self.assert_published(HUGE)

    def test_records_of_every_size_and_kind_share_a_batch(self) -> None:
        plain = [record(b"first", (b"h", b"v")), record(None, key=None), record(bytes(100 * KIB))]
        data = batch(
            plain[0],
            lfs(HUGE),
            lfs(b"small"),
            plain[1],
            lfs(MEDIUM),
            lfs(None),
            lfs(MEDIUM[::-1]),
            plain[2],
            lfs(b""),
            lfs(HUGE[::-1]),
        )
        client = self.client()
        client.send(produce(1, data))
        self.assertEqual(client.code(1), 0)
        self.assert_published(HUGE, b"small", MEDIUM, MEDIUM[::-1], b"", HUGE[::-1])
        (sent,) = self.cluster.records()
        self.assertEqual([each.offset_delta for each in sent.records], list(range(10)))
        kept = [sent.records[index] for index in (0, 3, 5, 7)]
        self.assertEqual([each.value for each in kept], [b"first", None, None, bytes(100 * KIB)])
        self.assertEqual([each.headers for each in kept], [[(b"h", b"v")], [], [(b"LFS_BLOB", b"")], []])

    def test_it_does_not_matter_how_the_bytes_come(self) -> None:
        frame = produce(1, batch(record(b"a"), lfs(HUGE[: 700 * KIB]), record(b"b"), lfs(b"c")))
        for step in (97, 60 * KIB):
            client = self.client()
            for start in range(0, len(frame), step):
                client.wire.arrive(frame[start : start + step])
            self.net.flow()
            self.assertEqual(client.code(1), 0)
            self.assertEqual([each.value for each in self.cluster.records()[-1].records][::2], [b"a", b"b"])
        self.assertEqual(sorted(map(len, self.blobs)), [1, 1, 700 * KIB, 700 * KIB])

    def test_every_codec_is_streamed_and_kept(self) -> None:
        values = [noise(700 * KIB), noise(100 * KIB, 2), HUGE]
        for codec, xerial in CODECS:
            data = batch(
                record(b"plain"),
                *[lfs(value) for value in values],
                record(b"end"),
                codec=codec,
                xerial=xerial,
            )
            self.assertGreater(len(data), HOLD_LIMIT)
            client = self.client()
            client.send(produce(1, data))
            self.assertEqual(client.code(1), 0, f"codec {codec}")
            sent = self.cluster.records()[-1]
            self.assertEqual(sent.attributes, codec)
            self.assertEqual((sent.records[0].value, sent.records[4].value), (b"plain", b"end"))
            blobs = [self.store.blobs[each.s3_key].data for each in sent.envelopes]
            self.assertEqual(blobs, values, f"codec {codec}")
            ((_, _, raw),) = self.broker.requests[-1].batches()
            self.assertEqual((raw or b"")[61:69] == b"\x82SNAPPY\0", xerial)

    def test_checksums_of_every_algorithm_though_its_name_comes_after_the_value(self) -> None:
        for size in (100 * KIB, len(HUGE)):
            value = HUGE[:size]
            for algorithm, digest in (
                (b"sha256", hashlib.sha256(value).hexdigest()),
                (b"md5", hashlib.md5(value).hexdigest().upper()),
                (b"crc32", f"{zlib.crc32(value):08x}"),
            ):
                client = self.client()
                marked = lfs(value, (b"LFS_BLOB_ALG", algorithm), mark=digest.encode())
                client.send(produce(1, batch(marked, lfs(bytes(600 * KIB)))))
                self.assertEqual(client.code(1), 0)
                envelope = self.cluster.records()[-1].envelopes[0]
                self.assertEqual(
                    (envelope.checksum_algo, envelope.checksum), (algorithm.decode(), digest.lower())
                )

    def test_more_records_than_uploads_at_once_keep_their_order(self) -> None:
        values = [b"%d" % index * 2000 for index in range(200)]
        self.client().send(produce(1, batch(*[lfs(value) for value in values])))
        self.assert_published(*values)

    def test_a_request_without_answer_is_stored_too(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(HUGE)), batch(record(b"plain")), acks=0))
        self.assertEqual((client.order, client.is_open), ([], True))
        self.assert_published(HUGE)
        self.assertEqual(len(self.cluster.records(partition=1)), 1)
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])

    def test_offset_hints_count_the_records_of_the_batches_before(self) -> None:
        two = [PartitionRecords(0, [batch(lfs(MEDIUM), lfs(HUGE))]), PartitionRecords(1, [batch(lfs(b"x"))])]
        client = self.client()
        client.send(produce_topics(1, [TopicRecords("demo-topic", two)]), produce(2, batch(lfs(HUGE))))
        keys = [key.split("/")[3:] for key in self.store.blobs]
        self.assertEqual(
            [[place, key.split("-")[0]] for place, key in keys],
            [["0", "0"], ["0", "1"], ["1", "0"], ["0", "2"]],
        )


class ThresholdTests(RelayTestCase):
    overrides = {"offload_threshold": 100 * KIB}

    def test_large_values_are_offloaded_without_a_header(self) -> None:
        small = record(bytes(99 * KIB), (b"h", b"v"))
        client = self.client()
        client.send(produce(1, batch(record(HUGE, (b"h", b"v")), small, record(MEDIUM), lfs(b"x"))))
        self.assertEqual(client.code(1), 0)
        self.assert_published(HUGE, MEDIUM, b"x")
        self.assertEqual(
            [each.headers for each in self.cluster.records()[0].records[:2]], [[(b"h", b"v")]] * 2
        )

    def test_topics_that_kafka_and_its_tools_keep_for_themselves_stay_as_they_are(self) -> None:
        frame = produce(1, batch(record(bytes(200 * KIB))), topic="__internal")
        self.client().send(frame)
        self.assertEqual(self.broker.requests[-1].frame, frame)


class SeveralBatchesTests(RelayTestCase):
    def test_each_batch_is_a_request_of_its_own_and_the_answers_are_one(self) -> None:
        plain = batch(record(bytes(200 * KIB)))
        topics = [
            TopicRecords("b", [PartitionRecords(3, [batch(lfs(HUGE))]), PartitionRecords(1, [plain])]),
            TopicRecords("a", [PartitionRecords(0, None), PartitionRecords(1, [batch(lfs(b"small"))])]),
        ]
        self.cluster.throttle_ms = 77
        client = self.client()
        client.send(produce_topics(1, topics, transactional_id="tx", header_tags=[(7, b"h")], version=12))
        sent = [request.batches() for request in self.cluster.produced]
        self.assertEqual(
            [[each[:2] for each in one] for one in sent], [[("b", 3)], [("b", 1)], [("a", 0)], [("a", 1)]]
        )
        self.assertEqual((sent[1][0][2], sent[2][0][2]), (plain, None))
        for each in self.cluster.produced:
            self.assertEqual((each.version, each.correlation_id, each.client_id), (12, 1, b"a-client"))
            self.assertEqual(
                (each.info.transactional_id, each.info.acks, each.info.timeout_ms), ("tx", -1, 30000)
            )
            self.assertEqual(each.info.header_tags, [(7, b"h")])
        answer = client.produced(1, 12)
        self.assertEqual(
            [(each.topic, each.partition, each.error_code) for each in answer.partitions],
            [("b", 3, 0), ("b", 1, 0), ("a", 0, 0), ("a", 1, 0)],
        )
        self.assertEqual(answer.throttle_ms, 77)
        self.assert_published(HUGE, topic="b", partition=3)

    def test_a_request_behind_it_waits_for_its_last_batch(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(HUGE)), batch(record(b"plain"))), produce(2, batch(record(b"next"))))
        self.assertEqual(self.cluster.produced, [])
        self.let_go("seal")
        self.assertEqual([each.correlation_id for each in self.cluster.produced], [1, 1, 2])
        self.assertEqual(client.order, [1, 2])

    def test_only_the_batch_at_fault_is_refused(self) -> None:
        client = self.client()
        bad = batch(lfs(HUGE, mark=b"0" * 64))
        self.cluster.fail_next(3, partition=2)
        client.send(produce(1, batch(lfs(MEDIUM)), bad, batch(record(b"plain")), batch(lfs(HUGE))))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 87, 3, 0])
        self.assertEqual([each.batches()[0][1] for each in self.cluster.produced], [0, 2, 3])
        self.assertEqual(sorted(map(len, self.blobs)), [len(MEDIUM), len(HUGE)])

    def test_when_all_are_refused_nothing_is_sent(self) -> None:
        bad = batch(lfs(HUGE, mark=b"0" * 64))
        client = self.client()
        client.send(produce(1, bad, bad), produce(2, batch(record(b"next"))))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [87, 87])
        self.assertEqual([each.correlation_id for each in self.cluster.produced], [2])
        self.assertEqual(client.order, [1, 2])

    def test_a_batch_is_on_its_way_while_the_next_one_is_received(self) -> None:
        self.cluster.held = True
        client = self.client()
        frame = produce(1, batch(lfs(MEDIUM)), batch(lfs(HUGE)))
        client.send(frame[: -len(HUGE) // 2])
        self.assertEqual(len(self.cluster.produced), 1)
        client.send(frame[-len(HUGE) // 2 :])
        self.assertEqual((len(self.cluster.produced), client.order), (2, []))
        self.answer(2)
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 0])


class PlainRecordTests(RelayTestCase):
    """What is not to be offloaded passes, though its upload may have begun."""

    overrides = {"max_passthrough_size": 600 * KIB, "upload_memory": 4096 * KIB}

    LARGE = HUGE[: 400 * KIB]

    def frame(self, *records: object) -> bytes:
        return produce(1, batch(*records, lfs(HUGE)))  # type: ignore[arg-type]  # records of batch

    def test_a_value_larger_than_a_part_passes_and_nothing_of_it_stays_in_the_store(self) -> None:
        client = self.client()
        client.send(self.frame(record(self.LARGE, (b"h", b"v"))))
        self.assertEqual(client.code(1), 0)
        (sent,) = self.cluster.records()
        self.assertEqual((sent.records[0].value, sent.records[0].headers), (self.LARGE, [(b"h", b"v")]))
        self.assertEqual((self.blobs, self.store.open_uploads), ([HUGE], 0))
        self.assertEqual([each[2] for each in self.metrics.of("upload")], ["ok"])

    def test_a_value_that_was_let_go_is_too_large(self) -> None:
        client = self.client()
        client.send(self.frame(record(HUGE)))
        (verdict,) = client.verdicts(1)
        self.assertEqual(verdict.error_code, 10)
        self.assertIn("record 0 of 2097152 bytes", verdict.error_message or "")
        self.assertIn("LFS_MAX_PASSTHROUGH_SIZE", verdict.error_message or "")
        self.assert_nothing_published()

    def test_values_that_together_are_more_than_may_pass(self) -> None:
        client = self.client()
        client.send(self.frame(record(self.LARGE), record(self.LARGE)))
        self.assertEqual(client.code(1), 10)
        self.assert_nothing_published()

    def test_many_small_ones_are_too_large_together_with_and_without_one_that_waits(self) -> None:
        for first in ([], [lfs(b"blob")]):
            self.store.hold("seal")
            client = self.client()
            client.send(produce(1, batch(*first, *[record(bytes(1000)) for _ in range(1000)])))
            self.let_go("seal")
            self.assertEqual(client.code(1), 10)
            self.assert_nothing_published()

    def test_the_store_s_failure_counts_only_where_an_offload_is_asked_for(self) -> None:
        for call in ("begin", "write"):
            self.store.fail_next(call, StoreUnavailable("S3 does not answer"))
            client = self.client()
            client.send(self.frame(record(self.LARGE)))
            self.assertEqual(client.code(1), 0, call)
            self.assertEqual(self.cluster.records()[-1].records[0].value, self.LARGE)
        for call in ("begin", "write", "seal", "commit"):
            self.store.fail_next(call, StoreUnavailable("S3 does not answer"))
            client = self.client()
            client.send(self.frame(lfs(self.LARGE)))
            (verdict,) = client.verdicts(1)
            self.assertEqual(
                (verdict.error_code, verdict.error_message), (56, "record 0: S3 does not answer"), call
            )
        self.assertEqual(self.blobs, [HUGE, HUGE])


class ManyRecordsTests(RelayTestCase):
    """Values of up to a part are stored beside the reading; together they are never more than a part."""

    def test_the_next_value_waits_for_room(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(*[lfs(MEDIUM)] * 4)))
        for stored in range(4):
            self.assertEqual(self.store.held("seal"), 1, stored)
            self.store.let_go_one("seal")
            self.net.flow()
        self.assertEqual(client.code(1), 0)
        self.assert_published(*[MEDIUM] * 4)

    def test_small_values_do_not_all_begin_at_once(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(*[lfs(b"x") for _ in range(500)], lfs(HUGE))))
        self.assertLessEqual(self.store.open_uploads, 32)
        self.let_go("seal")
        self.assertEqual(client.code(1), 0)
        self.assertEqual(len(self.blobs), 501)

    def test_a_failed_one_stops_those_that_wait_for_room(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(*[lfs(MEDIUM)] * 4)))
        self.store.fail_next("seal", StoreUnavailable("S3 does not answer"))
        self.let_go("seal")
        self.assertEqual(client.code(1), 56)
        self.assert_nothing_published()


class ReadSizeTests(RelayTestCase):
    def test_a_large_request_is_received_in_large_reads_once_it_has_its_lease(self) -> None:
        most = self.budget.largest
        leases = [self.budget.acquire(size) for size in (most, self.budget.limit - most)]
        self.know_topic()
        client = self.client()
        frame = produce(1, batch(lfs(noise(8 * 1024 * KIB))))
        client.send(frame[: len(frame) // 2])
        self.assertEqual(client.wire.bufferSize, READ_SIZE)
        for lease in leases:
            self.successResultOf(lease).release()
        self.net.flow()
        self.assertEqual(client.wire.bufferSize, LARGE_READ_SIZE)
        client.send(frame[len(frame) // 2 :])
        self.assertEqual(client.wire.bufferSize, READ_SIZE)
        self.assertEqual(client.code(1), 0)
