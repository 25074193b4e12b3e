"""Questions to the cluster (topics, offsets, a sign of life) over kafka-python's own event loop and thread.

Nothing here blocks: a question is a coroutine that runs on kafka-python's loop, and its answer comes back to
the reactor as a Deferred. The connections are made on the first question, and made anew when no question has
been answered for a while (all brokers may have moved, or a sign-in may have failed for good).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import attrs
from kafka import errors as kafka_errors
from kafka.net.selector import NetworkSelector
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest
from kafka.protocol.metadata import MetadataRequest
from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.interfaces import IReactorTime

from lfsproxy.broker.config import METADATA_SECONDS, cluster_arguments
from lfsproxy.broker.connections import is_own_answer_too_large
from lfsproxy.broker.outcome import not_answered
from lfsproxy.broker.signing import Identity, SigningManager
from lfsproxy.broker.threads import FromThread
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import (
    BadRequest,
    BrokerUnavailable,
    Draining,
    NotAuthorised,
    SignInRefused,
    UnknownTopic,
    UnreadableRecord,
)
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.readiness import KnownTrouble
from lfsproxy.settings import Settings
from lfsproxy.wire.apis import KafkaApi

T = TypeVar("T")

LATEST = -1
"""ListOffsets: the offset of the next record."""
READ_COMMITTED = 1
"""Fetch's isolation level: no record of a transaction that was aborted, or is still open."""
LAST_FETCH_BY_NAME = 12
"""From version 13 on, Fetch names topics by their ids."""
LEADER_MOVED = frozenset(
    {
        KafkaCode.LEADER_NOT_AVAILABLE,
        KafkaCode.NOT_LEADER_OR_FOLLOWER,
        KafkaCode.REPLICA_NOT_AVAILABLE,
        KafkaCode.FENCED_LEADER_EPOCH,
        KafkaCode.UNKNOWN_LEADER_EPOCH,
    }
)
"""The codes after which another broker may lead the partition: its leader is looked up again."""
LEADER_TRIES = 3
"""How often a partition's leader is looked up anew for one Fetch, as it may move meanwhile."""
RETRY_SECONDS = 0.2
"""Between two questions of the same kind, as kafka-python's retry_backoff_ms."""
CREATE_TRIES = 20
"""A broker that creates a topic on demand answers "unknown" until it has: this often, RETRY_SECONDS apart."""
STALE_SECONDS = 60.0
"""Without any answer for so long, the addresses that are known may be wrong: begin at the bootstrap again."""
_PASSING = (
    kafka_errors.NodeNotReadyError,
    kafka_errors.KafkaConnectionError,
    # Also what a request gets whose connection is closed because of an older request.
    kafka_errors.RequestTimedOutError,
)


@attrs.frozen
class Topic:
    """A topic's partitions, by index, with the node id of the leader of each (-1: none just now)."""

    name: str
    leaders: dict[int, int]

    @property
    def available(self) -> list[int]:
        """The partitions that have a leader."""
        return sorted(index for index, leader in self.leaders.items() if leader >= 0)


class Connections:
    """kafka-python's connections to all brokers, and the loop and thread that they run on."""

    def __init__(self, arguments: dict[str, Any], identity: Identity) -> None:
        self.net = NetworkSelector(**arguments)
        self.manager = SigningManager(self.net, identity, **arguments)
        self.net.start()

    def close(self) -> None:
        """End the thread and the connections. Blocks until the loop has noticed."""
        self.net.stop(METADATA_SECONDS * 1000)
        self.manager.close()
        self.net.close()


@attrs.define
class Question:
    """A question on its way, in kafka-python's thread. ``given_up``: nobody waits for the answer any more."""

    connections: Connections
    given_up: bool = False

    async def send(self, request: Any, node: int | None = None) -> Any:
        """Send a request that may be repeated, to any broker or to ``node``, until there is an answer.

        Raises SignInRefused where a refused sign-in is not tried again by now.
        """
        manager = self.connections.manager
        while True:
            try:
                return await manager.send(request, node_id=node)
            except _PASSING:
                if self.given_up:
                    raise
            except kafka_errors.InvalidReceiveError as error:
                if self.given_up or is_own_answer_too_large(request, error):
                    raise
            refusal = manager.refusal(node)
            if refusal is not None:
                raise SignInRefused(refusal)
            await self.pause()

    async def pause(self) -> None:
        """Wait before asking again."""
        await self.connections.net.sleep(RETRY_SECONDS)

    async def bootstrap(self) -> None:
        """Make sure that the brokers are known."""
        if not self.connections.manager.bootstrapped:
            await self.connections.manager.bootstrap_async(METADATA_SECONDS * 1000)


async def _fetch(topic: str, partition: int, offset: int, leader: int, question: Question) -> Any:
    request = FetchRequest(
        max_wait_ms=0,
        min_bytes=0,
        # A broker gives the first batch whole in any case, and nothing else with this.
        max_bytes=1,
        isolation_level=READ_COMMITTED,
        topics=[
            FetchRequest.FetchTopic(
                topic=topic,
                partitions=[
                    FetchRequest.FetchTopic.FetchPartition(
                        partition=partition, fetch_offset=offset, partition_max_bytes=1
                    )
                ],
            )
        ],
        max_version=LAST_FETCH_BY_NAME,
    )
    try:
        return (await question.send(request, leader)).responses[0].partitions[0]
    except kafka_errors.InvalidReceiveError:
        raise UnreadableRecord(
            f"{topic}, partition {partition}, offset {offset} is in a batch that is larger than "
            "LFS_MAX_PASSTHROUGH_SIZE allows"
        ) from None


class Cluster:
    """Asks the cluster with the proxy's own identity.

    ``in_thread`` runs a blocking call and returns a Deferred; ``trouble`` is what another part that
    asks the brokers knows to be wrong. Every question raises BrokerUnavailable when no broker answers within
    METADATA_SECONDS, and SignInRefused when the sign-in is refused.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        settings: Settings,
        in_thread: Callable[..., Deferred[None]],
        identity: Identity,
        connect: Callable[[dict[str, Any], Identity], Connections] = Connections,
        trouble: KnownTrouble | None = None,
    ) -> None:
        self._trouble = trouble or KnownTrouble()
        self._reactor = reactor
        self._arguments = cluster_arguments(settings)
        self._in_thread = in_thread
        self._identity = identity
        self._connect = connect
        self._connections: Connections | None = None
        self._stopped = False
        self._answered_at = 0.0

    async def topic(self, name: str, create: bool) -> Topic:
        """The partitions of a topic. ``create``: let the broker create it, if it does so on demand.

        Raises UnknownTopic, NotAuthorised, or BadRequest for a name that Kafka does not allow or uses itself.
        """

        async def ask(question: Question) -> Any:
            request = MetadataRequest(
                topics=[MetadataRequest.MetadataRequestTopic(name=name)],
                allow_auto_topic_creation=create,
            )
            for _ in range(CREATE_TRIES):
                response = await question.send(request)
                found = response.topics[0]
                if found.error_code == KafkaCode.LEADER_NOT_AVAILABLE or (
                    found.error_code == KafkaCode.UNKNOWN_TOPIC_OR_PARTITION and create
                ):
                    await question.pause()
                    continue
                break
            return found

        found = await self._ask(ask)
        if found.error_code in (KafkaCode.UNKNOWN_TOPIC_OR_PARTITION, KafkaCode.LEADER_NOT_AVAILABLE):
            raise UnknownTopic(f"the topic {name} does not exist")
        if found.error_code == KafkaCode.INVALID_TOPIC:
            raise BadRequest(f"Kafka does not allow the topic name {quoted(name)}")
        if found.error_code == KafkaCode.TOPIC_AUTHORIZATION_FAILED:
            raise NotAuthorised(found.error_code, f"Kafka does not authorise the topic {name}")
        if found.error_code:
            raise BrokerUnavailable(f"Kafka answers error {found.error_code} for the topic {name}")
        if found.is_internal:
            # kafka-python's producer knows no such topic, and would be asked for nothing again and again.
            raise BadRequest(f"the topic {name} is Kafka's own")
        return Topic(name, {one.partition_index: one.leader_id for one in found.partitions})

    async def end_offset(self, topic: str, partition: int) -> int:
        """The offset that the next record of a partition gets. Raises also UnknownTopic."""
        leader = (await self.topic(topic, create=False)).leaders.get(partition)
        if leader is None:
            raise UnknownTopic(f"the topic {topic} has no partition {partition}")

        async def ask(question: Question) -> Any:
            request = ListOffsetsRequest(
                isolation_level=0,
                topics=[
                    ListOffsetsRequest.ListOffsetsTopic(
                        name=topic,
                        partitions=[
                            ListOffsetsRequest.ListOffsetsTopic.ListOffsetsPartition(
                                partition_index=partition, timestamp=LATEST
                            )
                        ],
                    )
                ],
                min_version=1,
            )
            return (await question.send(request, leader)).topics[0].partitions[0]

        found = await self._ask(ask)
        if found.error_code:
            raise BrokerUnavailable(
                f"Kafka answers error {found.error_code} for the end of {topic}/{partition}"
            )
        return int(found.offset)

    async def fetch(self, topic: str, partition: int, offset: int) -> Any:
        """A Fetch answer's part about one partition: the batch that has ``offset``, or what comes next.

        As for a consumer that reads committed records. Its ``error_code`` may be any but those of a leader
        that has moved. Raises also UnknownTopic, NotAuthorised, and UnreadableRecord for a batch that is
        larger than what these connections receive.
        """
        for _ in range(LEADER_TRIES):
            leader = (await self.topic(topic, create=False)).leaders.get(partition)
            if leader is None:
                raise UnknownTopic(f"the topic {topic} has no partition {partition}")
            found = await self._ask(partial(_fetch, topic, partition, offset, leader))
            if found.error_code not in LEADER_MOVED:
                return found
        raise BrokerUnavailable(f"Kafka has no leader for {topic}, partition {partition}, just now")

    async def ping(self) -> None:
        """Ask for a sign of life."""

        async def ask(question: Question) -> None:
            await question.send(MetadataRequest(topics=[], allow_auto_topic_creation=False))

        await self._ask(ask)

    async def gives_producer_ids(self) -> bool:
        """Whether the brokers know idempotent producers (InitProducerId; -1 to -1 means not offered)."""

        async def ask(question: Question) -> bool:
            versions = question.connections.manager.broker_version_data.api_versions
            return bool(versions.get(KafkaApi.INIT_PRODUCER_ID, (-1, -1))[1] >= 0)

        return await self._ask(ask)

    def _ask(self, ask: Callable[[Question], Awaitable[T]]) -> Deferred[T]:
        if self._stopped:
            return fail(Draining("the proxy is shutting down"))
        question = Question(self._open())

        async def answer() -> T:
            await question.bootstrap()
            return await ask(question)

        there = FromThread[T](self._reactor)
        future = question.connections.manager.call_soon(answer)
        future.add_callback(there.give)
        future.add_errback(there.fail)
        result = there.answer
        result.addTimeout(METADATA_SECONDS, self._reactor)
        result.addCallbacks(self._answered, self._unanswered, errbackArgs=(question,))
        return result

    def _open(self) -> Connections:
        if self._connections is None:
            self._connections = self._connect(self._arguments, self._identity)
            self._answered_at = self._reactor.seconds()
        return self._connections

    def _answered(self, value: T) -> T:
        self._answered_at = self._reactor.seconds()
        return value

    def _unanswered(self, failure: Any, question: Question) -> Any:
        question.given_up = True
        if self._reactor.seconds() - self._answered_at >= STALE_SECONDS:
            self._drop(question.connections)
        if failure.check(kafka_errors.KafkaError):
            error = not_answered(failure.value)
        elif failure.check(SignInRefused):
            error = failure.value
        elif failure.check(TimeoutError):
            error = BrokerUnavailable(f"Kafka did not answer within {METADATA_SECONDS:g} s")
        else:
            return failure
        if isinstance(error, BrokerUnavailable) and self._trouble.text:
            error = type(error)(f"Kafka is unavailable: {self._trouble.text}")
        raise error from None

    def _drop(self, connections: Connections) -> None:
        if self._connections is connections:
            self._log.debug(
                "Kafka has not answered for {seconds:.0f} s: starting again from the bootstrap addresses",
                seconds=self._reactor.seconds() - self._answered_at,
            )
            self._connections = None
            self._in_thread(connections.close).addErrback(
                lambda failure: self._log.failure("closing connections to Kafka failed", failure)
            )

    async def stop(self) -> None:
        """Close the connections. Questions asked later are not answered: Draining."""
        self._stopped = True
        connections, self._connections = self._connections, None
        if connections is not None:
            await self._in_thread(connections.close)
