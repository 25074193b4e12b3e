"""Through the partitions: envelopes are found, their blobs asked for, and what is wrong is told.

What was looked at is counted slice by slice, each as a whole: a look that ends in between has counted nothing
twice, and goes on where the last slice ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import attrs
from twisted.internet.defer import Deferred

from lfsproxy.envelope import Envelope
from lfsproxy.errors import EnvelopeNotAllowed, UnreadableLog
from lfsproxy.following import Places
from lfsproxy.interfaces import ILogReading
from lfsproxy.upkeep.findings.blobs import ASKED_AT_ONCE, READ_AT_ONCE, Blobs, Verdict
from lfsproxy.upkeep.findings.envelopes import Claim, Looked, claims_in, still_there
from lfsproxy.upkeep.findings.found import (
    DANGLING,
    INVALID,
    PARTITION_TODO,
    UNREADABLE,
    WRONG_CHECKSUM,
    Counts,
    Finding,
)
from lfsproxy.upkeep.findings.positions import Place, State
from lfsproxy.upkeep.parallel import PARTITIONS_AT_ONCE, some_at_once
from lfsproxy.wakeups import all_of
from lfsproxy.wire.walk import FetchedBatch, Limits

SLICE: Final = 8 * ASKED_AT_ONCE
SLICE_TO_READ: Final = 4 * READ_AT_ONCE
"""Envelopes that are looked at together; fewer where their blobs are read, which takes long."""


@attrs.frozen
class Walk:
    """A look through the partitions of ``state``, which is kept up to date.

    ``followed`` are the places to which envelopes are followed; ``report`` is called for each finding, and
    ``moved`` with the number of offsets that were passed.
    """

    reading: ILogReading
    blobs: Blobs
    followed: Places
    limits: Limits
    state: State
    report: Callable[[Finding], None]
    moved: Callable[[int], None] = lambda count: None
    note: Callable[[str], None] = lambda text: None
    verify: bool = False

    async def run(self) -> None:
        """To the end of each partition. Raises a store's error where it gives no sign of life any more, and
        SignInRefused or BrokerUnavailable where Kafka does not."""
        await some_at_once(PARTITIONS_AT_ONCE, self.state.left, self._whole)

    async def _whole(self, place: Place) -> None:
        try:
            await self._partition(place)
        except UnreadableLog as error:
            # Whether it is all of Kafka: then this is raised.
            if place.topic in (await self.reading.topics([place.topic])).unknown:
                self._deleted(place.topic)
                return
            where = (place.topic, place.partition, place.next)
            self.report(Finding(UNREADABLE, str(error), *where, todo=PARTITION_TODO))

    def _deleted(self, topic: str) -> None:
        # Each of its partitions comes here.
        if topic in self.state.ids:
            self.note(f"the topic {topic} was deleted meanwhile")
        self.state.forget(topic)

    async def _partition(self, place: Place) -> None:
        most = SLICE_TO_READ if self.verify else SLICE
        first, end = place.next, place.end

        def look(found: Sequence[FetchedBatch]) -> Iterator[Looked]:
            return claims_in(found, first, end, most, self.limits)

        async for _, looked in self.reading.look(place.topic, place.partition, first, end, look):
            await self._slice(place, looked)
        self._pass(place, end)

    def _pass(self, place: Place, offset: int) -> None:
        before, place.next = place.next, offset
        self.moved(offset - before)

    async def _slice(self, place: Place, looked: Looked) -> None:
        """All of it, or nothing where it is cancelled or fails."""
        asked = {
            claim.offset: Deferred.fromCoroutine(self.blobs.judge(envelope))
            for claim in looked.claims
            if (envelope := self._followed(place.topic, claim)) is not None
        }
        verdicts = dict(zip(asked, await all_of(list(asked.values())), strict=True))
        dangling = {offset for offset, each in verdicts.items() if each is not None and each.kind == DANGLING}
        gone = dangling - await self._still_there(place, dangling)
        counts = Counts(looked.records, len(looked.claims))
        findings = []
        for claim in looked.claims:
            if isinstance(claim.envelope, str):
                counts.invalid += 1
                findings.append(_finding(place, claim, Verdict(INVALID, claim.envelope)))
            elif claim.offset not in verdicts:
                counts.foreign += 1
            elif claim.offset in gone:
                counts.gone += 1
            elif (verdict := verdicts[claim.offset]) is not None:
                counts.count(verdict.kind)
                findings.append(_finding(place, claim, verdict))
        # Told first: where nobody takes it, it is told once more by the look that goes on from here.
        for finding in findings:
            self.report(finding)
        for finding in findings:
            self.state.note(finding.to_json())
        self.state.counts.setdefault(place.topic, Counts()).add(counts)
        self._pass(place, looked.upto)

    def _followed(self, topic: str, claim: Claim) -> Envelope | None:
        """The envelope, if it leads to where the topic's blobs may be."""
        if isinstance(claim.envelope, str):
            return None
        try:
            self.followed.check(topic, claim.envelope)
        except EnvelopeNotAllowed:
            return None
        return claim.envelope

    async def _still_there(self, place: Place, offsets: Collection[int]) -> set[int]:
        """Which of the records the log still has: a blob may rightly go when its record has."""
        there: set[int] = set()
        if not offsets:
            return there

        def look(found: Sequence[FetchedBatch]) -> Iterator[set[int]]:
            return still_there(found, offsets, self.limits)

        first, end = min(offsets), max(offsets) + 1
        async for _, some in self.reading.look(place.topic, place.partition, first, end, look):
            there |= some
        return there


def _finding(place: Place, claim: Claim, verdict: Verdict) -> Finding:
    envelope = claim.envelope if isinstance(claim.envelope, Envelope) else None
    expected: int | str | None = None
    if envelope is not None and verdict.actual is not None:
        expected = envelope.checksum if verdict.kind == WRONG_CHECKSUM else envelope.content_length
    return Finding(
        kind=verdict.kind,
        why=verdict.why,
        topic=place.topic,
        partition=place.partition,
        offset=claim.offset,
        timestamp=claim.timestamp,
        key=claim.key,
        bucket=None if envelope is None else envelope.s3_bucket,
        blob=None if envelope is None else envelope.s3_key,
        expected=expected,
        actual=verdict.actual,
    )
