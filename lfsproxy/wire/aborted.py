"""Which batches of a Fetch answer belong to transactions that were aborted, as a consumer tells it.

An answer to a request with isolation level read_committed lists, for each partition, the aborted transactions
that its records touch (``FetchedPartition.aborted``)::

    [producer_id:int64 first_offset:int64, tags from version 12 on]

Such a transaction lasts from its first offset to the control batch of its producer that ends it.
"""

from __future__ import annotations

from collections.abc import Iterable

from lfsproxy.wire.batch import BatchHeader
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.fetch import FIRST_FLEXIBLE
from lfsproxy.wire.primitives import Reader

READ_COMMITTED = 1
"""The isolation level of a request whose consumer skips what was aborted."""


class Aborted:
    """Follows a partition's batches in their order. ``begins``: the producer id and the first offset of each
    aborted transaction."""

    def __init__(self, begins: Iterable[tuple[int, int]]) -> None:
        self._to_begin = sorted(((first, producer_id) for producer_id, first in begins), reverse=True)
        self._open: set[int] = set()

    @classmethod
    def listed(cls, version: int, listed: Piece | None) -> Aborted:
        """By the list of an answer. Raises FramingError for one that does not decode."""
        reader = Reader(listed or b"", flexible=version >= FIRST_FLEXIBLE)
        count = reader.count(16) if listed is not None else 0
        begins = []
        for _ in range(count):
            begins.append((reader.int64(), reader.int64()))
            reader.tags()
        return cls(begins)

    def has(self, header: BatchHeader) -> bool:
        """Whether the records of the next batch were aborted."""
        last = header.base_offset + header.last_offset_delta
        while self._to_begin and self._to_begin[-1][0] <= last:
            self._open.add(self._to_begin.pop()[1])
        if header.is_control:
            self._open.discard(header.producer_id)
        return header.is_transactional and not header.is_control and header.producer_id in self._open
