"""Bytes on their way through that are not consumed yet.

All incremental readers of this package (frames, produce, records) stand on ``Chunks``: small fields are
copied out, large ones leave as slices of the fed chunks, so that each byte costs the same however long its
frame is.
"""

from __future__ import annotations

from collections import deque

Piece = bytes | memoryview
"""Bytes on their way through: a fed chunk as it is, or a slice of one."""


class Chunks:
    """A queue of bytes. Fed chunks are kept by reference: the caller must not change them."""

    __slots__ = ("_chunks", "_head", "_offset", "size")

    def __init__(self) -> None:
        self._chunks: deque[Piece] = deque()
        self._head: Piece = b""
        self._offset = 0
        self.size = 0

    def feed(self, data: Piece) -> None:
        """Add bytes at the end."""
        if not data:
            return
        if self.size:
            self._chunks.append(data)
        else:
            self._head = data
            self._offset = 0
        self.size += len(data)

    def peek(self, count: int) -> Piece | None:
        """The next ``count`` bytes (a few), not consumed; None where fewer are there."""
        if count > self.size:
            return None
        end = self._offset + count
        if end <= len(self._head):
            return self._head[self._offset : end]
        found = bytearray(self._head[self._offset :])
        for chunk in self._chunks:
            found += chunk[: count - len(found)]
            if len(found) == count:
                break
        return bytes(found)

    def take(self, count: int) -> bytes | None:
        """Consume ``count`` bytes and return a copy; None, consuming nothing, where fewer are there."""
        found = self.peek(count)
        if found is None:
            return None
        self.skip(count)
        return bytes(found)

    def take_some(self, limit: int) -> Piece:
        """Consume up to ``limit`` bytes, as many as one chunk holds, without copying; may be empty."""
        head, start = self._head, self._offset
        count = min(limit, len(head) - start)
        if count <= 0:
            return b""
        whole = count == len(head)
        self.skip(count)
        return head if whole else memoryview(head)[start : start + count]

    def look(self, limit: int) -> Piece:
        """Up to ``limit`` of the next bytes, as many as one chunk holds, not consumed."""
        return self._head[self._offset : self._offset + limit]

    def skip(self, count: int) -> None:
        """Consume ``count`` bytes, which must be there."""
        self.size -= count
        while True:
            left = len(self._head) - self._offset
            if count < left:
                self._offset += count
                return
            count -= left
            self._offset = 0
            if not self._chunks:
                self._head = b""
                return
            self._head = self._chunks.popleft()
