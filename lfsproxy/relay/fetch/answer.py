"""One answer to a consumer that gets blobs: held, planned, its blobs got, and then written.

Memory: an answer of up to SMALL_ANSWER bytes is held as part of what a connection may hold anyway; for the
blobs that it leads to one lease is taken. Of a larger answer the lease is taken when it begins, for both: all
at once, holding nothing else, and never while the broker still waits for records. What turns out not to be
needed is given back. To wait for it is bounded, since a broker sends nothing more before its answer is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import attrs

from lfsproxy.budget import Lease
from lfsproxy.errors import LfsError, Stalled
from lfsproxy.following import BUFFER_BYTES
from lfsproxy.log.uploads import SENDER, Sender
from lfsproxy.logs import Logger
from lfsproxy.net.peers import host_of
from lfsproxy.relay.fetch.asked import Asked
from lfsproxy.relay.fetch.blobs import Blobs
from lfsproxy.relay.fetch.plan import Blob, PartitionPlan, Plan, Rewritten, Wanted, make_plan
from lfsproxy.relay.fetch.shared import Shared
from lfsproxy.relay.fetch.writing import Writer
from lfsproxy.relay.memory import SMALL_ANSWER, memory_for_answer
from lfsproxy.relay.order import Body, Sink
from lfsproxy.relay.scanning import Share, TakesLong
from lfsproxy.wire.batch import NONE
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.fetch_answers import FetchAnswer, FetchedPartition, read_fetch_answer
from lfsproxy.wire.frames import ResponseStart
from lfsproxy.wire.hydrate import NewValue, Rewrite
from lfsproxy.wire.records import Pace
from lfsproxy.wire.walk import FetchedBatch, batches

SEARCHED_INLINE: Final = 256 * 1024
"""Bytes of an answer that is searched at once: mostly that takes less time than a thread's turn."""
MOST_PLANS: Final = 8
"""Times that an answer is planned, while blobs turn out not to be there. After that it ends before the next
one that was not asked for: a plan for many partitions takes its time."""

T = TypeVar("T")

_log = Logger()


@attrs.frozen(eq=False)
class Consumer:
    """Who gets the answers of one connection. ``close`` ends that, ``share`` orders its searches.

    ``has_left`` tells whether it has closed the connection itself."""

    name: str
    peer: str
    close: Callable[[LfsError], None]
    share: Share
    has_left: Callable[[], bool]


@attrs.frozen(eq=False)
class _Ready:
    """A partition as it is laid out, and what is written in the place of its records: with each batch that is
    written anew its blobs."""

    fetched: FetchedPartition
    parts: Sequence[tuple[Piece | Rewrite, Sequence[Blob]]]


class HydratedAnswer:
    """The answer to one request; ``passes`` is a ``lfsproxy.relay.order.Pass``."""

    def __init__(self, shared: Shared, asked: Asked, consumer: Consumer) -> None:
        self._shared = shared
        self._asked = asked
        self._consumer = consumer
        self._lease: Lease | None = None
        self._held = 0
        self._blobs = Blobs(shared, consumer.name, consumer.peer)
        self._due: list[Blob] = []

    async def passes(self, start: ResponseStart, body: Body, client: Sink) -> None:
        """Write the consumer's frame for the broker's. Raises what its connection is closed for."""
        SENDER.set(Sender(self._consumer.name, self._consumer.peer))
        size = start.size + 4 - len(start.head)
        try:
            if size > SMALL_ANSWER:
                # While the answer is put together it takes twice its size; its blobs come later.
                besides = max(self._shared.most_memory, size)
                if size + besides > self._shared.budget.largest:
                    await self._relay(start, body, client)
                    return
                self._held = size
                await self._take(besides)
            await self._answer(start, await body.all(), client)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._blobs.close()
        if self._lease is not None:
            self._lease.release()
        due = [blob for blob in self._due if blob.at not in self._blobs.failed]
        for blob in due:
            self._shared.metrics.hydration(blob.at[0], "cancelled", 0)
        if due and self._consumer.has_left():
            self._tell_untaken(due[0])

    def _tell_untaken(self, blob: Blob) -> None:
        client, peer = self._consumer.name, self._consumer.peer
        if not self._shared.untaken.add(client, host_of(peer), blob.at):
            return
        topic, partition, offset = blob.at
        _log.warn(
            "Kafka client {client_id} ({peer}) has again closed its connection before it had taken the blob "
            "of {topic}, partition {partition}, offset {offset} ({size} bytes, {key}): its limit for an "
            "answer (librdkafka: receive.message.max.bytes) or its request timeout is too low, its own log "
            "says which; or let larger blobs be envelopes by LFS_HYDRATE_MAX_SIZE",
            client_id=client,
            peer=peer,
            topic=topic,
            partition=partition,
            offset=offset,
            size=blob.envelope.content_length,
            key=blob.envelope.s3_key,
        )

    async def _relay(self, start: ResponseStart, body: Body, client: Sink) -> None:
        """Pass an answer on that is too large to be held: of one batch that is larger than any limit."""
        _log.warn(
            "Kafka client {client_id} ({peer}) gets envelopes: there is no memory for an answer of "
            "{size} bytes (LFS_UPLOAD_MEMORY)",
            client_id=self._consumer.name,
            peer=self._consumer.peer,
            size=start.size,
        )
        self._shared.metrics.hydration(self._asked.only_topic, "too_large", 0)
        client.write(start.head)
        while (piece := await body.next_piece()) is not None:
            client.write(piece)
            await client.drained()

    async def _answer(self, start: ResponseStart, data: bytes, client: Sink) -> None:
        began = self._shared.reactor.seconds()
        answer = read_fetch_answer(self._asked.version, data)
        wanted, max_bytes = self._asked.wanted(answer)
        plan = None
        if any(one.topic is not None and one.fetched.records for one in wanted):
            plan = await self._plan(wanted, max_bytes)
        writer = Writer(self._shared.reactor, client, self._lease)
        if self._lease is not None:
            self._lease.evicted = self._evict
        if plan is None or plan.is_unchanged:
            await writer.write(start.head)
            await writer.write(data)
        else:
            await self._write(answer, start.correlation_id, await self._ready(plan), writer)
        await writer.flush()
        if plan is not None and not plan.is_unchanged:
            self._shared.metrics.hydration_time(self._shared.reactor.seconds() - began)

    def _evict(self) -> None:
        self._consumer.close(Stalled("it took too little of an answer while others waited"))

    # Before the first byte

    async def _plan(self, wanted: Sequence[Wanted], max_bytes: int) -> Plan:
        """What can be given, with its blobs at hand. Where one cannot be, the plan is made anew, so that the
        room that it would have had is others'."""
        rules, blobs = self._shared.rules, self._blobs
        is_inline = _is_searched_inline([one.fetched for one in wanted])
        for number in itertools.count(1):
            got = blobs.got if number >= MOST_PLANS else None
            plan = await self._search(
                partial(make_plan, wanted, max_bytes, rules, blobs.failed, got=got), is_inline
            )
            self._due = plan.blobs
            needed = self._needed(plan)
            if needed and (self._lease is None or self._lease.size < self._held + needed):
                # A lease is waited for holding nothing, so what was got has to go.
                blobs.close()
                if self._lease is not None:
                    self._lease.release()
                await self._take(needed)
            if await blobs.get(plan.blobs):
                break
            self._due = []
        for topic, result in plan.kept:
            self._shared.metrics.hydration(topic, result, 0)
        if self._lease is not None:
            self._lease.give_back(self._lease.size - self._held - needed)
        return plan

    def _needed(self, plan: Plan) -> int:
        """Bytes that the plan's blobs take, and what is read to write their batches."""
        blobs = plan.blobs
        size = sum(blob.envelope.content_length for blob in blobs if blob.is_small)
        if any(not blob.is_small for blob in blobs):
            size += BUFFER_BYTES
        if any(_is_compressed(part.batch) for part in plan.rewritten):
            size += self._shared.inflating
        return size

    async def _take(self, needed: int) -> None:
        """Wait for a lease: for what is held of the broker's answer, and ``needed`` bytes besides."""
        size = self._held + needed
        self._lease = await memory_for_answer(self._shared.budget, size, self._held)

    async def _search(self, search: Callable[[Pace], T], is_inline: bool) -> T:
        """Run a search, in a thread where it may take its time."""
        if is_inline:
            with suppress(TakesLong):
                return self._shared.scans.at_once(search)
        found = await self._shared.scans.run(self._consumer.share, search)
        if isinstance(found, LfsError):
            raise found
        return found

    async def _ready(self, plan: Plan) -> list[_Ready]:
        """The partitions of the plan, with the CRC-32C of each batch that is written anew."""
        ready = [self._begun(one) for one in plan.partitions]
        batches = [part for one in ready for part, _ in one.parts if isinstance(part, Rewrite)]

        def seal(pace: Pace) -> None:
            for batch in batches:
                batch.seal(pace)

        await self._search(seal, not any(_is_compressed(part.batch) for part in plan.rewritten))
        return ready

    def _begun(self, plan: PartitionPlan) -> _Ready:
        if plan.parts is None:
            return _Ready(plan.fetched, ())
        parts: list[tuple[Piece | Rewrite, Sequence[Blob]]] = []
        size = 0
        for part in plan.parts:
            if isinstance(part, Rewritten):
                values = [
                    NewValue(blob.record, blob.envelope.content_length, self._blobs.crc(blob))
                    for blob in part.blobs
                ]
                batch = Rewrite(part.batch, part.first, part.last, values, self._shared.rules.limits)
                parts.append((batch, part.blobs))
                size += batch.size
            else:
                parts.append((part, ()))
                size += len(part)
        code = plan.error_code or plan.fetched.error_code
        return _Ready(attrs.evolve(plan.fetched, error_code=code, planned=size), parts)

    # From the first byte on

    async def _write(
        self, answer: FetchAnswer, correlation_id: int, ready: Sequence[_Ready], writer: Writer
    ) -> None:
        each = iter(ready)
        topics = [
            attrs.evolve(topic, partitions=[next(each).fetched for _ in topic.partitions])
            for topic in answer.topics
        ]
        planned = iter([one for one in ready if one.fetched.planned])
        for piece in attrs.evolve(answer, topics=topics).layout(self._asked.version, correlation_id):
            if isinstance(piece, FetchedPartition):
                for part, blobs in next(planned).parts:
                    await self._write_part(part, iter(blobs), writer)
            else:
                await writer.write(piece)

    async def _write_part(self, part: Piece | Rewrite, blobs: Iterator[Blob], writer: Writer) -> None:
        if not isinstance(part, Rewrite):
            await writer.write(part)
            return
        for piece in part.pieces():
            if isinstance(piece, NewValue):
                await self._write_blob(next(blobs), writer)
            else:
                await writer.write(piece)

    async def _write_blob(self, blob: Blob, writer: Writer) -> None:
        try:
            await self._blobs.send(blob, writer.write)
        except LfsError as error:
            self._due.remove(blob)
            self._blobs.tell(blob, error, "its connection is closed, and it fetches again")
            raise
        self._due.remove(blob)
        self._shared.metrics.hydration(blob.at[0], "ok", blob.envelope.content_length)


def _is_compressed(batch: FetchedBatch) -> bool:
    return batch.header is not None and batch.header.codec != NONE


def _is_searched_inline(partitions: Sequence[FetchedPartition]) -> bool:
    found = [partition.records or b"" for partition in partitions]
    if sum(map(len, found)) > SEARCHED_INLINE:
        return False
    return not any(_is_compressed(batch) for records in found for batch in batches(records))
