"""One Produce request's life: its body is read, its batches are submitted, and everything is let go of.

How the body is read is told by ``held`` and ``streamed``, what becomes of the batches by ``forwarding``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from lfsproxy.budget import Lease
from lfsproxy.errors import ClientGone, LfsError, RepeatedPartition, Stalled
from lfsproxy.kafka.stream import ConnectionGone
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.connection import Connection
from lfsproxy.relay.produce.forwarding import Forwarding
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.produce.slowness import Slowness
from lfsproxy.wire.frames import RequestStart
from lfsproxy.wire.produce import (
    PartitionEnd,
    PartitionStart,
    ProduceEnd,
    ProduceEvent,
    ProduceInfo,
    ProduceReader,
)


class ProduceWork(ABC):
    """One Produce request of a connection, from its first byte to its answer.

    ``receive`` runs in the connection's reading of requests; ``run`` beside it, so that uploads overlap.
    ``size`` is the body's, in bytes.
    """

    def __init__(self, shared: Shared, connection: Connection, start: RequestStart) -> None:
        self.shared = shared
        self.connection = connection
        self.size = start.size + 4 - len(start.head)
        self.reader = ProduceReader(start.api_version, self.size)
        self.lease: Lease | None = None
        self.batches: list[Batch] = []
        self._first_of: dict[tuple[str, int], Batch] = {}
        self._entries = connection.entries.of_request()
        self._slowness = Slowness(shared.reactor, connection, self.size)
        self.forwarding = Forwarding(shared, connection, start, self._slowness, self._entries.release)

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
            self._let_go()
            raise
        self.forwarding.received()

    async def run(self) -> None:
        """Bring the received request to its end. Raises what ends the session, after cleaning up."""
        try:
            await self.finish()
        except BaseException as error:
            self.connection.give_up()
            self._give_up(error)
            raise
        finally:
            self._let_go()

    @property
    def awaits_answer(self) -> bool:
        """Whether its client has to be there until it is forwarded: not so with acks=0."""
        return self.forwarding.awaits_answer

    # What both ways to read a body do

    def begin_body(self, info: ProduceInfo) -> None:
        """What stands before the records was read."""
        self.forwarding.begin(info)
        self.connection.expect_answer(self.awaits_answer)
        if self.awaits_answer and self.connection.client_is_gone:
            raise ConnectionGone

    def begin_batch(self, start: PartitionStart) -> Batch:
        """The next partition's records begin.

        Of several entries for one partition Kafka appends the last and acknowledges them all by it. Here all
        are refused that were not sent yet. Raises TooLarge where there is no memory for one more.
        """
        self._entries.add()
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

    def take_around(self, part: ProduceEvent) -> None:
        """Take what stands around the records of the partitions."""
        match part:
            case PartitionEnd(tags=tags):
                self.batches[-1].tags = tags
            case ProduceInfo():
                self.begin_body(part)
            case ProduceEnd():
                self.forwarding.end = part

    async def take_lease(self, size: int) -> Lease:
        """Wait for the one lease of this request."""
        self.lease = await self.shared.budget.acquire(size)
        self.lease.evicted = self._evict
        return self.lease

    def _evict(self) -> None:
        self.connection.close(Stalled("it sent too little while others waited for upload memory"))

    # The end

    def _give_up(self, error: BaseException) -> None:
        self.stop()
        if not isinstance(error, LfsError):
            error = ClientGone("the connection was closed before the request was forwarded")
            self._slowness.look_at(self.batches)
            if self.awaits_answer:
                self._slowness.tell("was given up, since its connection was closed, after")
        for batch in self.batches:
            if not batch.sent:
                self.forwarding.fates.abandoned(batch, error)
        self._entries.release()

    def _let_go(self) -> None:
        self.connection.leave()
        for batch in self.batches:
            batch.let_go()
        if self.lease is not None:
            self.lease.release()
