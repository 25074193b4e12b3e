"""One request's batches on their way to the broker: decided, forwarded, settled.

Batches are submitted in the client's order, all at once or one at a time. For each submission: *wait for the
turn*, *decide* (the hole rule), *forward* what was not refused, as one Produce request; when the broker has
answered, *settle* the fate of each batch. The client is answered when all are settled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lfsproxy.errors import SequenceHole
from lfsproxy.kafka.stream import ConnectionGone
from lfsproxy.logs import Logger
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.connection import Connection
from lfsproxy.relay.produce.fates import Fates
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.produce.slowness import Slowness
from lfsproxy.relay.produce.verdicts import Verdicts
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import RequestStart
from lfsproxy.wire.produce import (
    PartitionRecords,
    ProduceEnd,
    ProduceInfo,
    ProduceRequest,
    TopicRecords,
    encode_produce,
)


class Forwarding:
    """Forwards one request. ``end`` is what stands behind its records, where that was read.

    ``over`` is called when nothing of it is waited for any more, where it was not given up before.

    ``awaits_answer``: its client has to be there until it is forwarded. Not so with acks=0.
    """

    _log = Logger()

    def __init__(
        self,
        shared: Shared,
        connection: Connection,
        start: RequestStart,
        slowness: Slowness,
        over: Callable[[], None],
    ) -> None:
        self.awaits_answer = True
        self.end = ProduceEnd()
        self.fates = Fates(shared, connection.hints)
        self._shared = shared
        self._connection = connection
        self._start = start
        self._info = ProduceInfo(None, 1, 0)
        self._received_at = 0.0
        self._slowness = slowness
        self._over = over
        self._verdicts = Verdicts(start.api_version, start.correlation_id)

    def begin(self, info: ProduceInfo) -> None:
        """What stands before the records was read."""
        self._info = info
        self.awaits_answer = info.acks != 0

    def received(self) -> None:
        """The body is there: from now on the proxy adds to the time that the request takes."""
        self._received_at = self._shared.reactor.seconds()

    async def submit(
        self, batches: Sequence[Batch], *, is_last: bool, frame: Sequence[Piece] | None = None
    ) -> None:
        """Decide about batches when it is their turn, and forward those that are not refused.

        ``is_last``: no more are submitted. ``frame`` is the request's body as it came, where that is held.
        Raises ConnectionGone, or is cancelled, only where nothing of them was forwarded.
        """
        await self._connection.turn()
        self._slowness.look_at(batches)
        self._decide(batches)
        kept = [batch for batch in batches if batch.error is None]
        if self.awaits_answer and any(batch.claims for batch in kept) and self._connection.client_hung_up():
            raise ConnectionGone
        if is_last:
            added = self._shared.reactor.seconds() - self._received_at
            self._shared.metrics.kafka_request("Produce", added)
        is_sent = bool(kept) or not batches
        self._verdicts.submitted(batches, is_sent=is_sent, is_last=is_last)
        if is_sent:
            is_untouched = len(kept) == len(batches) and all(batch.rewritten is None for batch in batches)
            if is_untouched and frame is not None:
                pieces: Sequence[Piece] = [self._start.head, *frame]
            else:
                pieces = self._encode(kept)
            if is_last:
                self._start = self._start.without_client()
            await self._forward(kept, pieces)
        if self.awaits_answer:
            answer = self._answer()
            if answer is not None:
                self._connection.answer(answer)
            return
        if is_last:
            self._over()
        if len(kept) < len(batches):
            self._connection.close(next(batch.error for batch in batches if batch.error is not None))

    def _decide(self, batches: Sequence[Batch]) -> None:
        """Apply the hole rule; every earlier request of this connection is decided."""
        holes = self._connection.holes
        for batch in batches:
            if batch.header is not None and holes.blocks(batch.topic, batch.partition, batch.header):
                batch.error = SequenceHole(
                    "an earlier batch of this producer was refused and has to be sent again first"
                )
                batch.bad_record = None
            elif batch.header is not None and batch.error is not None:
                holes.remember(batch.topic, batch.partition, batch.header)
            if batch.error is not None:
                self._log.info(
                    "refused a batch of {client} for {topic}/{partition}: {why}",
                    client=self._connection.client_name,
                    topic=batch.topic,
                    partition=batch.partition,
                    why=batch.why,
                    peer=self._connection.peer,
                    kind=batch.why,
                )
                self.fates.abandoned(batch, batch.error)

    async def _forward(self, kept: Sequence[Batch], pieces: Sequence[Piece]) -> None:
        def begun() -> None:
            # From here on the broker may have it, whatever happens.
            for batch in kept:
                batch.sent = True

        def settle(body: bytes) -> bytes | None:
            return self._settle(kept, body)

        def lost(why: str = "the broker's answer did not come") -> None:
            for batch in kept:
                self.fates.unknown(batch, why)
            self._over()

        await self._connection.forward(pieces, begun, settle, lost)
        if not self.awaits_answer:
            lost("acks=0 has no answer")

    def _encode(self, kept: Sequence[Batch]) -> Sequence[Piece]:
        """A Produce request like the client's, of these batches only."""
        topic_tags = dict(self.end.topic_tags)
        topics: dict[str, list[PartitionRecords]] = {}
        for batch in kept:
            records = PartitionRecords(batch.partition, batch.pieces, batch.tags)
            topics.setdefault(batch.topic, []).append(records)
        request = ProduceRequest(
            api_version=self._start.api_version,
            correlation_id=self._start.correlation_id,
            client_id=self._start.client_id_bytes,
            transactional_id=self._info.transactional_id,
            acks=self._info.acks,
            timeout_ms=self._info.timeout_ms,
            topics=[
                TopicRecords(topic, records, topic_tags.get(topic, ())) for topic, records in topics.items()
            ],
            header_tags=self._info.header_tags,
            tags=self.end.tags,
        )
        return encode_produce(request)

    def _settle(self, sent: Sequence[Batch], body: bytes) -> bytes | None:
        """The broker has answered. The client's answer, where it was the last one."""
        for decided in self._verdicts.answered(sent, body):
            if decided.code:
                self._connection.topics.answered(decided.batch.topic, decided.code)
            self.fates.decided(decided)
        return self._answer()

    def _answer(self) -> bytes | None:
        if not self._verdicts.is_due:
            return None
        self._slowness.tell("took")
        self._over()
        return self._verdicts.take_answer(self._connection.advertise)
