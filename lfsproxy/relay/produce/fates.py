"""What became of a batch is told to its claims, whose blobs stay or are removed, and to the offset hints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred, gatherResults

from lfsproxy.claimcheck import Claim
from lfsproxy.errors import BrokerRefused, ChecksumMismatch, LfsError, UndecodableRecords
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.hints import OffsetHints
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.produce.verdicts import Decided, Fate

REMOVALS_AT_ONCE: Final = 16
"""Blobs of one batch that are removed side by side: S3 is asked by others too."""


class Fates:
    """What becomes of the batches of one connection."""

    def __init__(self, shared: Shared, hints: OffsetHints) -> None:
        self._shared = shared
        self._hints = hints

    def decided(self, decided: Decided) -> None:
        """The broker has answered about a batch."""
        batch = decided.batch
        if decided.code is not None:
            batch.settle_hint(self._hints, decided.base_offset)
        if decided.fate is Fate.PUBLISHED:
            self._shared.tell(batch.take_claims(), lambda claim: claim.published(decided.base_offset))
        elif decided.fate is Fate.ABANDONED:
            self.abandoned(batch, BrokerRefused(decided.code or 0, decided.why))
        else:
            self.unknown(batch, decided.why)

    def unknown(self, batch: Batch, why: str) -> None:
        """Nobody knows whether the batch is in the log: its blobs stay."""
        self._shared.tell(batch.take_claims(), lambda claim: claim.unknown(why))

    def abandoned(self, batch: Batch, error: LfsError) -> None:
        """The batch is surely not in the log: remove its blobs, beside everything else."""
        batch.settle_hint(self._hints, -1)
        stored = []
        for claim in batch.take_claims():
            if claim.is_finished:
                stored.append(claim)
                continue
            self._shared.clean_up(claim.abort(error))
            error = _of_others(error)
        if stored:
            self._shared.clean_up(_remove(stored, _of_others(error)))


async def _remove(claims: Sequence[Claim], error: LfsError) -> None:
    """Remove stored blobs, a few at a time: of many small records there may be many thousands."""
    for start in range(0, len(claims), REMOVALS_AT_ONCE):
        some = claims[start : start + REMOVALS_AT_ONCE]
        await gatherResults([Deferred.fromCoroutine(claim.abort(error)) for claim in some])


def _of_others(error: LfsError) -> LfsError:
    """What other records of the batch fail by. A mismatch is counted once, for the record at fault, which was
    not finished."""
    return UndecodableRecords(str(error)) if isinstance(error, ChecksumMismatch) else error
