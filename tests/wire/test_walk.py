"""A walk over fetched batches finds each record where it is and what may be an envelope, in little memory."""

from __future__ import annotations

import struct
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.envelope import MARKS, MAX_ENVELOPE_BYTES, recognise
from lfsproxy.errors import CorruptBatch, LfsError, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import NONE, SNAPPY
from lfsproxy.wire.fetch_answers import read_fetch_answer
from lfsproxy.wire.walk import FetchedBatch, Limits, RecordPlace, batches, may_have_envelope, records_of
from tests.wire.fetched import (
    CONTROL,
    ENVELOPE,
    OLDER,
    Made,
    MadeBatch,
    envelopes,
    made_batches,
)
from tests.wire.helpers import CODECS, varint
from tests.wire.test_fetch import fetches

SMALL = Limits(max_decompressed=2**20, max_held=64 * 1024)


def only(data: bytes) -> FetchedBatch:
    (batch,) = batches(data)
    return batch


def walked(made: MadeBatch, limits: Limits = SMALL) -> list[RecordPlace]:
    return list(records_of(only(made.to_bytes()), limits))


def older_message(magic: int) -> bytes:
    """A message of format 0 or 1; its CRC is not looked at."""
    body = (
        struct.pack(">IbB", 0, magic, 0) + bytes(8 * magic) + struct.pack(">ii", -1, len(ENVELOPE)) + ENVELOPE
    )
    return struct.pack(">qi", 3, len(body)) + body


class BatchesTests(SynchronousTestCase):
    @given(
        st.lists(
            made_batches().map(MadeBatch.to_bytes) | st.sampled_from([0, 1]).map(older_message), max_size=4
        ),
        st.integers(0, 10_000),
    )
    @settings(max_examples=50)
    def test_each_byte_is_in_one_batch_and_only_the_last_may_be_cut(
        self, whole: list[bytes], less: int
    ) -> None:
        data = b"".join(whole)
        records = data[: max(len(data) - less, 0)]
        found = list(batches(records))
        self.assertEqual(b"".join(bytes(each.data) for each in found), records)
        for batch, expected in zip(found[:-1], whole, strict=False):
            self.assertEqual((bytes(batch.data), batch.whole), (expected, True))
        if found:
            last = found[-1]
            self.assertEqual(last.whole, bytes(last.data) == whole[len(found) - 1])
            self.assertTrue(last.whole or not last.searchable)

    def test_captured_batches_are_found(self) -> None:
        for exchange in fetches():
            answer = read_fetch_answer(exchange.fields["api_version"], exchange.response[1])
            found = list(batches(answer.topics[0].partitions[0].records or b""))
            self.assertTrue(all(batch.whole for batch in found), exchange.label)
            headers = [batch.header for batch in found if batch.header]
            codecs = [header.codec for header in headers]
            self.assertEqual(codecs[:5], [0, 1, 2, 3, 4], exchange.label)
            self.assertEqual(sum(header.is_control for header in headers), 2, exchange.label)
            for batch in found:
                self.assertEqual(may_have_envelope(batch), batch.searchable, exchange.label)
                if batch.searchable:
                    values = [place.candidate for place in records_of(batch) if place.candidate]
                    self.assertEqual([recognise(value) is not None for value in values], [True])

    def test_what_cannot_be_followed_is_one_rest(self) -> None:
        first = envelopes(2).to_bytes()
        for length in (-1, -(2**31), 0, 4, 48):
            forged = first[:8] + struct.pack(">i", length) + first[12:]
            found = list(batches(first + forged + first))
            self.assertEqual(len(found), 2, length)
            self.assertEqual((found[1].header, found[1].whole), (None, False))
            self.assertEqual(bytes(found[1].data), forged + first)
        self.assertFalse(may_have_envelope(found[1]))

    def test_a_batch_longer_than_the_answer_is_cut(self) -> None:
        data = envelopes(2).to_bytes()
        cut = only(data[:8] + struct.pack(">i", 2**31 - 1) + data[12:])
        self.assertFalse(cut.whole or cut.searchable)
        self.assertIsNotNone(cut.header)

    def test_control_batches_and_older_formats_are_not_looked_into(self) -> None:
        made = MadeBatch([Made(0, 0, (b"\0\0\0\1", ENVELOPE, []))], attributes=CONTROL)
        for data in (made.to_bytes(), older_message(0), older_message(1)):
            batch = only(data)
            self.assertTrue(batch.whole)
            self.assertFalse(batch.searchable or may_have_envelope(batch))


class SearchTests(SynchronousTestCase):
    @given(made_batches())
    @settings(max_examples=50)
    def test_the_search_finds_what_is_in_the_records(self, made: MadeBatch) -> None:
        expected = any(mark in made.area for mark in MARKS)
        self.assertEqual(may_have_envelope(only(made.to_bytes()), Limits(max_held=64 * 1024)), expected)

    def test_a_mark_across_two_pieces_is_found(self) -> None:
        for mark in (b'"lfs_version"', b'"kfs_lfs"'):
            for before in range(len(mark) + 1):
                # A piece of gzip's has 256 KiB; before the value's bytes stand the record's ten.
                value = b"x" * (256 * 1024 - 10 - before) + mark
                made = MadeBatch([Made(0, 0, (None, value, []))], codec=1)
                self.assertTrue(may_have_envelope(only(made.to_bytes())))

    def test_a_bomb_names_the_setting(self) -> None:
        made = MadeBatch([Made(0, 0, (None, bytes(2**21), []))])
        for codec, xerial in CODECS[1:]:
            bomb = MadeBatch(made.records, codec, xerial)
            for read in (
                lambda each: may_have_envelope(each, SMALL),
                lambda each: list(records_of(each, SMALL)),
            ):
                error = self.assertRaises(TooLarge, read, only(bomb.to_bytes()))
                self.assertIn("LFS_MAX_DECOMPRESSED_SIZE", str(error))

    def test_the_pace_may_end_a_search(self) -> None:
        def pace() -> None:
            raise TimeoutError

        for codec, xerial in CODECS:
            batch = only(MadeBatch(envelopes(3).records, codec, xerial).to_bytes())
            self.assertRaises(TimeoutError, may_have_envelope, batch, SMALL, pace)
            self.assertRaises(TimeoutError, next, records_of(batch, SMALL, pace))


class RecordsTests(SynchronousTestCase):
    @given(made_batches(least=0))
    @settings(max_examples=100)
    def test_each_record_is_where_the_walk_says(self, made: MadeBatch) -> None:
        area = made.area
        end = 0
        places = walked(made, Limits(max_held=64 * 1024))
        for number, (place, record) in enumerate(zip(places, made.records, strict=True)):
            key, value, _ = record.record
            self.assertEqual(
                (place.number, place.offset_delta, place.start), (number, record.offset_delta, end)
            )
            self.assertEqual(area[place.start : place.end], record.raw())
            self.assertEqual(place.size, len(record.raw()))
            self.assertEqual(place.length, -1 if value is None else len(value))
            self.assertEqual(area[place.value : place.tail], value or b"")
            self.assertTrue(area[place.body : place.value_field].endswith(key or b""))
            self.assertEqual(place.candidate, value if looks_like_one(value) else None)
            for length in (0, 63, 64, 8191, 8192, 10**6, 2**30):
                other = size_with_value_of(record, length)
                self.assertEqual(place.size_with(length), other)
            end = place.end
        self.assertEqual(end, len(area))

    def test_the_walk_is_lazy(self) -> None:
        records = [Made(0, 0, (None, ENVELOPE, [])), Made(1, 0, (None, bytes(2**21), []))]
        for codec, xerial in CODECS[1:]:
            walk = records_of(only(MadeBatch(records, codec, xerial).to_bytes()), SMALL)
            self.assertEqual(next(walk).candidate, ENVELOPE)
            self.assertRaises(TooLarge, next, walk)

    def test_a_wrong_crc_shows_before_the_first_record(self) -> None:
        data = bytearray(envelopes(2).to_bytes())
        data[-3] ^= 1
        self.assertRaises(CorruptBatch, next, records_of(only(bytes(data))))

    def test_offsets_that_do_not_rise_within_the_batch_are_undecodable(self) -> None:
        for deltas, last in (((1, 0), 1), ((0, 0), 1), ((0, 2), 1), ((-1,), 1), ((0,), -1)):
            made = MadeBatch([Made(each, 0, (None, b"", [])) for each in deltas], last_offset_delta=last)
            self.assertRaises(UndecodableRecords, walked, made)

    def test_counts_that_lie_are_undecodable(self) -> None:
        for codec, xerial in CODECS:
            for count in (-1, 0, 1, 3, 2**31 - 1):
                records = envelopes(2).records
                made = MadeBatch(records, codec, xerial, count=count, last_offset_delta=9)
                self.assertRaises(UndecodableRecords, walked, made)

    def test_lengths_that_lie_are_undecodable(self) -> None:
        whole = Made(0, 0, (b"k", b"value", [])).raw()
        without = Made(0, 0, (None, None, [])).raw()
        huge, negative = varint(2**31 - 1), varint(-2)
        for area in (
            huge + whole[1:],  # the record's length
            negative + whole[1:],
            b"\xff" * 11 + whole,
            whole[:4] + huge + whole[5:],  # the key's length
            whole[:4] + negative + whole[5:],
            whole[:6] + huge + whole[7:],  # the value's length
            whole[:6] + negative + whole[7:],
            whole[:6] + varint(6) + whole[7:],  # no byte is left for the headers
            whole[:2] + b"\xff" * 11 + whole[3:],  # the timestamp's delta
            without[:4] + negative + without[5:],  # a null key's length, and a null value's
            without[:5] + negative + without[6:],
            whole[:-1],
            whole + b"\0",
        ):
            for codec, xerial in CODECS:
                made = MadeBatch([Made(0, 0, (None, None, []))], codec, xerial, raw=area)
                self.assertRaises(UndecodableRecords, list, records_of(only(made.to_bytes())))

    def test_a_batch_that_is_cut_inside_is_undecodable(self) -> None:
        area = MadeBatch([Made(0, 0, (b"key", ENVELOPE, [(b"h", b"x")]))]).area
        for end in range(len(area)):
            for codec, xerial in CODECS:
                made = MadeBatch([Made(0, 0, (None, None, []))], codec, xerial, raw=area[:end])
                self.assertRaises(LfsError, list, records_of(only(made.to_bytes())))

    def test_little_is_held_of_a_large_batch(self) -> None:
        records = [Made(0, 0, (b"k" * 2**22, bytes(2**24), [(b"h", bytes(2**22))]))]
        records += [Made(each, 0, (None, ENVELOPE, [])) for each in range(1, 500)]
        for codec, xerial in CODECS:
            batch = only(MadeBatch(records, codec, xerial).to_bytes())
            tracemalloc.start()
            try:
                self.assertTrue(may_have_envelope(batch))
                found = sum(place.candidate is not None for place in records_of(batch))
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            self.assertEqual(found, 499)
            # lz4 holds two of its blocks, raw snappy up to what it is allowed.
            # Raw snappy holds besides what its copies may refer to: max_held.
            history = 17 * 2**20 if codec == SNAPPY and not xerial else 0
            self.assertLess(peak, 64 * 1024 if codec == NONE else 2 * 2**20 + history, (codec, xerial))

    def test_a_value_of_64_kib_is_no_candidate(self) -> None:
        made = MadeBatch(
            [
                Made(0, 0, (None, ENVELOPE.ljust(MAX_ENVELOPE_BYTES), [])),
                Made(1, 0, (None, OLDER.ljust(MAX_ENVELOPE_BYTES - 1), [])),
            ]
        )
        self.assertEqual([place.candidate is None for place in walked(made)], [True, False])


def looks_like_one(value: bytes | None) -> bool:
    """The cheap test, by the contract's words."""
    return (
        value is not None
        and value.startswith(b"{")
        and len(value) < MAX_ENVELOPE_BYTES
        and any(mark in value for mark in MARKS)
    )


def size_with_value_of(record: Made, length: int) -> int:
    """The size of the record with a value of ``length`` bytes, which are not made."""
    key, _, headers = record.record
    empty = Made(record.offset_delta, record.timestamp_delta, (key, b"", headers), record.attributes).raw()
    body = len(empty) - len(varint(len(empty)))
    for size in range(1, 6):
        if len(varint(len(empty) - size)) == size:
            body = len(empty) - size
    body += len(varint(length)) - 1 + length
    return len(varint(body)) + body
