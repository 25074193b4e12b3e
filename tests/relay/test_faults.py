"""What a fault looks like to a Kafka client: code and message, nothing published, nothing in the store."""

from __future__ import annotations

from typing import Any, cast

from twisted.logger import LogLevel

from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import batch, lfs, produce, produce_topics, record
from tests.relay.rig import KIB, PASSTHROUGH, Client, RelayTestCase
from tests.wire.helpers import raw_records


class FaultTestCase(RelayTestCase):
    def assert_refused(self, frame: bytes, code: int, message: str, version: int = 9) -> Client:
        """The request's one partition is refused so, and nothing of it is anywhere."""
        client = self.client()
        client.send(frame)
        (verdict,) = client.verdicts(1, version)
        self.assertEqual(verdict.error_code, code)
        self.assertRegex(verdict.error_message or "", message)
        self.assertEqual(verdict.base_offset, -1)
        self.assertTrue(client.is_open)
        self.assert_nothing_published()
        return client


class RepeatedPartitionTests(FaultTestCase):
    """Of two entries for one partition Kafka appends the last only, and acknowledges it: one is lost."""

    def repeated(self, *partitions: tuple[int, bytes], topics: int = 1, acks: int = -1) -> bytes:
        """A request with these entries, in one or as many topics."""
        entries = [PartitionRecords(number, [each]) for number, each in partitions]
        size = -(-len(entries) // topics)
        cut = [entries[start : start + size] for start in range(0, len(entries), size)]
        return produce_topics(1, [TopicRecords("demo-topic", each) for each in cut], acks=acks)

    def test_both_are_refused_before_anything_is_uploaded(self) -> None:
        for topics in (1, 2):
            for first, second in (
                (batch(lfs(b"one")), batch(lfs(b"two"))),
                (batch(record(b"one")), batch(record(b"two"))),
                (batch(lfs(b"one")), batch(record(b"two"))),
                # Not 45 for what stands behind the first: a client sends that again.
                (
                    batch(lfs(b"one"), producer=7, epoch=0, sequence=0),
                    batch(lfs(b"two"), producer=7, epoch=0, sequence=1),
                ),
            ):
                self.assert_refused(self.repeated((0, first), (0, second), topics=topics), 42, "demo-topic/0")
        self.assertEqual(self.metrics.of("upload"), [])

    def test_other_partitions_of_the_request_are_published(self) -> None:
        client = self.client()
        client.send(
            self.repeated(
                (0, batch(lfs(b"one"))),
                (1, batch(lfs(b"other"))),
                (0, batch(lfs(b"two"))),
                (0, batch(lfs(b"3"))),
            )
        )
        self.assertEqual(
            sorted((each.partition, each.error_code) for each in client.verdicts(1)), [(0, 42), (1, 0)]
        )
        self.assertEqual(self.blobs, [b"other"])

    def test_without_an_answer_the_connection_is_closed(self) -> None:
        client = self.client()
        client.send(self.repeated((0, batch(lfs(b"one"))), (0, batch(lfs(b"two"))), acks=0))
        self.assertFalse(client.is_open)
        self.assert_nothing_published()

    def test_in_a_request_that_is_streamed_what_follows_the_first_is_refused(self) -> None:
        huge = bytes(PASSTHROUGH + 3 * 256 * KIB)
        for second in (lfs(b"two"), lfs(huge), record(bytes(300 * KIB))):
            client = self.client()
            client.send(self.repeated((0, batch(lfs(huge))), (1, batch(lfs(b"x"))), (0, batch(second))))
            self.assertEqual(
                sorted((each.partition, each.error_code) for each in client.verdicts(1)), [(0, 42), (1, 0)]
            )
            self.assertEqual(self.store.open_uploads, 0)
        self.assertEqual(len(self.blobs), 6)
        self.assertEqual(len(self.cluster.records()), 3)


class StoreFaultTests(FaultTestCase):
    def test_an_unavailable_store_is_a_storage_error(self) -> None:
        for call in ("begin", "write", "seal", "commit"):
            self.store.fail_next(call, StoreUnavailable("S3 does not answer"))
            self.assert_refused(produce(1, batch(lfs(b"blob"))), 56, "record 0: S3 does not answer")

    def test_a_store_that_says_no_is_an_unknown_server_error(self) -> None:
        self.store.fail_next("commit", StoreRefused("the bucket does not exist"))
        self.assert_refused(produce(1, batch(lfs(b"blob"))), -1, "the bucket does not exist")

    def test_one_failed_record_takes_its_whole_batch(self) -> None:
        self.store.fail_next("commit", StoreUnavailable("S3 does not answer"))
        self.assert_refused(produce(1, batch(lfs(b"a"), record(b"plain"), lfs(b"c"))), 56, "record 0")

    def test_uploads_of_a_failed_batch_are_stopped(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"a"), lfs(b"b"))))
        self.store.fail_next("seal", StoreUnavailable("S3 does not answer"))
        self.store.let_go_one("seal", -1)
        self.net.flow()
        self.assertEqual(client.code(1), 56)
        self.assertEqual(self.store.open_uploads, 0)

    def test_only_the_result_of_the_fault_is_counted(self) -> None:
        self.store.fail_next("seal", StoreUnavailable("S3 does not answer"))
        self.client().send(produce(1, batch(lfs(b"blob"))))
        self.assertEqual([each[2] for each in self.metrics.of("upload")], ["store_error"])

    def test_what_cannot_be_removed_is_counted_and_logged_with_its_key(self) -> None:
        self.cluster.fail_next(87)
        self.store.fail_next("delete", StoreUnavailable("S3 does not answer"))
        self.client().send(produce(1, batch(lfs(b"blob"))))
        self.assertEqual(self.metrics.of("orphan"), [("delete_failed",)])
        (key,) = self.store.blobs
        self.assertTrue(any(key in line for line in self.lines()), self.lines())


class ClientFaultTests(FaultTestCase):
    def test_a_wrong_checksum_names_the_record_and_both_checksums(self) -> None:
        wrong = b"0" * 64
        frame = produce(1, batch(lfs(b"right"), lfs(b"blob", mark=wrong)))
        client = self.assert_refused(frame, 87, f"record 1: .*{'0' * 64}")
        (verdict,) = client.verdicts(1)
        ((index, message),) = verdict.record_errors
        self.assertEqual(index, 1)
        self.assertIn("fa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8", message or "")
        self.assertEqual(self.metrics.of("checksum_mismatch"), [("kafka",)])

    def test_an_unknown_algorithm(self) -> None:
        frame = produce(1, batch(lfs(b"blob", (b"LFS_BLOB_ALG", b"sha1"))))
        self.assert_refused(frame, 87, "unknown checksum algorithm 'sha1'")

    def test_a_checksum_that_is_not_hex_of_its_length(self) -> None:
        for mark in (b"abc", b"x" * 64, b"\xff" * 64):
            self.assert_refused(produce(1, batch(lfs(b"blob", mark=mark))), 87, "64 hex digits")

    def test_a_wrong_crc_is_a_corrupt_message(self) -> None:
        for codec in range(5):
            data = bytearray(batch(lfs(b"blob" * 100), codec=codec))
            data[17] ^= 1
            self.assert_refused(produce(1, bytes(data)), 2, "CRC-32C")

    def test_records_that_do_not_decode_under_a_right_crc(self) -> None:
        raw = raw_records([lfs(b"blob")])
        for area in (raw[:-1], raw + b"x", b"\x02LFS_BLOB"):
            self.assert_refused(produce(1, batch(lfs(b""), area=area)), 87, ".")

    def test_compressed_data_that_does_not_decompress(self) -> None:
        for codec in range(1, 8):
            self.assert_refused(produce(1, batch(lfs(b""), codec=codec, area=b"LFS_BLOB" * 9)), 87, ".")

    def test_two_batches_in_one_partition(self) -> None:
        self.assert_refused(produce(1, batch(lfs(b"a")) + batch(lfs(b"b"))), 87, "exactly one batch")

    def test_a_batch_without_lfs_records_that_is_too_large(self) -> None:
        for codec, data in ((0, bytes(PASSTHROUGH)), (0, b"LFS_BLOB" + bytes(PASSTHROUGH))):
            frame = produce(1, batch(record(data), codec=codec))
            self.assert_refused(frame, 10, "LFS_MAX_PASSTHROUGH_SIZE")

    def test_a_batch_that_is_too_large_after_rewriting(self) -> None:
        frame = produce(1, batch(lfs(b"blob"), record(bytes(PASSTHROUGH))))
        self.assert_refused(frame, 10, "LFS_MAX_PASSTHROUGH_SIZE")

    def test_an_older_version_gets_the_code_alone(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob", mark=b"abc")), version=7))
        self.assertEqual(client.code(1, 7), 87)

    def test_record_errors_and_message_are_told_from_version_8_on(self) -> None:
        for version in (8, 9, 10, 12):
            frame = produce(1, batch(lfs(b"blob", mark=b"abc")), version=version)
            client = self.assert_refused(frame, 87, "record 0: ", version)
            self.assertEqual([index for index, _ in client.verdicts(1, version)[0].record_errors], [0])

    def test_record_errors_are_told_of_invalid_records_only(self) -> None:
        # A Java client makes each of them an InvalidRecordException, whatever the partition's code says.
        self.store.fail_next("commit", StoreUnavailable("S3 does not answer"))
        client = self.assert_refused(produce(1, batch(lfs(b"blob"))), 56, "record 0")
        self.assertEqual(list(client.verdicts(1)[0].record_errors), [])

    def test_a_refusal_is_logged_once_with_client_and_partition(self) -> None:
        self.assert_refused(produce(1, batch(lfs(b"blob", mark=b"abc"))), 87, ".")
        lines = [line for line in self.lines(LogLevel.info) if "refused" in line]
        self.assertEqual(len(lines), 1)
        self.assertIn("a-client for demo-topic/0: record 0: ", lines[0])


class UploadSizeTests(FaultTestCase):
    overrides = {"max_upload_size": 1000}

    def test_a_value_larger_than_the_limit(self) -> None:
        self.assert_refused(produce(1, batch(lfs(bytes(1001)))), 10, "LFS_MAX_UPLOAD_SIZE")

    def test_a_value_as_large_as_the_limit(self) -> None:
        self.client().send(produce(1, batch(lfs(bytes(1000)))))
        self.assert_published(bytes(1000))


class DecompressedSizeTests(FaultTestCase):
    overrides = {"max_decompressed_size": 100 * KIB}

    def test_a_batch_that_expands_beyond_the_limit(self) -> None:
        for codec in range(1, 5):
            frame = produce(1, batch(lfs(bytes(101 * KIB)), codec=codec))
            self.assert_refused(frame, 10, "LFS_MAX_DECOMPRESSED_SIZE")


class PartitionTests(FaultTestCase):
    def test_only_the_partition_at_fault_is_refused(self) -> None:
        client = self.client()
        good, bad = batch(lfs(b"good")), batch(lfs(b"bad", mark=b"abc"))
        client.send(produce(1, good, bad, batch(record(b"plain"))))
        self.assertEqual(
            [(each.partition, each.error_code) for each in client.verdicts(1)], [(0, 0), (1, 87), (2, 0)]
        )
        (request,) = self.cluster.produced
        self.assertEqual([partition for _, partition, _ in request.batches()], [0, 2])
        self.assert_published(b"good")
        self.assertEqual(self.blobs, [b"good"])

    def test_a_partition_is_published_byte_for_byte_beside_one_at_fault(self) -> None:
        plain = batch(record(b"plain"))
        self.client().send(produce(1, batch(lfs(b"bad", mark=b"abc")), plain))
        (request,) = self.cluster.produced
        self.assertEqual(request.batches(), [("demo-topic", 1, plain)])

    def test_the_broker_s_errors_and_the_proxy_s_stand_in_one_answer(self) -> None:
        self.cluster.fail_next(3, partition=0)
        self.cluster.throttle_ms = 77
        client = self.client()
        client.send(produce(1, batch(record(b"a")), batch(lfs(b"bad", mark=b"abc")), batch(lfs(b"c"))))
        answer = client.produced(1)
        self.assertEqual([each.error_code for each in answer.partitions], [3, 87, 0])
        self.assertEqual(answer.partitions[0].error_message, "the broker says 3")
        self.assertEqual(answer.throttle_ms, 77)

    def test_a_request_that_is_refused_whole_is_not_forwarded(self) -> None:
        client = self.client()
        bad = batch(lfs(b"bad", mark=b"abc"))
        client.send(produce(1, bad, bad), produce(2, batch(record(b"next"))))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [87, 87])
        self.assertEqual([each.correlation_id for each in self.cluster.produced], [2])
        self.assertEqual(client.order, [1, 2])


class UnforeseenTests(RelayTestCase):
    """An error that is none of ours: the connection is closed, and still nothing is left or forwarded."""

    def test_it_ends_the_connection_and_every_upload(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"a")), batch(lfs(b"b"))), produce(2, batch(record(b"plain"))))
        self.store.fail_next("seal", cast(Any, RuntimeError("a bug")))
        self.store.let_go_one("seal")
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual((self.store.open_uploads, self.blobs), (0, []))
        self.assertEqual(self.cluster.produced, [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
