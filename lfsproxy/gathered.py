"""Bytes that are kept in pieces until they are sent, in no more memory than they need."""

from __future__ import annotations

from collections import deque
from typing import Final

SMALL: Final = 4096
"""Bytes of a piece below which a copy costs less than to keep it by itself, with what it is a slice of."""
JOINED: Final = 64 * 1024
"""Bytes to which small pieces are joined: such a piece grows by moving, which costs more the longer it is."""


class Gathered:
    """Pieces in their order; ``size`` is their bytes.

    Those of less than ``small`` bytes are joined, so that many cost no more than few. Larger ones are kept by
    reference: the caller must not change them.
    """

    __slots__ = ("_joined", "_pieces", "_small", "size")

    def __init__(self, small: int = SMALL) -> None:
        self._small = small
        self._joined = bytearray()
        self._pieces: deque[bytes | memoryview] = deque()
        self.size = 0

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes at the end."""
        self.size += len(data)
        if len(data) < self._small:
            self._joined += data
            if len(self._joined) >= JOINED:
                self._flush()
        else:
            self._flush()
            self._pieces.append(memoryview(data) if isinstance(data, bytearray) else data)

    def pieces(self) -> list[bytes | memoryview]:
        """All pieces; they stay."""
        self._flush()
        return list(self._pieces)

    def take(self) -> list[bytes | memoryview]:
        """All pieces; then nothing is gathered any more."""
        pieces = self.pieces()
        self.clear()
        return pieces

    def take_first(self, size: int) -> list[bytes | bytearray | memoryview]:
        """The first ``size`` bytes, which must be there; a piece is divided without a copy."""
        self._flush()
        self.size -= size
        taken: list[bytes | bytearray | memoryview] = []
        while size:
            piece = self._pieces.popleft()
            if len(piece) > size:
                view = memoryview(piece)
                self._pieces.appendleft(view[size:])
                piece = view[:size]
            taken.append(piece)
            size -= len(piece)
        return taken

    def clear(self) -> None:
        """Let go of everything."""
        self._joined.clear()
        self._pieces.clear()
        self.size = 0

    def _flush(self) -> None:
        if self._joined:
            self._pieces.append(bytes(self._joined))
            self._joined.clear()
