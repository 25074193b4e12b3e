"""Bytes in several pieces are read as the same bytes in one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.pieces import Pieces

PLACES = st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), max_size=20)


class PiecesTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=20), max_size=6), PLACES)
    def test_whatever_is_asked_for(self, cut: list[bytes], places: list[tuple[int, int]]) -> None:
        whole, pieces = b"".join(cut), Pieces([memoryview(each) for each in cut])
        self.assertEqual(len(pieces), len(whole))
        for start, stop in places:
            self.assertEqual(pieces[start:stop], whole[start:stop])
            if start < len(whole):
                self.assertEqual(pieces[start], whole[start])
            else:
                self.assertRaises(IndexError, lambda: pieces[start])  # noqa: B023  # it is called at once

    def test_places_before_the_first_are_none(self) -> None:
        pieces = Pieces([b"one", b"two"])
        self.assertRaises(IndexError, lambda: pieces[-1])
        self.assertEqual(pieces[-2:2], b"on")
