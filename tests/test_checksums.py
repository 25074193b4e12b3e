"""CRC-32C values of pieces make that of the whole."""

from __future__ import annotations

import os
from functools import reduce

from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.checksums import combine_crc32c

LENGTHS = (1, 255, 256, 257, 65_535, 65_536, 65_537, 8 * 1024 * 1024, 2**24 + 1)


class CombineTests(SynchronousTestCase):
    def test_the_vectors_of_rfc_3720(self) -> None:
        # Appendix B.4: 32 bytes each of zeros, ones, and counting up. Each is cut in two at every place.
        for whole, wanted in (
            (bytes(32), 0x8A9136AA),
            (b"\xff" * 32, 0x62A8AB43),
            (bytes(range(32)), 0x46DD794E),
            (b"123456789", 0xE3069283),
        ):
            for cut in range(len(whole) + 1):
                first, second = crc32c(whole[:cut]), crc32c(whole[cut:])
                self.assertEqual(combine_crc32c(first, second, len(whole) - cut), wanted, (whole, cut))

    @given(st.binary(max_size=300), st.binary(max_size=70_000))
    def test_two_pieces(self, first: bytes, second: bytes) -> None:
        combined = combine_crc32c(crc32c(first), crc32c(second), len(second))
        self.assertEqual(combined, crc32c(second, crc32c(first)))

    @given(st.lists(st.binary(max_size=600), max_size=20))
    def test_many_pieces_in_any_grouping(self, pieces: list[bytes]) -> None:
        whole = crc32c(b"".join(pieces))
        pairs = [(crc32c(piece), len(piece)) for piece in pieces]
        forwards = reduce(lambda a, b: (combine_crc32c(a[0], b[0], b[1]), a[1] + b[1]), pairs, (0, 0))
        backwards = reduce(lambda b, a: (combine_crc32c(a[0], b[0], b[1]), a[1] + b[1]), pairs[::-1], (0, 0))
        self.assertEqual((forwards[0], backwards[0]), (whole, whole))

    def test_lengths_around_each_byte_of_the_length(self) -> None:
        first = os.urandom(100)
        for length in LENGTHS:
            second = bytes(length)
            combined = combine_crc32c(crc32c(first), crc32c(second), length)
            self.assertEqual(combined, crc32c(second, crc32c(first)), length)

    @given(st.integers(0, 2**32 - 1), st.integers(0, 2**43), st.integers(0, 2**43))
    def test_a_length_that_no_test_can_hold_is_the_sum_of_its_halves(self, crc: int, a: int, b: int) -> None:
        shifted = combine_crc32c(combine_crc32c(crc, 0, a), 0, b)
        self.assertEqual(combine_crc32c(crc, 0, a + b), shifted)
