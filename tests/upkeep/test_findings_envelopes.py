"""Which envelopes are in batches: some at a time, between two offsets, each counted once."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.envelope import MAX_ENVELOPE_BYTES, Envelope
from lfsproxy.errors import TooLarge
from lfsproxy.upkeep.findings import envelopes
from lfsproxy.upkeep.findings.envelopes import Looked, claims_in, still_there
from lfsproxy.wire.walk import LIMITS, FetchedBatch, Limits, batches
from tests.wire.helpers import CODECS, batch_of, compressed, raw_records

ENVELOPE = Envelope("b", "k", "text/plain", 4, "crc32", "00000000").to_bytes()


def fetched(base: int, *values: bytes | None, codec: int = 0, xerial: bool = False) -> FetchedBatch:
    records = raw_records([(None, value, []) for value in values])
    data = batch_of(compressed(codec, records, xerial=xerial), len(values), codec=codec)
    (found,) = batches(struct.pack(">q", base) + data[8:])
    return found


def looked(found: Looked) -> tuple[int, list[int], int]:
    return found.records, [claim.offset for claim in found.claims], found.upto


class ClaimTests(SynchronousTestCase):
    def claims(
        self, *found: FetchedBatch, first: int = 0, end: int = 100, most: int = 10
    ) -> list[tuple[int, list[int], int]]:
        return [looked(each) for each in claims_in(found, first, end, most, LIMITS)]

    def test_batches_without_an_envelope_are_counted_together(self) -> None:
        self.assertEqual(self.claims(fetched(0, b"a", b"b"), fetched(2, None)), [(3, [], 3)])

    def test_nothing(self) -> None:
        self.assertEqual(self.claims(), [])

    def test_each_codec(self) -> None:
        for codec, xerial in CODECS:
            found = fetched(5, b"a", ENVELOPE, codec=codec, xerial=xerial)
            self.assertEqual(self.claims(found), [(2, [6], 7)])

    def test_some_at_a_time(self) -> None:
        found = fetched(0, ENVELOPE, b"a", ENVELOPE, ENVELOPE, b"b", ENVELOPE, b"c")
        self.assertEqual(self.claims(found, most=2), [(3, [0, 2], 3), (3, [3, 5], 6), (1, [], 7)])

    def test_not_all_records_in_one_step_though_none_has_an_envelope(self) -> None:
        self.patch(envelopes, "_RECORDS", 2)
        found = fetched(0, b"a", b"b", b"c", b"d", ENVELOPE)
        self.assertEqual(self.claims(found), [(2, [], 2), (2, [], 4), (1, [4], 5)])

    def test_between_two_offsets(self) -> None:
        found = fetched(0, ENVELOPE, b"a", ENVELOPE, ENVELOPE)
        self.assertEqual(self.claims(found, first=1, end=3), [(2, [2], 3)])
        plain = fetched(0, b"a", b"b", b"c", b"d")
        self.assertEqual(self.claims(plain, first=1, end=3), [(2, [], 3)])

    def test_a_value_too_long_for_an_envelope(self) -> None:
        long = ENVELOPE[:-1] + b" " * MAX_ENVELOPE_BYTES + b"}"
        self.assertEqual(self.claims(fetched(0, long)), [(1, [], 1)])

    def test_more_than_is_allowed_to_be_decompressed(self) -> None:
        found = fetched(0, b"a" * 100_000, codec=1)
        self.assertRaises(TooLarge, list, claims_in([found], 0, 1, 1, Limits(max_decompressed=1000)))


class StillThereTests(SynchronousTestCase):
    def test_what_is_there(self) -> None:
        found = [fetched(0, b"a", b"b"), fetched(5, b"c"), fetched(9, b"d")]
        self.assertEqual(set().union(*still_there(found, {1, 3, 5, 12}, LIMITS)), {1, 5})

    def test_batches_that_nobody_asks_for_are_not_decompressed(self) -> None:
        damaged = fetched(0, b"a")
        damaged = FetchedBatch(damaged.header, damaged.data[:-1], True)
        self.assertEqual(list(still_there([damaged], {7}, LIMITS)), [])
