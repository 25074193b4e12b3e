"""A rewritten batch is the broker's with other values, and its length and CRC are known before its bytes."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Mapping
from typing import Any

from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import LfsError, TooLarge
from lfsproxy.wire.fetch_answers import read_fetch_answer
from lfsproxy.wire.hydrate import NewValue, Rewrite
from lfsproxy.wire.walk import Limits, RecordPlace, batches, records_of
from tests.wire.fetched import ENVELOPE, LOG_APPEND_TIME, Made, MadeBatch, envelopes, made_batches
from tests.wire.helpers import CODECS
from tests.wire.test_fetch import fetches
from tests.wire.test_walk import only

LIMITS = Limits(max_held=64 * 1024)
BLOB = b"blob!"
"""What the envelopes of the captures stand for."""


def rewritten(
    data: bytes, first: int, last: int, blobs: Mapping[int, bytes], limits: Limits = LIMITS
) -> tuple[Rewrite, bytes]:
    """The batch with the records ``first`` to ``last``, and ``blobs`` by the records' numbers."""
    batch = only(data)
    places = list(records_of(batch, limits))
    values = [
        NewValue(places[number], len(blob), crc32c(blob))
        for number, blob in sorted(blobs.items())
        if first <= number <= last
    ]
    rewrite = Rewrite(batch, places[first], places[last], values, limits)
    rewrite.seal()
    return rewrite, filled(rewrite, blobs)


def filled(rewrite: Rewrite, blobs: Mapping[int, bytes]) -> bytes:
    """What goes to a client."""
    return b"".join(
        blobs[piece.record.number] if isinstance(piece, NewValue) else bytes(piece)
        for piece in rewrite.pieces()
    )


def decoded(data: bytes) -> tuple[Any, list[Any]]:
    """By kafka-python: the batch, and its records."""
    records = MemoryRecords(data)
    batch = records.next_batch()
    assert batch.validate_crc()
    assert not records.has_next()
    return batch, [(each.offset, each.timestamp, each.key, each.value, each.headers) for each in batch]


def expected(made: MadeBatch, first: int, last: int, blobs: Mapping[int, bytes]) -> list[Any]:
    """What a consumer is to see of the records."""
    own_time = not made.attributes & LOG_APPEND_TIME
    return [
        (
            made.base_offset + each.offset_delta,
            made.timestamps[0] + each.timestamp_delta if own_time else made.timestamps[1],
            each.record[0],
            blobs.get(number, each.record[1]),
            [(name.decode(), value) for name, value in each.record[2]],
        )
        for number, each in enumerate(made.records)
        if first <= number <= last
    ]


@st.composite
def cases(draw: st.DrawFn) -> tuple[MadeBatch, int, int, dict[int, bytes]]:
    made = draw(made_batches())
    first, last = sorted(draw(st.integers(0, len(made.records) - 1)) for _ in range(2))
    sizes = st.sampled_from([0, 1, 63, 64, 8191, 8192, 100_000])
    blobs = st.builds(lambda size, byte: byte * size, sizes, st.binary(min_size=1, max_size=1))
    return made, first, last, draw(st.dictionaries(st.integers(first, last), blobs, max_size=4))


class RewriteTests(SynchronousTestCase):
    @given(cases())
    @settings(max_examples=150, deadline=None)
    def test_a_client_sees_the_records_with_their_blobs(
        self, case: tuple[MadeBatch, int, int, dict[int, bytes]]
    ) -> None:
        made, first, last, blobs = case
        rewrite, out = rewritten(made.to_bytes(), first, last, blobs)
        self.assertEqual(len(out), rewrite.size)
        batch, found = decoded(out)
        self.assertEqual(found, expected(made, first, last, blobs))
        to_end = last == len(made.records) - 1
        self.assertEqual(
            (batch.attributes, batch.records_count, batch.last_offset_delta, batch.size_in_bytes),
            (
                made.attributes,
                last - first + 1,
                made.last_delta if to_end else made.records[last].offset_delta,
                len(out),
            ),
        )
        self.assertEqual(
            (batch.base_offset, batch.leader_epoch, batch.first_timestamp, batch.max_timestamp),
            (made.base_offset, made.leader_epoch, *made.timestamps),
        )
        self.assertEqual(
            (batch.producer_id, batch.producer_epoch, batch.base_sequence, batch.magic), (*made.producer, 2)
        )

    def test_records_that_stay_keep_their_bytes(self) -> None:
        records = [Made(each, 0, (b"k", ENVELOPE, [(b"h", None)])) for each in range(3)]
        for codec, xerial in CODECS:
            made = MadeBatch(records, codec, xerial)
            _, out = rewritten(made.to_bytes(), 0, 2, {1: BLOB})
            middle = Made(1, 0, (b"k", BLOB, [(b"h", None)]))
            self.assertEqual(out[61:], records[0].raw() + middle.raw() + records[2].raw())

    def test_a_batch_given_whole_and_unchanged_is_the_same_but_for_its_codec(self) -> None:
        for codec, xerial in CODECS:
            made = envelopes(3)
            _, out = rewritten(MadeBatch(made.records, codec, xerial).to_bytes(), 0, 2, {})
            self.assertEqual(out, made.to_bytes())

    def test_what_is_not_compressed_is_not_copied(self) -> None:
        made = MadeBatch([Made(0, 0, (None, ENVELOPE, [])), Made(1, 0, (None, bytes(2**20), []))])
        data = made.to_bytes()
        places = list(records_of(only(data)))
        rewrite = Rewrite(only(data), places[0], places[1], [NewValue(places[0], 5, crc32c(BLOB))])
        rewrite.seal()
        large = [
            piece for piece in rewrite.pieces() if not isinstance(piece, NewValue) and len(piece) > 2**19
        ]
        self.assertEqual(len(large), 1)
        assert isinstance(large[0], memoryview)
        self.assertIs(large[0].obj, data)

    def test_captured_envelopes_become_blobs_that_kafka_python_reads(self) -> None:
        for exchange in fetches():
            answer = read_fetch_answer(exchange.fields["api_version"], exchange.response[1])
            for batch in batches(answer.topics[0].partitions[0].records or b""):
                if not batch.searchable:
                    continue
                places = list(records_of(batch))
                blobs = {place.number: BLOB for place in places if place.candidate}
                _, out = rewritten(bytes(batch.data), 0, len(places) - 1, blobs)
                theirs, found = decoded(out)
                source, before = decoded(bytes(batch.data))
                self.assertEqual(len(blobs), 1, exchange.label)
                self.assertEqual(
                    found,
                    [
                        (*each[:3], BLOB if number in blobs else each[3], each[4])
                        for number, each in enumerate(before)
                    ],
                    exchange.label,
                )
                self.assertEqual(
                    (theirs.producer_id, theirs.base_sequence, theirs.is_transactional, theirs.next_offset),
                    (source.producer_id, source.base_sequence, source.is_transactional, source.next_offset),
                )

    def test_lengths_that_no_varint_should_have_taken_are_read_and_written_anew(self) -> None:
        # The record's length, and its value's, in two bytes where one would do.
        body = b"\0\0\0\1\x8a\0value\0"
        record = bytes([2 * len(body) | 0x80, 0]) + body
        made = MadeBatch([Made(0, 0, (None, None, []))], raw=record)
        rewrite, out = rewritten(made.to_bytes(), 0, 0, {0: b"other value"})
        self.assertEqual(out[61:], Made(0, 0, (None, b"other value", [])).raw())
        self.assertEqual(len(out), rewrite.size)

    def test_a_batch_of_two_gib_is_too_large(self) -> None:
        batch = only(envelopes(2).to_bytes())
        places = list(records_of(batch))
        values = [NewValue(place, 2**30, 0) for place in places]
        self.assertEqual(
            Rewrite(batch, places[0], places[0], values[:1]).size, 61 + places[0].size_with(2**30)
        )
        self.assertRaises(TooLarge, Rewrite, batch, places[0], places[1], values)

    def test_a_batch_that_is_another_one_the_second_time_is_an_error(self) -> None:
        batch, other = only(envelopes(9, codec=1).to_bytes()), only(envelopes(2, codec=1).to_bytes())
        places = list(records_of(batch))
        rewrite = Rewrite(other, places[0], places[8], [NewValue(places[8], 5, 0)])
        self.assertRaises(LfsError, rewrite.seal)

    def test_the_pace_may_end_the_sealing(self) -> None:
        def pace() -> None:
            raise TimeoutError

        batch = only(envelopes(2).to_bytes())
        place: RecordPlace = next(records_of(batch))
        self.assertRaises(TimeoutError, Rewrite(batch, place, place, []).seal, pace)

    def test_the_pace_is_kept_while_records_are_left_out(self) -> None:
        made = MadeBatch([Made(number, 0, (None, bytes(1024 * 1024), [])) for number in range(9)], 1)
        batch = only(made.to_bytes())
        places = list(records_of(batch, LIMITS))
        rewrite = Rewrite(batch, places[8], places[8], [], LIMITS)
        calls: list[None] = []
        rewrite.seal(lambda: calls.append(None))
        self.assertGreater(len(calls), 8)
        self.assertGreater(sum(not piece for piece in rewrite.pieces()), 7)
        self.assertEqual(decoded(filled(rewrite, {}))[1], expected(made, 8, 8, {}))

    def test_little_is_held_of_a_large_batch(self) -> None:
        large = Made(0, 0, (None, bytes(2**25), []))
        records = [large, *(Made(each, 0, (None, ENVELOPE, [])) for each in range(1, 500))]
        for codec in (1, 3, 4):
            batch = only(MadeBatch(records, codec).to_bytes())
            places = list(records_of(batch))
            values = [NewValue(place, 0, 0) for place in places[1:]]
            tracemalloc.start()
            try:
                rewrite = Rewrite(batch, places[0], places[-1], values)
                rewrite.seal()
                size = sum(len(piece) for piece in rewrite.pieces() if not isinstance(piece, NewValue))
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            self.assertEqual(size, rewrite.size)
            self.assertLess(peak, 2 * 2**20, codec)

    def test_many_envelopes_side_by_side(self) -> None:
        made = envelopes(20_000, codec=4)
        blobs = {number: b"%d" % number for number in range(20_000)}
        _, out = rewritten(made.to_bytes(), 0, 19_999, blobs)
        _, found = decoded(out)
        self.assertEqual([int(each[3]) for each in found], list(range(20_000)))

    def test_the_crc_covers_what_a_reader_checks(self) -> None:
        _, out = rewritten(envelopes(2).to_bytes(), 1, 1, {1: BLOB})
        self.assertEqual(struct.unpack_from(">I", out, 17)[0], crc32c(out[21:]))
