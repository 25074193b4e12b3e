"""Changes bytes in the ways that break readers: lengths that lie, varints without end, cuts, repetitions."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

_NUMBERS = (0, 1, 2, -1, -2, 127, 128, 255, 2**14, 2**15 - 1, 2**16, 2**24, 2**30, 2**31 - 1, -(2**31))
_BYTES = b"\x00\x01\x02\x7f\x80\x81\xfe\xff"
_MOST = 64 * 1024


class Mutator:
    """Makes inputs out of ``seeds``; the same ones for the same ``random``."""

    def __init__(self, randomness: random.Random, seeds: Sequence[bytes]) -> None:
        self._random = randomness
        self._seeds = seeds
        self._ways = (
            self._flip,
            self._set_byte,
            self._set_number,
            self._set_varint,
            self._cut,
            self._remove,
            self._repeat,
            self._insert,
            self._splice,
        )

    def next(self) -> bytes:
        """One of the seeds, with one to six changes."""
        rng = self._random
        data = bytearray(rng.choice(self._seeds))
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
            rng.choice(self._ways)(data)
        return bytes(data[:_MOST])

    def _place(self, data: bytearray) -> int:
        return self._random.randrange(len(data) + 1)

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)

    def _set_byte(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] = self._random.choice(_BYTES)

    def _set_number(self, data: bytearray) -> None:
        format, size = self._random.choice(((">h", 2), (">i", 4), (">q", 8), ("<i", 4)))
        limit = 1 << (8 * size - 1)
        number = max(-limit, min(self._random.choice(_NUMBERS), limit - 1))
        place = self._place(data)
        data[place : place + size] = struct.pack(format, number)

    def _set_varint(self, data: bytearray) -> None:
        number = self._random.choice(_NUMBERS) & 0xFFFFFFFF
        out = bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
        if self._random.random() < 0.2:
            out = bytearray(b"\x80" * self._random.randrange(1, 12))
        place = self._place(data)
        data[place : place + self._random.choice((1, len(out)))] = out

    def _cut(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _remove(self, data: bytearray) -> None:
        place = self._place(data)
        del data[place : place + self._random.randrange(1, 9)]

    def _repeat(self, data: bytearray) -> None:
        place = self._place(data)
        piece = data[place : place + self._random.randrange(1, 65)]
        data[place:place] = piece * self._random.choice((1, 2, 100))

    def _insert(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self._random.randbytes(self._random.randrange(1, 9))

    def _splice(self, data: bytearray) -> None:
        other = self._random.choice(self._seeds)
        place = self._random.randrange(len(other) + 1)
        data[self._place(data) :] = other[place:]
