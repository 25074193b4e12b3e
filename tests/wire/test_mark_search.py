"""The mark is found wherever it stands, however the bytes are cut; a plain search is the judge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.batch import MARK, has_mark
from tests.wire.helpers import chunked

LETTERS = st.text("LFS_BOx\0", max_size=60).map(str.encode)
"""Bytes that nearly spell the mark."""


class MarkTests(SynchronousTestCase):
    @given(LETTERS, st.booleans(), LETTERS, st.lists(st.integers(0, 200), max_size=12), st.booleans())
    def test_it_is_found_as_by_a_plain_search(
        self, before: bytes, is_there: bool, behind: bytes, cuts: list[int], as_views: bool
    ) -> None:
        data = before + (MARK if is_there else b"") + behind
        pieces = chunked(data, cuts)
        given_pieces = [memoryview(each) for each in pieces] if as_views else pieces
        self.assertEqual(has_mark(given_pieces), MARK in data)

    def test_at_every_place_of_a_large_piece(self) -> None:
        for size in (64, 1000, 100_003):
            for place in (*range(min(size, 80)), size - 1, size):
                data = bytearray(b"\xff" * size)
                data[place:place] = MARK
                self.assertTrue(has_mark([bytes(data)]))
                self.assertTrue(has_mark([memoryview(bytes(data))[1:]]) or place == 0)
                data[place + 3] ^= 1
                self.assertFalse(has_mark([bytes(data)]))
