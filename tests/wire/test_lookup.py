"""One record out of a Fetch answer: never another one, and none of what a consumer would not be given."""

from __future__ import annotations

import struct

from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import CorruptBatch, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import CRC_START
from lfsproxy.wire.lookup import Search, find_record, find_value
from tests.wire.helpers import CODECS, Record, batch_of, compressed, raw_record, raw_records

TRANSACTIONAL, CONTROL, LOG_APPEND_TIME = 0x10, 0x20, 0x08
BASE = 9
"""The base offset of the batches of ``batch_of``; their producer id is 7."""

RECORDS: list[Record] = [
    (None, b"zero", []),
    (b"key", None, [(b"name", b"x")]),
    (None, b"two" * 1000, [(b"lfs-filename", b"a.png"), (b"null", None)]),
]


def batch(attributes: int = 0, codec: int = 0, xerial: bool = False) -> bytes:
    area = compressed(codec, raw_records(RECORDS), xerial=xerial)
    return batch_of(area, len(RECORDS), codec=codec, attributes=attributes)


def moved(data: bytes, base_offset: int) -> bytes:
    """The same batch further on: the base offset is not covered by the CRC."""
    return struct.pack(">q", base_offset) + data[8:]


class LookupTests(SynchronousTestCase):
    def test_each_record_is_found_in_every_codec(self) -> None:
        for codec, xerial in CODECS:
            data = batch(codec=codec, xerial=xerial)
            for index, (_, value, headers) in enumerate(RECORDS):
                found = find_record(data, BASE + index)
                assert found is not None
                self.assertEqual((found.value, list(found.headers)), (value, headers))
                self.assertEqual(found.timestamp, 1000 + index)

    def test_the_broker_s_time_is_the_batch_s_where_the_topic_wants_that(self) -> None:
        found = find_record(batch(LOG_APPEND_TIME), BASE)
        assert found is not None
        self.assertEqual(found.timestamp, 2000)

    def test_an_offset_that_compaction_took_is_not_the_next_record(self) -> None:
        self.assertIsNone(find_record(moved(batch(), 100), 50))
        gap = raw_record(0, RECORDS[0]) + raw_record(2, RECORDS[2])
        signed = struct.pack(">hiqqqhii", 0, 2, 1000, 2000, -1, -1, -1, 2) + gap
        data = struct.pack(">qiibI", BASE, len(signed) + 9, -1, 2, crc32c(signed)) + signed
        self.assertIsNone(find_record(data, BASE + 1))
        self.assertIsNotNone(find_record(data, BASE + 2))

    def test_the_end_of_the_batch_and_an_empty_answer_hold_nothing(self) -> None:
        self.assertIsNone(find_record(batch(), BASE + 3))
        self.assertIsNone(find_record(b"", BASE))

    def test_earlier_batches_are_passed_over(self) -> None:
        found = find_record(batch() + moved(batch(), 12), 14)
        assert found is not None
        self.assertEqual(found.value, RECORDS[2][1])

    def test_control_records_are_nobody_s(self) -> None:
        self.assertIsNone(find_record(batch(TRANSACTIONAL | CONTROL), BASE))

    def test_an_aborted_transaction_is_that_of_the_same_producer_begun_before(self) -> None:
        data = batch(TRANSACTIONAL)
        self.assertIsNone(find_record(data, BASE + 1, [(7, BASE)]))
        for other in ([(8, BASE)], [(7, BASE + 2)], []):
            self.assertIsNotNone(find_record(data, BASE + 1, other))
        # A record outside of transactions is not taken back by its producer's abort.
        self.assertIsNotNone(find_record(batch(), BASE + 1, [(7, BASE)]))

    def test_damage_is_told(self) -> None:
        data = bytearray(batch())
        data[-1] ^= 1
        self.assertRaises(CorruptBatch, find_record, bytes(data), BASE)
        self.assertRaises(UndecodableRecords, find_record, batch()[:-1], BASE)
        self.assertRaises(UndecodableRecords, find_record, batch_of(b"\xff" * 40, 3), BASE)

    def test_formats_without_headers_are_told(self) -> None:
        data = batch_of(raw_records(RECORDS), 3, magic=1)
        self.assertRaises(UndecodableRecords, find_record, data, BASE)

    def test_a_value_or_a_batch_beyond_the_limit_is_not_held(self) -> None:
        data = batch_of(raw_record(0, (None, b"v" * 30_000, [])), 1)
        self.assertRaises(TooLarge, find_record, data, BASE, max_value=29_999)
        self.assertIsNotNone(find_record(data, BASE, max_value=30_000))
        bomb = compressed(4, raw_record(0, (None, b"\0" * 1_000_000, [])))
        data = batch_of(bomb, 1, codec=4)
        with self.assertRaisesRegex(TooLarge, "LFS_LOOKUP_MAX_DECOMPRESSED_SIZE"):
            find_record(data, BASE, max_decompressed=100_000)

    @given(st.binary(max_size=200), st.integers(0, 2**63 - 1))
    def test_bytes_of_any_kind_give_nothing_or_an_error_of_ours(self, data: bytes, offset: int) -> None:
        try:
            find_record(batch()[:30] + data, offset)
        except (CorruptBatch, UndecodableRecords, TooLarge):
            return


class ValueTests(SynchronousTestCase):
    """A record by its value."""

    def test_it_is_found_in_every_codec(self) -> None:
        for codec, xerial in CODECS:
            data = batch(codec=codec, xerial=xerial) + moved(batch(), BASE + 3)
            found = find_value(data, b"two" * 1000, 0)
            self.assertEqual((found.offset, found.timestamp), (BASE + 2, 1002))
            later = find_value(data, b"two" * 1000, BASE + 3)
            self.assertEqual(later.offset, BASE + 5)

    def test_where_to_go_on_is_behind_the_last_whole_batch(self) -> None:
        data = batch() + moved(batch(), BASE + 3)
        self.assertEqual(find_value(data, b"none", 0), Search(BASE + 6))
        self.assertEqual(find_value(data[:-1], b"none", 0), Search(BASE + 3))
        self.assertEqual(find_value(data[:70], b"none", 0), Search(None))
        self.assertEqual(find_value(b"", b"none", 0), Search(None))

    def test_null_is_no_value(self) -> None:
        self.assertIsNone(find_value(batch(), b"", 0).offset)

    def test_the_broker_s_time(self) -> None:
        self.assertEqual(find_value(batch(LOG_APPEND_TIME), b"zero", 0).timestamp, 2000)

    def test_control_batches_and_what_does_not_decode_are_passed_over(self) -> None:
        broken = bytearray(batch())
        broken[-1] ^= 1
        for passed in (batch(CONTROL), bytes(broken)):
            found = find_value(passed + moved(batch(), BASE + 3), b"zero", 0)
            self.assertEqual(found.offset, BASE + 3)

    @given(st.binary(max_size=300))
    def test_noise_has_no_record(self, noise: bytes) -> None:
        self.assertIsNone(find_value(noise, b"zero", 0).offset)

    @given(st.integers(CRC_START, len(batch()) - 1), st.integers(0, 255))
    def test_a_changed_byte_never_makes_another_offset(self, place: int, byte: int) -> None:
        data = bytearray(batch() + moved(batch(), BASE + 3))
        data[place] = byte
        self.assertIn(find_value(bytes(data), b"zero", 0).offset, (BASE, BASE + 3))
