"""Pieces that are kept: small ones joined, large ones as they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.gathered import JOINED, SMALL, Gathered


class GatheredTests(SynchronousTestCase):
    def test_small_pieces_are_joined(self) -> None:
        gathered = Gathered()
        for byte in range(200):
            gathered.add(bytes([byte]))
        self.assertEqual(gathered.take(), [bytes(range(200))])

    def test_a_large_piece_is_kept_as_it_is_in_its_place(self) -> None:
        large = memoryview(bytearray(SMALL))
        gathered = Gathered()
        for piece in (b"before", large, b"be", b"hind"):
            gathered.add(piece)
        pieces = gathered.take()
        self.assertEqual([pieces[0], pieces[2]], [b"before", b"behind"])
        self.assertIs(pieces[1], large)

    def test_joined_pieces_are_of_a_limited_size(self) -> None:
        gathered = Gathered()
        for _ in range(200):
            gathered.add(bytes(1000))
        self.assertLess(max(map(len, gathered.take())), JOINED + SMALL)

    def test_what_was_taken_is_gone(self) -> None:
        gathered = Gathered()
        gathered.add(b"data")
        self.assertEqual(gathered.size, 4)
        gathered.take()
        self.assertEqual((gathered.size, gathered.take()), (0, []))

    def test_pieces_that_are_looked_at_stay(self) -> None:
        gathered = Gathered()
        gathered.add(b"data")
        self.assertEqual((gathered.pieces(), gathered.size), ([b"data"], 4))
        gathered.add(b" and more")
        self.assertEqual(gathered.take(), [b"data", b" and more"])

    def test_what_is_let_go_is_gone(self) -> None:
        gathered = Gathered()
        for piece in (bytes(SMALL), b"small"):
            gathered.add(piece)
        gathered.clear()
        self.assertEqual((gathered.size, gathered.take()), (0, []))

    def test_a_large_piece_is_divided_without_a_copy(self) -> None:
        large = bytearray(2 * SMALL)
        gathered = Gathered()
        gathered.add(large)
        [first] = gathered.take_first(SMALL)
        [second] = gathered.take()
        self.assertEqual([memoryview(each).obj is large for each in (first, second)], [True, True])

    @given(st.lists(st.integers(0, 40)), st.integers(1, 20), st.lists(st.integers(0, 60)))
    def test_any_first_bytes_are_taken_in_their_order(
        self, sizes: list[int], small: int, takes: list[int]
    ) -> None:
        gathered = Gathered(small)
        whole = b"".join(bytes([number % 256]) * size for number, size in enumerate(sizes))
        for number, size in enumerate(sizes):
            gathered.add(bytes([number % 256]) * size)
        out: list[bytes] = []
        for size in takes:
            taken = gathered.take_first(min(size, gathered.size))
            self.assertEqual(sum(map(len, taken)), min(size, len(whole) - len(b"".join(out))))
            out.append(b"".join(taken))
        self.assertEqual(b"".join([*out, *gathered.take()]), whole)

    @given(st.lists(st.integers(0, 40)), st.integers(1, 20))
    def test_no_byte_is_lost_or_moved(self, sizes: list[int], small: int) -> None:
        gathered = Gathered(small)
        pieces = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
        for piece in pieces:
            gathered.add(piece)
        self.assertEqual(gathered.size, sum(sizes))
        self.assertEqual(b"".join(gathered.take()), b"".join(pieces))
