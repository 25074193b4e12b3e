"""The batch reader: every codec and chunking gives the same records, and nothing but LfsErrors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import CorruptBatch, LfsError, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import RECORDS_PER_BYTE
from lfsproxy.wire.records import (
    MAX_DECOMPRESSED,
    BatchEnd,
    BatchReader,
    BatchStart,
    RecordEnd,
    RecordEvent,
    RecordStart,
    ValueBytes,
)
from tests.wire.helpers import (
    CODECS,
    Record,
    batch_of,
    chunked,
    compressed,
    pulled,
    raw_record,
    raw_records,
    varint,
)

nullable = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.binary(max_size=12), st.none() | st.binary(max_size=12)), max_size=3)
record = st.tuples(nullable, nullable, headers)
records = st.lists(record, max_size=6)


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Record], bytes]:
    """Records, and a batch of them in any codec."""
    codec, xerial = draw(st.sampled_from(CODECS))
    found = draw(records)
    area = compressed(codec, raw_records(found), xerial=xerial)
    return found, batch_of(area, len(found), codec=codec)


def events(data: bytes, cuts: Sequence[int] = ()) -> list[RecordEvent]:
    """All events, adjacent ValueBytes joined."""
    reader = BatchReader(len(data))
    found: list[RecordEvent] = []
    pulled_events: list[RecordEvent] = pulled(reader.feed, reader.next_event, chunked(data, cuts))
    for event in pulled_events:
        if isinstance(event, ValueBytes) and found and isinstance(found[-1], ValueBytes):
            found[-1] = ValueBytes(bytes(found[-1].data) + bytes(event.data))
        elif isinstance(event, ValueBytes):
            found.append(ValueBytes(bytes(event.data)))
        else:
            found.append(event)
    return found


def read_records(found: Sequence[RecordEvent]) -> list[Record]:
    """Key, value and headers of each record."""
    result: list[Record] = []
    value: bytes | None = None
    for event in found:
        if isinstance(event, RecordStart):
            key = event.key
            value = None if event.value_length < 0 else b""
        elif isinstance(event, ValueBytes):
            value = bytes(event.data)
        elif isinstance(event, RecordEnd):
            result.append((key, value, list(event.headers)))
    return result


class ReadingTests(SynchronousTestCase):
    @given(batches())
    def test_records_of_every_codec_are_read(self, case: tuple[list[Record], bytes]) -> None:
        expected, data = case
        found = events(data)
        self.assertEqual(read_records(found), expected)
        self.assertEqual(found[-1], BatchEnd(crc_ok=True))

    @given(batches(), st.lists(st.integers(0, 10**6), max_size=20))
    def test_chunking_does_not_matter(self, case: tuple[list[Record], bytes], cuts: list[int]) -> None:
        _, data = case
        self.assertEqual(events(data, cuts), events(data))

    @given(batches())
    def test_head_value_and_tail_are_the_exact_record(self, case: tuple[list[Record], bytes]) -> None:
        expected, data = case
        area = raw_records(expected)
        rebuilt = b""
        for event in events(data):
            if isinstance(event, RecordStart):
                rebuilt += event.raw_head
            elif isinstance(event, ValueBytes):
                rebuilt += bytes(event.data)
            elif isinstance(event, RecordEnd):
                rebuilt += event.raw_tail
                wanted = raw_record(event.index, expected[event.index])
                self.assertEqual(area[event.raw_start : event.raw_end], wanted)
        self.assertEqual(rebuilt, area)

    def test_the_header_is_told_first(self) -> None:
        event = events(batch_of(b"", 0, attributes=0x30))[0]
        assert isinstance(event, BatchStart)
        header = event.header
        self.assertEqual(
            (header.producer_id, header.producer_epoch, header.base_sequence, header.count), (7, 3, 42, 0)
        )
        self.assertTrue(header.is_transactional and header.is_control and header.has_producer_id)

    def test_timestamps_and_offsets_of_records_are_told(self) -> None:
        body = b"\0" + varint(-5) + varint(3) + varint(-1) + varint(-1) + varint(0)
        event = events(batch_of(varint(len(body)) + body, 1))[1]
        assert isinstance(event, RecordStart)
        self.assertEqual((event.timestamp_delta, event.offset_delta), (-5, 3))

    def test_a_value_leaves_as_the_chunk_that_was_fed(self) -> None:
        data = batch_of(raw_record(0, (None, bytes(3000), [])), 1)
        reader = BatchReader(len(data))
        pulled(reader.feed, reader.next_event, [data[:1000]])
        chunk = data[1000:2000]
        reader.feed(chunk)
        event = reader.next_event()
        assert isinstance(event, ValueBytes)
        self.assertIs(event.data, chunk)

    def test_formats_0_and_1_are_not_looked_into(self) -> None:
        for magic in (0, 1):
            data = batch_of(bytes(50), 1, magic=magic)
            found = events(data, [20, 40])
            self.assertEqual(len(found), 1)
            assert isinstance(found[0], BatchStart)
            self.assertEqual(found[0].header.magic, magic)

    def test_an_overlong_varint_that_java_reads_is_read(self) -> None:
        body = b"\0\0\0" + b"\x81\x00" + b"\2a" + b"\0"
        found = events(batch_of(varint(len(body)) + body, 1))
        self.assertEqual(read_records(found), [(None, b"a", [])])


class BrokenBatchTests(SynchronousTestCase):
    def failure(self, data: bytes, size: int | None = None, **limits: Any) -> LfsError:
        """The error, which comes only when everything was fed."""
        reader = BatchReader(len(data) if size is None else size, **limits)
        reader.feed(data[:-1])
        while reader.next_event() is not None:
            pass
        reader.feed(data[-1:])
        with self.assertRaises(LfsError) as caught:
            while (event := reader.next_event()) is not None:
                self.assertNotIsInstance(event, BatchEnd)
        self.assertRaises(type(caught.exception), reader.next_event)
        error: LfsError = caught.exception
        return error

    def assert_undecodable(self, data: bytes, words: str) -> None:
        error = self.failure(data)
        self.assertIsInstance(error, UndecodableRecords)
        self.assertIn(words, str(error))

    def test_a_wrong_crc_is_told_at_the_end(self) -> None:
        data = bytearray(batch_of(raw_record(0, (None, b"value", [])), 1))
        data[-3] ^= 1
        self.assertEqual(events(bytes(data))[-1], BatchEnd(crc_ok=False))

    def test_garbage_under_a_wrong_crc_is_a_corrupt_batch(self) -> None:
        for codec, xerial in CODECS:
            area = compressed(codec, raw_record(0, (None, b"value" * 100, [])), xerial=xerial)
            data = bytearray(batch_of(area, 2, codec=codec))
            data[17] ^= 1
            self.assertIsInstance(self.failure(bytes(data)), CorruptBatch)

    def test_the_record_at_fault_is_named(self) -> None:
        area = raw_record(0, (None, b"a", [])) + b"\x10" + b"\0\0\0\1\x7f\0\0\0"
        self.assert_undecodable(batch_of(area, 2), "record 1")

    def test_counts_that_lie_are_undecodable(self) -> None:
        area = raw_records([(None, bytes(20), []), (None, b"b", [])])
        for codec, xerial in CODECS:
            self.assert_undecodable(
                batch_of(compressed(codec, area, xerial=xerial), 3, codec=codec), "record 2"
            )
            packed = compressed(codec, area, xerial=xerial)
            self.assert_undecodable(
                batch_of(packed, 2**31 - 1, codec=codec), "a batch of 2147483647 records in"
            )
            self.assert_undecodable(batch_of(packed, 1, codec=codec), "after the last")
            self.assert_undecodable(batch_of(packed, -1, codec=codec), "-1 records")

    def test_an_absurd_count_is_refused_before_anything_is_inflated(self) -> None:
        for codec in range(1, 5):
            data = batch_of(b"no codec reads this", 200_000, codec=codec)
            self.assert_undecodable(data, f"a batch of 200000 records in {len(data)} bytes")

    def test_no_honest_count_is_absurd(self) -> None:
        # The smallest records there are, 1 MiB of them, as alike as they never are; and fewer in many bytes.
        tiny = raw_record(0, (None, None, []))
        self.assertEqual(len(tiny), 7)
        for codec, xerial in CODECS:
            for count in (100, 2**20 // len(tiny)):
                area = compressed(codec, tiny * count, xerial=xerial)
                data = batch_of(area, count, codec=codec)
                reader = BatchReader(len(data), skim_below=MAX_DECOMPRESSED)
                reader.feed(data)
                while reader.next_event() is not None:
                    pass
                self.assertEqual(reader.position, len(tiny) * count)

    def test_records_with_offset_deltas_of_their_own_are_far_from_the_bound(self) -> None:
        # Brokers take no others from a producer in a compressed batch.
        count = 50_000
        area = bytearray()
        for index in range(count):
            body = b"\0\0" + varint(index) + b"\x01\x01\0"
            area += varint(len(body)) + body
        packed = min(len(compressed(codec, bytes(area))) for codec in range(1, 5))
        self.assertGreater(RECORDS_PER_BYTE * packed, 4 * count)

    def test_a_batch_ends_at_its_header_s_count(self) -> None:
        inflated = []
        data = batch_of(compressed(4, raw_record(0, (None, None, [])) * 2_000_000), 3, codec=4)
        reader = BatchReader(len(data), pace=lambda: inflated.append(1))
        reader.feed(data)
        with self.assertRaises(UndecodableRecords):
            while reader.next_event() is not None:
                pass
        self.assertEqual(len(inflated), 1)

    def test_lengths_that_lie_are_undecodable(self) -> None:
        for length in (2**31 - 1, -1, 5, 11, 2**34):
            self.assert_undecodable(batch_of(varint(length) + bytes(10), 1), "record 0")
        for key_length in (2**31 - 1, -2, 7):
            body = b"\0\0\0" + varint(key_length) + bytes(6)
            self.assert_undecodable(batch_of(varint(len(body)) + body, 1), "record 0")
        for value_length in (2**31 - 1, -2, 7):
            body = b"\0\0\0\1" + varint(value_length) + bytes(6)
            self.assert_undecodable(batch_of(varint(len(body)) + body, 1), "record 0")
        for headers in (
            varint(2**31 - 1),
            varint(-1),
            varint(1) + varint(-1),
            varint(1) + varint(9),
            b"\2\0\5\0",
        ):
            body = b"\0\0\0\1\1" + headers
            self.assert_undecodable(batch_of(varint(len(body)) + body, 1), "record 0")

    def test_a_varint_without_end_is_undecodable(self) -> None:
        self.assert_undecodable(batch_of(b"\x80" * 40, 1), "varint")

    def test_more_than_one_batch_is_undecodable(self) -> None:
        data = batch_of(b"", 0)
        self.assert_undecodable(data + data, "exactly one batch")

    def test_a_batch_longer_than_its_field_is_undecodable(self) -> None:
        self.assert_undecodable(batch_of(bytes(50), 1)[:-1], "exactly one batch")

    def test_less_than_a_header_is_undecodable(self) -> None:
        for size in (1, 16, 17, 60):
            self.assert_undecodable(batch_of(b"", 0)[:size], f"{size} bytes")

    def test_unknown_codecs_are_undecodable(self) -> None:
        for codec in (5, 6, 7):
            self.assert_undecodable(batch_of(bytes(20), 1, codec=codec), "codec")

    def test_data_that_does_not_decompress_is_undecodable(self) -> None:
        for codec, xerial in CODECS[1:]:
            area = compressed(codec, raw_record(0, (None, b"value" * 100, [])), xerial=xerial)
            for broken in (area[:-1], area[:9], b"", b"\xff" * 30, area + b"\1\2\3"):
                error = self.failure(batch_of(broken, 1, codec=codec))
                self.assertIsInstance(error, UndecodableRecords, (codec, xerial, broken))

    def test_keys_and_headers_are_held_within_a_limit(self) -> None:
        cases: list[Record] = [
            (b"k" * 1001, b"v", []),
            (None, b"v", [(b"h", b"x" * 1001)]),
            (None, b"v", [(b"", b"")] * 501),
        ]
        for each in cases:
            error = self.failure(batch_of(raw_record(0, each), 1), max_held=1000)
            self.assertIsInstance(error, TooLarge)
            self.assertIn("LFS_MAX_PASSTHROUGH_SIZE", str(error))

    def test_a_failed_reader_holds_nothing_and_waits_for_the_end(self) -> None:
        data = batch_of(b"\x80" * 40 + bytes(100000), 1)
        reader = BatchReader(len(data))
        reader.feed(data[:200])
        self.assertIsInstance(reader.next_event(), BatchStart)
        self.assertIsNone(reader.next_event())
        self.assertIsInstance(reader.failed, UndecodableRecords)
        reader.feed(data[200:-1])
        self.assertIsNone(reader.next_event())
        reader.feed(data[-1:])
        self.assertRaises(UndecodableRecords, reader.next_event)

    @given(batches(), st.data())
    def test_mutations_give_records_or_an_lfs_error(
        self, case: tuple[list[Record], bytes], data: st.DataObject
    ) -> None:
        _, batch = case
        mutable = bytearray(batch)
        for _ in range(data.draw(st.integers(1, 4))):
            mutable[data.draw(st.integers(12, len(mutable) - 1))] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            mutable = mutable[: data.draw(st.integers(0, len(mutable)))]
        try:
            events(bytes(mutable), data.draw(st.lists(st.integers(0, 10**6), max_size=3)))
        except LfsError:
            return

    @given(records, st.sampled_from(CODECS), st.data())
    def test_mutations_under_a_right_crc_give_records_or_an_lfs_error(
        self, found: list[Record], codec: tuple[int, bool], data: st.DataObject
    ) -> None:
        area = bytearray(compressed(codec[0], raw_records(found), xerial=codec[1])) or bytearray(1)
        for _ in range(data.draw(st.integers(1, 4))):
            area[data.draw(st.integers(0, len(area) - 1))] = data.draw(st.integers(0, 255))
        try:
            events(batch_of(bytes(area), len(found), codec=codec[0]))
        except LfsError as error:
            self.assertNotIsInstance(error, CorruptBatch)
