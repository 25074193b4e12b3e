"""What becomes of one Produce request, however it was received: decided, forwarded, answered.

A request is sent on whole (``held``), or one batch at a time as several Produce requests in order
(``streamed``). For each of them: *wait for the turn*, *decide* (the hole rule, in the client's order),
*forward* what was not refused; when the broker has answered, *settle* every claim. When all are settled the
verdicts, the proxy's own among them, are merged into one answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence

import attrs
from twisted.internet.defer import Deferred, gatherResults

from lfsproxy.budget import Lease
from lfsproxy.claimcheck import Claim
from lfsproxy.errors import (
    KAFKA_INVALID_RECORD,
    SURELY_NOT_APPENDED,
    BrokerRefused,
    ChecksumMismatch,
    ClientGone,
    LfsError,
    RepeatedPartition,
    SequenceHole,
    Stalled,
    UndecodableRecords,
)
from lfsproxy.logs import Logger
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.connection import Connection
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.stream import ConnectionGone
from lfsproxy.wakeups import Semaphore
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse, merge_answers
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import RequestStart
from lfsproxy.wire.produce import (
    PartitionRecords,
    PartitionStart,
    ProduceEnd,
    ProduceInfo,
    ProduceReader,
    ProduceRequest,
    TopicRecords,
    encode_produce,
)

UPLOADS_AT_ONCE = 32
REMOVALS_AT_ONCE = 16
USUAL_PLANS = 64 * 1024
LONG_SECONDS = 25.0
"""Below the shortest time, 30 s, after which clients give up a request by default."""


class Plans:
    """Memory that the records to be offloaded of a request's held batches need beside their bytes.

    Usually as much as the request itself, and a little. What needs more waits for its turn among all such
    requests, and may then have ``hold_limit`` bytes. What needs more than that is too large.
    """

    def __init__(self, size: int, hold_limit: int) -> None:
        self.used = 0
        self._usual = min(size, hold_limit) + USUAL_PLANS
        self._most = hold_limit

    def room(self, is_usual: bool) -> int:
        """Bytes left."""
        return (self._usual if is_usual else self._most) - self.used

    def have_no_more_room(self, is_usual: bool) -> None:
        """A batch needs more, so that no other one is to be read only to find that out again."""
        if is_usual:
            self._usual = 0
        else:
            self._most = 0


class ProduceWork(ABC):
    """One Produce request of a session, from its first byte to its answer.

    ``receive`` runs in the session's reading of requests; ``run`` beside it, so that uploads overlap.
    """

    _log = Logger()

    def __init__(self, shared: Shared, connection: Connection, start: RequestStart) -> None:
        self.shared = shared
        self.connection = connection
        self.size = start.size + 4 - len(start.head)
        self.reader = ProduceReader(start.api_version, self.size)
        self.lease: Lease | None = None
        self.uploads = Semaphore(shared.reactor, UPLOADS_AT_ONCE)
        self.inflating = Semaphore(shared.reactor, 1)
        self.plans = Plans(self.size, shared.hold_limit)
        self.info = ProduceInfo(None, 1, 0)
        self.end = ProduceEnd()
        self.batches: list[Batch] = []
        self._start = start
        self._began_at = shared.reactor.seconds()
        self._received_at = 0.0
        self._uploads_any = False
        self._first_of: dict[tuple[str, int], Batch] = {}
        self._verdicts: list[ProduceResponse] = []
        self._unanswered = 0
        self._all_submitted = False

    @abstractmethod
    async def read_body(self) -> None:
        """Read the request's body, under a lease."""

    @abstractmethod
    async def finish(self) -> None:
        """The body was received: submit what was not submitted yet."""

    @abstractmethod
    def stop(self) -> None:
        """The request is given up: stop what goes on for it. Its claims are aborted by the caller."""

    async def receive(self) -> None:
        """Read the request's body. Raises what ends the session, after cleaning up."""
        try:
            await self.read_body()
        except BaseException as error:
            self._give_up(error)
            self._end_work()
            raise
        self._received_at = self.shared.reactor.seconds()

    async def run(self) -> None:
        """Bring the received request to its end. Raises what ends the session, after cleaning up."""
        try:
            await self.finish()
        except BaseException as error:
            self.connection.give_up()
            self._give_up(error)
            raise
        finally:
            self._end_work()

    def begin_body(self, info: ProduceInfo) -> None:
        """What stands before the records was read."""
        self.info = info
        self.connection.expect_answer(self.awaits_answer)
        if self.awaits_answer and self.connection.client_is_gone:
            raise ConnectionGone

    def begin_batch(self, start: PartitionStart) -> Batch:
        """The next partition's records begin.

        Of several entries for one partition Kafka appends the last and acknowledges them all by it. Here all
        are refused that were not sent yet.
        """
        batch = Batch(start)
        first = self._first_of.setdefault((batch.topic, batch.partition), batch)
        if first is not batch:
            error = RepeatedPartition(
                f"the request has more than one entry for {batch.topic}/{batch.partition}"
            )
            batch.error = error
            if not first.sent and first.error is None:
                first.error = error
        self.batches.append(batch)
        return batch

    @property
    def awaits_answer(self) -> bool:
        """Whether its client has to be there until it is forwarded: not so with acks=0."""
        return self.info.acks != 0

    async def take_lease(self, size: int) -> Lease:
        """Wait for the one lease of this request."""
        self.lease = await self.shared.budget.acquire(size)
        self.lease.evicted = self._evict
        return self.lease

    def _evict(self) -> None:
        self.connection.close(Stalled("it sent too little while others waited for upload memory"))

    def _give_up(self, error: BaseException) -> None:
        self.stop()
        if not isinstance(error, LfsError):
            error = ClientGone("the connection was closed before the request was forwarded")
            self._tell_if_long("was given up, since its connection was closed, after")
        for batch in self.batches:
            if not batch.sent:
                self._abandon(batch, error)

    def _end_work(self) -> None:
        self.connection.leave()
        for batch in self.batches:
            batch.let_go()
        if self.lease is not None:
            self.lease.release()

    # Deciding and forwarding

    async def submit(
        self, batches: Sequence[Batch], last: bool, frame: Sequence[Piece] | None = None
    ) -> None:
        """Decide about batches and forward those that are not refused, as one request.

        ``last``: no more are submitted. ``frame`` is the request's body as it came, where that is held.
        """
        await self.connection.turn()
        self._uploads_any = self._uploads_any or any(batch.claims for batch in batches)
        self._decide(batches)
        kept = [batch for batch in batches if batch.error is None]
        if self.awaits_answer and any(batch.claims for batch in kept) and self.connection.client_hung_up():
            raise ConnectionGone
        self._all_submitted = last
        if last:
            added = self.shared.reactor.seconds() - self._received_at
            self.shared.metrics.kafka_request("Produce", added)
        if kept or not batches:
            untouched = len(kept) == len(batches) and all(batch.rewritten is None for batch in batches)
            if untouched and frame is not None:
                pieces: Sequence[Piece] = [self._start.head, *frame]
            else:
                pieces = self._encode(kept)
            await self._forward(kept, pieces)
        if self.info.acks == 0:
            if len(kept) < len(batches):
                self.connection.close(next(batch.error for batch in batches if batch.error is not None))
        elif last and not self._unanswered:
            self.connection.answer(self._render())

    def _decide(self, batches: Sequence[Batch]) -> None:
        """Apply the hole rule; every earlier request of this connection is decided."""
        holes = self.connection.holes
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
                    client=self.connection.client_name,
                    topic=batch.topic,
                    partition=batch.partition,
                    why=batch.why,
                )
                self._abandon(batch, batch.error)

    async def _forward(self, kept: Sequence[Batch], pieces: Sequence[Piece]) -> None:
        def begun() -> None:
            # From here on the broker may have it, whatever happens.
            for batch in kept:
                batch.sent = True

        def settle(body: bytes) -> bytes | None:
            return self._settle(kept, body)

        def lost() -> None:
            for batch in kept:
                batch.lost(self.shared, "the broker's answer did not come")

        self._unanswered += 1 if self.awaits_answer else 0
        await self.connection.forward(pieces, begun, settle, lost)
        if not self.awaits_answer:
            for batch in kept:
                batch.lost(self.shared, "acks=0 has no answer")

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
            transactional_id=self.info.transactional_id,
            acks=self.info.acks,
            timeout_ms=self.info.timeout_ms,
            topics=[
                TopicRecords(topic, records, topic_tags.get(topic, ())) for topic, records in topics.items()
            ],
            header_tags=self.info.header_tags,
            tags=self.end.tags,
        )
        return encode_produce(request)

    # Answering

    def _settle(self, sent: Sequence[Batch], body: bytes) -> bytes | None:
        """The broker has answered: decide about blobs. The client's answer, where it was the last one."""
        verdict = ProduceResponse.decode(self._start.api_version, body)
        verdicts = {(each.topic, each.partition): each for each in verdict.partitions}
        for batch in sent:
            partition = verdicts.pop((batch.topic, batch.partition), None)
            if partition is not None:
                self._settle_batch(batch, partition)
            else:
                batch.lost(self.shared, "the broker's answer does not name its partition")
        self._verdicts.append(verdict)
        self._unanswered -= 1
        return self._render() if self._all_submitted and not self._unanswered else None

    def _settle_batch(self, batch: Batch, answer: PartitionAnswer) -> None:
        code = answer.error_code
        batch.settle_hint(self.connection.hints, answer.base_offset if code == 0 else None)
        if code:
            self.connection.topics.answered(batch.topic, code)
        if code == 0:
            batch.published(self.shared, answer.base_offset)
        elif code in SURELY_NOT_APPENDED:
            self._abandon(batch, BrokerRefused(code, f"the broker answered {code}"))
        else:
            batch.lost(self.shared, f"the broker answered {code}")

    def _tell_if_long(self, what: str) -> None:
        """Say so where an upload takes longer than clients wait by default: each may end in a new attempt."""
        seconds = self.shared.reactor.seconds() - self._began_at
        self._uploads_any = self._uploads_any or any(batch.claims for batch in self.batches)
        if seconds >= LONG_SECONDS and self._uploads_any and self.info.acks != 0:
            self._log.warn(
                "a Produce request of {client} ({peer}) of {size} bytes {what} {seconds:.0f} s: its "
                "request.timeout.ms (librdkafka: socket.timeout.ms) must be above that, and "
                "delivery.timeout.ms (message.timeout.ms) several times that",
                client=self.connection.client_name,
                peer=self.connection.peer,
                size=self.size,
                what=what,
                seconds=seconds,
            )

    def _render(self) -> bytes:
        """The client's answer: the broker's verdicts and the proxy's own, with the proxy's addresses."""
        self._tell_if_long("took")
        # By partition, each told about once; where some of its records were sent and others refused: refused,
        # by the first refusal, from which others follow.
        refused = {
            (batch.topic, batch.partition): PartitionAnswer(
                batch.topic,
                batch.partition,
                error_code=batch.error.kafka_code,
                record_errors=_record_errors(batch, batch.error),
                error_message=batch.why,
            )
            for batch in reversed(self.batches)
            if batch.error is not None
        }
        if len(self._verdicts) == 1 and not refused:
            answer = self._verdicts[0]
        else:
            order = [(batch.topic, batch.partition) for batch in self.batches]
            verdicts = [_without(verdict, refused) for verdict in self._verdicts]
            answer = merge_answers([*verdicts, ProduceResponse(list(refused.values()))], order)
        if answer.node_endpoints:
            answer = attrs.evolve(answer, node_endpoints=self.connection.advertise(answer.node_endpoints))
        return answer.encode(self._start.api_version, self._start.correlation_id)

    def _abandon(self, batch: Batch, error: LfsError) -> None:
        """The batch is surely not in the log: remove its blobs, beside everything else."""
        batch.settle_hint(self.connection.hints, None)
        stored = []
        for claim in batch.take_claims():
            if claim.is_stored:
                stored.append(claim)
                continue
            self.shared.clean_up(claim.abort(error))
            if isinstance(error, ChecksumMismatch):
                # It is counted, once for the record at fault, not for each of its batch.
                error = UndecodableRecords(str(error))
        if stored:
            self.shared.clean_up(_remove(stored, error))


async def _remove(claims: Sequence[Claim], error: LfsError) -> None:
    """Remove stored blobs, a few at a time: of many small records there may be many thousands."""
    if isinstance(error, ChecksumMismatch):
        # The record at fault was not stored.
        error = UndecodableRecords(str(error))
    for start in range(0, len(claims), REMOVALS_AT_ONCE):
        some = claims[start : start + REMOVALS_AT_ONCE]
        await gatherResults([Deferred.fromCoroutine(claim.abort(error)) for claim in some])


def _without(verdict: ProduceResponse, places: Container[tuple[str, int]]) -> ProduceResponse:
    left = [each for each in verdict.partitions if (each.topic, each.partition) not in places]
    return attrs.evolve(verdict, partitions=left)


def _record_errors(batch: Batch, error: LfsError) -> list[tuple[int, str | None]]:
    """The record at fault. Of other codes none is named: clients take each for an invalid record."""
    if batch.bad_record is None or error.kafka_code != KAFKA_INVALID_RECORD:
        return []
    return [(batch.bad_record, str(error))]
