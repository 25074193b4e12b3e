"""One partition's records in a Produce request, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

from lfsproxy.claimcheck import Claim
from lfsproxy.errors import LfsError
from lfsproxy.relay.produce.hints import OffsetHints
from lfsproxy.wire.batch import HEADER_SIZE, MAGIC_OFFSET, BatchHeader, first_bytes, parse_batch_header
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.primitives import Tag
from lfsproxy.wire.produce import PartitionStart


class Batch:
    """One partition's records in a Produce request, and what becomes of them.

    ``error`` is set where the batch is refused, with ``bad_record``, the index of the record at fault, if one
    is; ``sent`` where the broker may have it. ``claims`` are those of its records until their fate is told.
    """

    def __init__(self, start: PartitionStart) -> None:
        self.topic = start.topic
        self.partition = start.partition
        self.error: LfsError | None = None
        self.bad_record: int | None = None
        self.tags: Sequence[Tag] = ()
        self.claims: list[Claim] = []
        self.records: list[Piece] = []
        self.size = max(start.size, 0)
        self.rewritten: list[Piece] | None = None
        self.sent = False
        self.is_null = start.size < 0
        self._reserved = 0
        self._hint = 0
        self._header: BatchHeader | None = None

    def receive_header(self, data: Piece) -> None:
        """Take records that are not held: only the header is kept."""
        held = sum(map(len, self.records))
        if held < HEADER_SIZE:
            self.records.append(bytes(data[: HEADER_SIZE - held]))

    @property
    def pieces(self) -> Sequence[Piece] | None:
        """The records as they go to the broker; None is null."""
        if self.is_null:
            return None
        return self.records if self.rewritten is None else self.rewritten

    @property
    def header(self) -> BatchHeader | None:
        """The batch's header, None where there is none of format 2."""
        if self._header is None:
            start = first_bytes(self.records, HEADER_SIZE)
            if len(start) == HEADER_SIZE and start[MAGIC_OFFSET] == 2:
                self._header = parse_batch_header(start)
        return self._header

    def let_go(self) -> None:
        """Its bytes are not needed any more: hold nothing but the header."""
        self.records = [first_bytes(self.records, HEADER_SIZE)]
        self.rewritten = None

    @property
    def why(self) -> str:
        """Why it is refused, for the client; names the record at fault."""
        return str(self.error) if self.bad_record is None else f"record {self.bad_record}: {self.error}"

    # Offset hints

    async def find_hint(self, hints: OffsetHints) -> int:
        """The hint for the first of its records, asking the broker where none is known; counts them."""
        await hints.ask(self.topic, self.partition)
        return self._reserve_hint(hints)

    def count_hint(self, hints: OffsetHints) -> None:
        """Count its records where a hint is known: those that only pass move the offsets of later ones."""
        if hints.knows(self.topic, self.partition):
            self._reserve_hint(hints)

    def _reserve_hint(self, hints: OffsetHints) -> int:
        if self._reserved:
            return self._hint
        self._reserved = self.header.count if self.header is not None else 0
        self._hint = hints.reserve(self.topic, self.partition, self._reserved)
        return self._hint

    def settle_hint(self, hints: OffsetHints, base_offset: int) -> None:
        """Its records are in the log at ``base_offset``, or (-1) are not, or nobody knows where."""
        reserved, self._reserved = self._reserved, 0
        next_offset = None
        if base_offset >= 0 and self.header is not None:
            next_offset = base_offset + self.header.count
        hints.settle(self.topic, self.partition, reserved, next_offset)

    # What became of it

    def take_claims(self) -> list[Claim]:
        """Its claims, for the code that tells them their fate."""
        claims, self.claims = self.claims, []
        return claims
