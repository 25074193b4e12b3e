"""Bytes that are held in several pieces, read as if they were one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from lfsproxy.wire.chunks import Piece


class Pieces:
    """Gives a byte, or a slice of a few, by its place in the whole, as ``bytes`` does; from 0 on only.

    It remembers which piece it found last, so that places that rise cost the same however many pieces there
    are.
    """

    __slots__ = ("_end", "_index", "_size", "_start", "pieces")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self._size = sum(map(len, pieces))
        self._index = 0
        self._start = 0
        self._end = len(pieces[0]) if pieces else 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> bytes: ...

    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, int):
            if not 0 <= place < self._size:
                raise IndexError(f"byte {place} of {self._size}")
            self._find(place)
            return self.pieces[self._index][place - self._start]
        start, stop = max(place.start, 0), min(place.stop, self._size)
        found = b""
        while start < stop:
            self._find(start)
            end = min(stop, self._end)
            found += self.pieces[self._index][start - self._start : end - self._start]
            start = end
        return found

    def _find(self, place: int) -> None:
        """Go to the piece with this byte, which is there."""
        if place < self._start:
            self._index, self._start, self._end = 0, 0, len(self.pieces[0])
        while place >= self._end:
            self._index += 1
            self._start = self._end
            self._end += len(self.pieces[self._index])
