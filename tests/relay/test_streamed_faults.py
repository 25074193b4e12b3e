"""What can go wrong with a streamed Produce request: its answer, and that nothing of it is left anywhere."""

from __future__ import annotations

import hashlib
import struct

from crc32c import crc32c

from lfsproxy.errors import StoreUnavailable
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import batch, lfs, produce, produce_topics, record
from tests.relay.rig import KIB, PART, PASSTHROUGH, Client, RelayTestCase
from tests.relay.test_streamed import HUGE, MEDIUM, noise
from tests.wire.helpers import CODECS, raw_records, varint

WRONG = b"0" * 64


def with_count(data: bytes, count: int) -> bytes:
    """A batch that says that it has so many records, under a right CRC."""

    data = data[:57] + struct.pack(">i", count) + data[61:]
    return data[:17] + struct.pack(">I", crc32c(data[21:])) + data[21:]


def corrupt(data: bytes, place: int = 17) -> bytes:
    """The same bytes but one."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


class StreamedFaultTestCase(RelayTestCase):
    def assert_refused(self, data: bytes, code: int, message: str) -> Client:
        """The batch is refused so, nothing of it is anywhere, and the connection goes on."""
        client = self.client()
        frame = produce(1, data)
        self.assertGreater(len(frame), PART + PASSTHROUGH)
        client.send(frame)
        (verdict,) = client.verdicts(1)
        self.assertEqual((verdict.error_code, verdict.base_offset), (code, -1))
        self.assertRegex(verdict.error_message or "", message)
        self.assert_nothing_published()
        self.assertEqual((self.budget.used, self.store.open_uploads), (0, 0))
        client.send(produce(2, batch(record(b"next"))))
        self.assertEqual(client.code(2), 0)
        self.cluster.connections.clear()
        return client


class ClientFaultTests(StreamedFaultTestCase):
    def test_a_wrong_checksum_names_the_record_and_both_checksums(self) -> None:
        for value in (b"small", MEDIUM, HUGE):
            client = self.assert_refused(
                batch(lfs(MEDIUM), lfs(value, mark=WRONG), lfs(HUGE)), 87, f"record 1: .*{'0' * 64}"
            )
            (verdict,) = client.verdicts(1)
            self.assertEqual([index for index, _ in verdict.record_errors], [1])
            self.assertIn(hashlib.sha256(value).hexdigest(), verdict.error_message or "")
        self.assertEqual(self.metrics.of("checksum_mismatch"), [("kafka",)] * 3)

    def test_a_wrong_checksum_of_another_algorithm_is_found_when_the_blob_is_read_back(self) -> None:
        for algorithm, mark in ((b"md5", b"0" * 32), (b"crc32", b"0" * 8)):
            wrong = lfs(HUGE, (b"LFS_BLOB_ALG", algorithm), mark=mark)
            self.assert_refused(batch(lfs(MEDIUM), wrong, lfs(HUGE)), 87, f"record 1: .*{mark.decode()}")
        self.assertEqual(self.metrics.of("checksum_mismatch"), [("kafka",)] * 2)

    def test_a_store_that_does_not_give_the_blob_back(self) -> None:
        self.store.fail_next("read_back", StoreUnavailable("down"))
        self.assert_refused(batch(lfs(HUGE, (b"LFS_BLOB_ALG", b"md5")), lfs(HUGE)), 56, "record 0: .*down")

    def test_an_unknown_algorithm_or_a_checksum_that_is_none(self) -> None:
        for value in (MEDIUM, HUGE):
            for marked in (
                lfs(value, (b"LFS_BLOB_ALG", b"sha1")),
                lfs(value, mark=b"x" * 64),
                lfs(value, (b"LFS_BLOB_ALG", b"md5"), mark=WRONG),
            ):
                self.assert_refused(batch(lfs(HUGE), marked), 87, "record 1: .*(algorithm|hex)")

    def test_a_wrong_crc_is_found_at_the_end(self) -> None:
        for codec, xerial in CODECS:
            data = batch(lfs(noise(700 * KIB)), lfs(MEDIUM), codec=codec, xerial=xerial)
            self.assert_refused(corrupt(data), 2, "CRC-32C")

    def test_a_fault_under_a_wrong_crc_may_have_come_on_the_way(self) -> None:
        # A client sends again what is corrupt, and gives up what is invalid.
        right = hashlib.sha256(HUGE).hexdigest().encode()
        data = batch(lfs(b"first"), lfs(HUGE, mark=right), lfs(b"last"))
        for place in (61 + 4, len(data) // 2, data.index(b"LFS_BLOB", 1000) + 12):
            client = self.assert_refused(corrupt(data, place), 2, "CRC-32C")
            self.assertEqual(list(client.verdicts(1)[0].record_errors), [])
        self.assertEqual(self.metrics.of("checksum_mismatch"), [])

    def test_counts_that_lie(self) -> None:
        data = batch(lfs(HUGE), lfs(MEDIUM))
        for count, message in (
            (3, "record 2 ends early"),
            (2**31 - 1, "a batch of 2147483647 records in"),
            (1, "after the last"),
            (0, "after the last"),
            (-1, "-1 records"),
        ):
            self.assert_refused(with_count(data, count), 87, message)

    def test_lengths_that_lie(self) -> None:
        rest = bytes(600 * KIB)
        for area in (
            varint(2**31 - 1) + rest,
            varint(-1) + rest,
            b"\x80" * 20 + rest,
            varint(len(rest)) + b"\0\0\0" + varint(2**31 - 1) + rest,
            varint(len(rest)) + b"\0\0\0\1" + varint(2**31 - 1) + rest,
            varint(len(rest) + 12) + b"\0\0\0\1" + varint(len(rest)) + rest + varint(2**31 - 1),
            raw_records([lfs(HUGE)])[:-3],
        ):
            self.assert_refused(batch(lfs(b""), area=area), 87, "record 0 ")

    def test_a_batch_length_that_is_not_its_field_s(self) -> None:
        data = batch(lfs(HUGE))
        for length in (0, 49, len(data) - 13, 2**31 - 1, -1):
            changed = data[:8] + struct.pack(">i", length) + data[12:]
            self.assert_refused(changed, 87, "exactly one batch")

    def test_two_batches_in_one_partition(self) -> None:
        self.assert_refused(batch(lfs(HUGE)) + batch(lfs(HUGE)), 87, "exactly one batch")

    def test_compressed_data_that_does_not_decompress(self) -> None:
        for codec in range(1, 8):
            self.assert_refused(batch(lfs(b""), codec=codec, area=b"LFS_BLOB" * 100 * KIB), 87, ".")

    def test_compressed_data_that_ends_in_the_middle_of_a_value(self) -> None:
        for codec, xerial in CODECS[1:]:
            whole = batch(lfs(b"first"), lfs(noise(1500 * KIB)), codec=codec, xerial=xerial)
            area = whole[61 : 61 + 1000 * KIB]
            self.assert_refused(batch(lfs(b""), lfs(b""), codec=codec, area=area), 87, ".")

    def test_formats_without_headers_cannot_be_made_smaller(self) -> None:
        for magic in (0, 1, 3, -1):
            data = batch(lfs(HUGE), magic=magic & 0x7F)
            self.assert_refused(data, 10, "LFS_MAX_PASSTHROUGH_SIZE")

    def test_no_batch_at_all(self) -> None:
        self.assert_refused(bytes(600 * KIB), 10, "LFS_MAX_PASSTHROUGH_SIZE")

    def test_without_answers_the_connection_is_closed(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(HUGE, mark=WRONG)), acks=0))
        self.assertFalse(client.is_open)
        self.assertEqual(self.metrics.of("kafka_closed"), [("checksum-mismatch",)])
        self.assertEqual(len(self.lines()), 1)
        self.assert_nothing_published()


class RemovalTests(RelayTestCase):
    def test_many_stored_blobs_of_a_refused_batch_are_removed_a_few_at_a_time(self) -> None:
        for rest in ([], [lfs(HUGE)]):
            self.store.hold("delete")
            client = self.client()
            client.send(produce(1, batch(*[lfs(b"x") for _ in range(100)], *rest, lfs(b"y", mark=WRONG))))
            self.assertEqual(client.code(1), 87)
            self.assertEqual((self.store.held("delete"), self.store.open_uploads), (16, 0))
            self.let_go("delete")
            self.assertEqual(self.blobs, [])


class LimitTests(StreamedFaultTestCase):
    overrides = {"max_decompressed_size": 1024 * KIB, "max_upload_size": 1000 * KIB}

    def test_a_value_larger_than_an_upload_may_be(self) -> None:
        self.assert_refused(batch(lfs(b"x"), lfs(HUGE)), 10, "record 1: .*LFS_MAX_UPLOAD_SIZE")

    def test_a_batch_that_expands_beyond_the_limit(self) -> None:
        for codec, xerial in CODECS[1:]:
            data = batch(lfs(noise(700 * KIB)), lfs(bytes(400 * KIB)), codec=codec, xerial=xerial)
            self.assert_refused(data, 10, "LFS_MAX_DECOMPRESSED_SIZE")


class TopicTests(StreamedFaultTestCase):
    overrides = {"topics": ("other-*",)}

    def test_a_topic_that_is_not_looked_into(self) -> None:
        self.assert_refused(batch(lfs(HUGE)), 10, "LFS_MAX_PASSTHROUGH_SIZE")


class HoleRuleTests(RelayTestCase):
    def huge(self, sequence: int, *, bad: bool = False) -> bytes:
        return batch(lfs(HUGE, mark=WRONG if bad else b""), producer=7, epoch=0, sequence=sequence)

    def small(self, sequence: int) -> bytes:
        return batch(record(b"plain"), producer=7, epoch=0, sequence=sequence)

    def test_a_refused_batch_holds_back_later_ones_until_it_comes_again(self) -> None:
        client = self.client()
        client.send(
            produce(1, self.huge(10, bad=True)),
            produce(2, self.huge(11)),
            produce(3, self.small(12)),
            produce(4, self.huge(10)),
            produce(5, self.huge(11)),
            produce(6, self.small(12)),
        )
        self.assertEqual([client.code(each) for each in range(1, 7)], [87, 45, 45, 0, 0, 0])
        self.assertEqual([each.base_sequence for each in self.cluster.records()], [10, 11, 12])
        self.assertEqual(len(self.blobs), 2)

    def test_the_batches_of_one_request_are_decided_in_their_order(self) -> None:
        client = self.client()
        client.send(
            produce(1, self.huge(10, bad=True), self.huge(20)), produce(2, self.small(11), self.small(21))
        )
        self.assertEqual([each.error_code for each in client.verdicts(1)], [87, 0])
        self.assertEqual([each.error_code for each in client.verdicts(2)], [45, 0])

    def test_a_wrong_crc_leaves_a_hole_too(self) -> None:
        client = self.client()
        client.send(produce(1, corrupt(self.huge(10), 5000)), produce(2, self.small(11)))
        self.assertEqual([client.code(1), client.code(2)], [2, 45])


class GoneTests(RelayTestCase):
    def assert_gone(self) -> None:
        self.assertEqual((self.store.open_uploads, self.blobs), (0, []))
        self.assertEqual((self.budget.used, self.budget.waiting), (0, 0))
        self.assertEqual(len(self.relay.sessions), 0)

    def test_a_client_that_goes_away_anywhere_in_its_request(self) -> None:
        frame = produce(1, batch(record(b"a"), lfs(MEDIUM), lfs(HUGE)))
        for end in (60, 100 * KIB, 400 * KIB, len(frame) - 1):
            client = self.client()
            client.send(frame[:end])
            self.assertGreater(self.budget.used, 0)
            client.hang_up()
            self.assertEqual(self.cluster.produced, [])
            self.assert_gone()

    def test_a_client_that_goes_away_while_its_blob_is_being_stored(self) -> None:
        for value in (MEDIUM, HUGE):
            for call in ("write", "seal", "commit"):
                self.store.hold(call)
                client = self.client()
                client.send(produce(1, batch(lfs(value), record(b"x"), lfs(HUGE))))
                self.assertGreater(self.store.held(call), 0)
                client.hang_up()
                self.pass_seconds(1)
                self.let_go(call)
                self.assertEqual(self.cluster.produced, [])
                self.assert_gone()

    def test_what_was_sent_on_of_a_request_stays_when_its_client_goes_away(self) -> None:
        client = self.client()
        frame = produce(1, batch(lfs(MEDIUM)), batch(lfs(HUGE)))
        client.send(frame[:-100])
        client.hang_up()
        self.assertEqual(len(self.cluster.produced), 1)
        self.assertEqual(self.blobs, [MEDIUM])
        self.assert_published(MEDIUM)

    def test_a_broker_that_goes_away_in_the_middle_of_a_request(self) -> None:
        self.cluster.held = True
        client = self.client()
        frame = produce(1, batch(lfs(MEDIUM)), batch(lfs(HUGE)))
        client.send(frame[:-100])
        self.broker.hang_up()
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.blobs, [MEDIUM])
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])
        self.assertEqual((self.store.open_uploads, self.budget.used), (0, 0))

    def test_a_broker_that_goes_away_before_anything_was_sent_on(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(HUGE)))[:-100])
        self.broker.hang_up()
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assert_gone()

    def test_a_broken_request_closes_the_connection_and_says_why(self) -> None:
        good = [PartitionRecords(0, [batch(lfs(HUGE))])]
        frame = bytearray(produce_topics(1, [TopicRecords("demo-topic", good)], version=8))
        frame[:4] = struct.pack(">i", len(frame) - 4 + 1000)
        client = self.client()
        client.send(bytes(frame) + bytes(1000))
        self.assertFalse(client.is_open)
        (line,) = self.lines()
        self.assertIn("1000 bytes after the end of a Produce request", line)
        self.assertEqual(self.metrics.of("kafka_closed"), [("broken-framing",)])
        self.assertEqual(self.cluster.produced, [])
        self.assert_gone()


class HeldBatchTests(RelayTestCase):
    """Batches of up to LFS_MAX_PASSTHROUGH_SIZE are held in a streamed request as they are in any other."""

    def test_a_compressed_one_is_read_twice(self) -> None:
        for codec, xerial in CODECS:
            small = batch(record(b"a"), lfs(MEDIUM), codec=codec, xerial=xerial)
            client = self.client()
            client.send(produce(1, small, batch(lfs(HUGE)), small))
            self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 0, 0])

    def test_its_faults_are_its_own(self) -> None:
        client = self.client()
        self.store.fail_next("seal", StoreUnavailable("S3 does not answer"))
        client.send(
            produce(
                1,
                batch(lfs(MEDIUM)),
                batch(lfs(b"x", mark=b"no checksum")),
                corrupt(batch(lfs(b"x"))),
                batch(lfs(HUGE)),
                batch(record(b"plain")),
            )
        )
        self.assertEqual([each.error_code for each in client.verdicts(1)], [56, 87, 2, 0, 0])
        self.assertEqual(self.blobs, [HUGE])

    def test_one_as_large_as_may_pass_is_passed_byte_for_byte(self) -> None:
        data = batch(record(bytes(PASSTHROUGH - 100)))
        self.assertLessEqual(len(data), PASSTHROUGH)
        client = self.client()
        client.send(produce(1, data, data, data))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 0, 0])
        self.assertEqual([each.batches()[0][2] for each in self.cluster.produced], [data] * 3)
