"""Sends records to the leaders of their partitions: one lane for each partition, all of them side by side.

What was written to a connection was sent; before that, nothing was. Nothing is sent again that is not known
here, so an outcome follows from what was written and what was answered (lfsproxy.broker.lane).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from lfsproxy.broker.batches import NO_PRODUCER, ProducerId, Record
from lfsproxy.broker.cluster import FRESH_SECONDS, Cluster
from lfsproxy.broker.lane import Batch, Entry, Lane, Placed
from lfsproxy.broker.outcome import Next, named, refusal
from lfsproxy.broker.seconds import (
    ALIVE_SECONDS,
    METADATA_SECONDS,
    PRODUCE_SILENCE_SECONDS,
    PUBLISH_SECONDS,
    REPLICAS_SECONDS,
    RETRY_SECONDS,
)
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import BrokerUnavailable, FramingError, LfsError, NotAuthorised, SignInRefused
from lfsproxy.kafka.connection import Connection
from lfsproxy.kafka.messages import INIT_PRODUCER_ID, METADATA, highest, metadata_of, new_producer
from lfsproxy.kafka.pool import Pool
from lfsproxy.logs import Logger
from lfsproxy.wakeups import Wakeups
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.asking import CLIENT_ID
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.produce import PartitionRecords, ProduceRequest, TopicRecords, encode_produce

LOWEST_VERSION: Final = 3
"""Of Produce: the first one with batches of format 2."""
HIGHEST_VERSION: Final = 9
MOST_WAITING: Final = 32 * 1024 * 1024
"""Bytes of records that wait or are on their way, in all."""
KNOWN_LANES: Final = 10_000
"""How many partitions' producer ids and sequences are remembered."""
_MOST_ANSWERED: Final = 1024 * 1024
_ALL_REPLICAS: Final = -1


@attrs.define(eq=False)
class _Waiter:
    answer: Deferred[Placed]
    late: IDelayedCall


class Producer:
    """``now_ms`` tells the milliseconds since the epoch; ``most_size`` is that of the largest record."""

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, cluster: Cluster, pool: Pool, most_size: int, now_ms: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._cluster = cluster
        self._pool = pool
        self._most_size = most_size
        self._now_ms = now_ms
        self._wakeups = Wakeups(clock)
        self._lanes: OrderedDict[tuple[str, int], Lane] = OrderedDict()
        self._running: dict[Lane, Deferred[None]] = {}
        self._asked: dict[Lane, Connection] = {}
        self._waiters: dict[Entry, _Waiter] = {}
        self._waiting_bytes = 0

    def publish(self, record: Record) -> Deferred[Placed]:
        """Send a record. Fails with BrokerRefused (and its kinds) where it is surely not in the log,
        BrokerUnavailable where nothing was sent, OutcomeUnknown in every other case.

        Who cancels it waits no more: the record does not leave if it did not yet.
        """
        if record.size > self._most_size:
            raise refusal(
                KafkaCode.MESSAGE_TOO_LARGE, record.topic, f"it has more than {self._most_size} bytes"
            )
        if self._waiting_bytes + record.size > MOST_WAITING:
            raise BrokerUnavailable("Kafka is too slow, nothing was sent")
        lane = self._lane(record)
        entry = Entry(record, self._clock.seconds())
        answer: Deferred[Placed] = Deferred(lambda _: self._cancelled(lane, entry))
        late = self._clock.callLater(METADATA_SECONDS, self._unsent, lane, entry)
        self._waiters[entry] = _Waiter(answer, late)
        self._waiting_bytes += record.size
        lane.add(entry)
        if lane not in self._running:
            self._running[lane] = running = Deferred.fromCoroutine(self._run(lane))
            running.addErrback(self._run_failed, lane)
            running.addBoth(lambda _: self._running.pop(lane))
        return answer

    def _lane(self, record: Record) -> Lane:
        place = record.topic, record.partition
        if place not in self._lanes:
            self._lanes[place] = Lane(*place, self._settle)
            self._forget_lanes()
        self._lanes.move_to_end(place)
        return self._lanes[place]

    def _forget_lanes(self) -> None:
        """Drop those that were used least lately. One that is at work stays: there are few of them."""
        for oldest in list(islice(self._lanes, max(0, len(self._lanes) - KNOWN_LANES))):
            if self._lanes[oldest] not in self._running:
                del self._lanes[oldest]

    # The end of a record

    def _settle(self, entry: Entry, result: Placed | LfsError) -> None:
        waiter = self._forget(entry)
        if waiter is not None:
            self._wakeups.fire(waiter.answer, result if isinstance(result, Placed) else Failure(result))

    def _forget(self, entry: Entry) -> _Waiter | None:
        waiter = self._waiters.pop(entry, None)
        if waiter is not None:
            self._waiting_bytes -= entry.record.size
            if waiter.late.active():
                waiter.late.cancel()
        return waiter

    def _cancelled(self, lane: Lane, entry: Entry) -> None:
        if lane.cancel(entry):
            self._forget(entry)

    def _unsent(self, lane: Lane, entry: Entry) -> None:
        """A record that has not left by now is given up; one that has may still be answered for a while."""
        if lane.flight is not None and entry in lane.flight.entries:
            left = PUBLISH_SECONDS - METADATA_SECONDS
            self._waiters[entry].late = self._clock.callLater(left, self._late, lane, entry)
        else:
            lane.expire(entry)

    def _late(self, lane: Lane, entry: Entry) -> None:
        if lane.expire(entry) and lane in self._asked:
            # What was written and has not left must not leave later.
            self._asked[lane].abort("a record was not published in time")

    # A lane's way

    def _run_failed(self, failure: Failure, lane: Lane) -> None:
        if not failure.check(CancelledError):
            self._log.failure("what is published to {topic} failed", failure, topic=lane.topic)
            lane.refuse(BrokerUnavailable("publishing failed inside the proxy: its log says how"))

    async def _run(self, lane: Lane) -> None:
        max_age = FRESH_SECONDS
        while not lane.is_idle:
            try:
                following = await self._send(lane, max_age)
            except SignInRefused as error:
                lane.refuse(error)
                continue
            except BrokerUnavailable as error:
                lane.trouble(str(error).removeprefix("Kafka is unavailable: "))
                following = Next.AGAIN
            except LfsError as error:
                # There is no such topic, or it is not for us.
                lane.refuse(error)
                continue
            max_age = FRESH_SECONDS
            if following is Next.AGAIN:
                max_age = 0.0
                await deferLater(self._clock, RETRY_SECONDS)

    async def _send(self, lane: Lane, max_age: float) -> Next | None:
        """Send the batch in flight once more, or the next one. What its answer means, None for nothing.

        Raises what kept it from being sent.
        """
        create = lane.flight is None
        address = await self._cluster.leader(lane.topic, lane.partition, max_age, create)
        connection = await self._pool.get(address)
        version = highest(connection.ranges, KafkaApi.PRODUCE, LOWEST_VERSION, HIGHEST_VERSION)
        if version is None:
            raise BrokerUnavailable(f"{address} does not speak Produce as the proxy does")
        is_idempotent = INIT_PRODUCER_ID.version(connection.ranges) is not None
        if lane.flight is not None and lane.flight.is_idempotent and not is_idempotent:
            raise BrokerUnavailable(f"{address} knows no producer ids, and could write a batch twice")
        if lane.needs_producer(is_idempotent):
            lane.give_producer(await _new_producer(connection) if is_idempotent else NO_PRODUCER)
        if lane.flight is None and self._clock.seconds() - connection.heard_at > ALIVE_SECONDS:
            await connection.ask(METADATA, metadata_of(None, create=False))
        left: list[Batch] = []

        def frame(correlation_id: int) -> Sequence[Piece]:
            batch = lane.leave(self._now_ms())
            if batch is None:
                return ()
            left.append(batch)
            return _encode(version, correlation_id, lane, batch)

        self._asked[lane] = connection
        try:
            body = await connection.call(frame, _MOST_ANSWERED, PRODUCE_SILENCE_SECONDS)
            if not left:
                return None
            return lane.answered(left[0], _decode(connection, version, body, lane))
        except BrokerUnavailable as error:
            if not left:
                raise
            return lane.lost(left[0], str(error))
        finally:
            del self._asked[lane]

    async def stop(self) -> None:
        """Close the connections, when nothing is being published any more."""
        for running in list(self._running.values()):
            running.cancel()
        await self._pool.stop()


async def _new_producer(connection: Connection) -> ProducerId:
    answer: Any = await connection.ask(INIT_PRODUCER_ID, new_producer)
    code = answer.error_code
    if code in (KafkaCode.CLUSTER_AUTHORIZATION_FAILED, KafkaCode.TOPIC_AUTHORIZATION_FAILED):
        raise NotAuthorised(code, f"Kafka does not authorise the proxy to write: {named(code)}")
    if code:
        raise BrokerUnavailable(f"Kafka gives no producer id: {named(code)}")
    return ProducerId(answer.producer_id, answer.producer_epoch)


def _encode(version: int, correlation_id: int, lane: Lane, batch: Batch) -> list[Piece]:
    records = TopicRecords(lane.topic, [PartitionRecords(lane.partition, batch.pieces)])
    timeout_ms = int(REPLICAS_SECONDS * 1000)
    return encode_produce(
        ProduceRequest(version, correlation_id, CLIENT_ID, None, _ALL_REPLICAS, timeout_ms, [records])
    )


def _decode(connection: Connection, version: int, body: bytes, lane: Lane) -> PartitionAnswer:
    """What an answer says of the lane's partition. Raises BrokerUnavailable where it says nothing of it."""
    try:
        answer = ProduceResponse.decode(version, body)
    except FramingError as error:
        connection.abort(str(error))
        raise BrokerUnavailable(f"{connection.address}: its answer to Produce does not decode") from None
    connection.throttle(answer.throttle_ms)
    for partition in answer.partitions:
        if (partition.topic, partition.partition) == (lane.topic, lane.partition):
            return partition
    raise BrokerUnavailable(f"{connection.address} does not answer what it was asked")
