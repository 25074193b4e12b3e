"""Questions to the cluster, as the proxy itself: topics and their leaders, offsets, batches, a sign of life.

What any broker can answer is asked of several, if the first is slow; what only a partition's leader can is
asked of it, and again of whoever leads when it has moved, is gone, or hangs. An answer about a topic is used
for FRESH_SECONDS, unless what it says turns out to be wrong.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lfsproxy.broker.patience import Patience, Why
from lfsproxy.broker.seconds import METADATA_SECONDS, RETRY_SECONDS
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import (
    BadRequest,
    BrokerUnavailable,
    Draining,
    LfsError,
    NotAuthorised,
    SignInRefused,
    UnknownTopic,
    UnreadableRecord,
)
from lfsproxy.kafka.connection import AnswerTooLarge, Connection
from lfsproxy.kafka.messages import (
    FETCH,
    LIST_OFFSETS,
    METADATA,
    READ_COMMITTED,
    READ_UNCOMMITTED,
    TOPICS,
    Api,
    Build,
    all_topics,
    batches_from,
    metadata_of,
    offset_of,
)
from lfsproxy.kafka.pool import Pool
from lfsproxy.kafka.race import Race
from lfsproxy.kafka.upstream import Upstream
from lfsproxy.quoting import quoted
from lfsproxy.readiness import KnownTrouble
from lfsproxy.settings import Address
from lfsproxy.shared import Shared

T = TypeVar("T")

LATEST: Final = -1
"""ListOffsets: the offset of the next record."""
EARLIEST: Final = -2
"""ListOffsets: the offset of the first record."""
FRESH_SECONDS: Final = 5.0
"""How long an answer about a topic is used. Java's clients use it for five minutes."""
KNOWN_TOPICS: Final = 1000
"""How many topics are remembered."""
CREATE_TRIES: Final = 20
"""A broker that creates a topic on demand answers "unknown" until it has: this often, RETRY_SECONDS apart."""
LEADER_MOVED = frozenset(
    {
        KafkaCode.LEADER_NOT_AVAILABLE,
        KafkaCode.NOT_LEADER_OR_FOLLOWER,
        KafkaCode.REPLICA_NOT_AVAILABLE,
        KafkaCode.KAFKA_STORAGE_ERROR,
        KafkaCode.FENCED_LEADER_EPOCH,
        KafkaCode.UNKNOWN_LEADER_EPOCH,
        # A broker that has just begun to lead, or a topic that was deleted: its metadata tells which.
        KafkaCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
"""The codes after which another broker may lead the partition: its leader is looked up again."""


@attrs.frozen
class Topic:
    """A topic's partitions, by index, with the node id of the leader of each (-1: none just now).

    ``asked_at`` is when it was asked for, in seconds.
    """

    name: str
    leaders: dict[int, int]
    asked_at: float = attrs.field(default=0.0, eq=False)

    @property
    def available(self) -> list[int]:
        """The partitions that have a leader."""
        return sorted(index for index, leader in self.leaders.items() if leader >= 0)


@attrs.frozen
class Listed:
    """A topic in the list of all: ``topic_id`` is empty where the broker gives none; an ``error_code`` that
    is not 0 says why its partitions are not known."""

    name: str
    topic_id: str
    is_internal: bool
    error_code: int
    partitions: Sequence[int]


class Cluster:
    """``trouble`` is what another part that asks the brokers knows to be wrong.

    Every question raises BrokerUnavailable when no broker answers within METADATA_SECONDS, SignInRefused when
    the sign-in is refused, and Draining after ``stop``. ``most_fetched``: bytes of the largest batch. Batches
    come by connections of their own, ``fetching``: no other answer waits behind one.
    """

    def __init__(
        self,
        clock: IReactorTime,
        upstream: Upstream,
        pool: Pool,
        fetching: Pool,
        most_fetched: int,
        trouble: KnownTrouble | None = None,
    ) -> None:
        self._clock = clock
        self._bootstrap = upstream.bootstrap
        self._pool = pool
        self._fetching = fetching
        self._most_fetched = most_fetched
        self._trouble = trouble or KnownTrouble()
        self._nodes: dict[int, Address] = {}
        self._topics: OrderedDict[str, Topic] = OrderedDict()
        self._asking = Shared(clock, self._ask_about)
        self._stopped = False

    # What any broker answers

    async def topic(
        self, name: str, create: bool, max_age: float = FRESH_SECONDS, patient: bool = True
    ) -> Topic:
        """The partitions of a topic. ``create``: let the broker create it, if it does so on demand.

        ``max_age``: seconds since it was last asked for, at most. ``patient``: ask again while no broker
        answers. Raises UnknownTopic, NotAuthorised, or BadRequest for a name that Kafka does not allow or
        uses itself.
        """
        known = self._topics.get(name)
        if known is not None and self._clock.seconds() - known.asked_at < max_age:
            return known
        return await self._within(lambda why: self._topic(name, create, patient, why))

    async def _topic(self, name: str, create: bool, patient: bool, why: Why) -> Topic:
        while True:
            try:
                return await self._asking.get((name, create))
            except SignInRefused:
                raise
            except BrokerUnavailable as error:
                if not patient:
                    raise
                why.text = str(error)
            await self._pause()

    async def _ask_about(self, asked: tuple[str, bool]) -> Topic:
        name, create = asked
        for _ in range(CREATE_TRIES):
            asked_at = self._clock.seconds()
            (found, *_) = (await self._metadata(name, create)).topics or [None]
            if found is None:
                raise BrokerUnavailable(f"a broker was asked about the topic {name}, and is silent")
            is_missing = found.error_code == KafkaCode.UNKNOWN_TOPIC_OR_PARTITION
            if found.error_code != KafkaCode.LEADER_NOT_AVAILABLE and not (is_missing and create):
                break
            await self._pause()
        topic = self._read(name, found, asked_at)
        self._topics[name] = topic
        self._topics.move_to_end(name)
        if len(self._topics) > KNOWN_TOPICS:
            self._topics.popitem(last=False)
        return topic

    def _read(self, name: str, found: Any, asked_at: float) -> Topic:
        if found.error_code:
            self._topics.pop(name, None)
        if found.error_code in (KafkaCode.UNKNOWN_TOPIC_OR_PARTITION, KafkaCode.LEADER_NOT_AVAILABLE):
            raise UnknownTopic(f"the topic {name} does not exist")
        if found.error_code == KafkaCode.INVALID_TOPIC:
            raise BadRequest(f"Kafka does not allow the topic name {quoted(name)}")
        if found.error_code == KafkaCode.TOPIC_AUTHORIZATION_FAILED:
            raise NotAuthorised(found.error_code, f"Kafka does not authorise the topic {name}")
        if found.error_code:
            raise BrokerUnavailable(f"Kafka answers error {found.error_code} for the topic {name}")
        if found.is_internal:
            raise BadRequest(f"the topic {name} is Kafka's own")
        return Topic(name, {one.partition_index: one.leader_id for one in found.partitions}, asked_at)

    async def topics(self) -> Sequence[Listed]:
        """Every topic that this identity may describe, Kafka's own too. A broker may have heard of a new one
        a moment later."""
        return await self._within(lambda why: self._all_topics())

    async def _all_topics(self) -> Sequence[Listed]:
        answer = await self._first_answer(TOPICS, all_topics)
        return [
            Listed(
                one.name,
                str(one.topic_id or ""),
                bool(one.is_internal),
                one.error_code,
                tuple(sorted(each.partition_index for each in one.partitions)),
            )
            for one in answer.topics
        ]

    async def ping(self) -> None:
        """Ask for a sign of life."""
        await self._within(lambda why: self._metadata(None, create=False))

    async def _metadata(self, topic: str | None, create: bool) -> Any:
        return await self._first_answer(METADATA, metadata_of(topic, create))

    async def _first_answer(self, api: Api, build: Build) -> Any:
        """That of a broker, whichever it is."""

        async def ask(address: Address) -> Any:
            connection = await self._pool.get(address)
            answer = await connection.ask(api, build)
            if not answer.brokers:
                raise BrokerUnavailable(f"{address} knows no broker: its metadata is empty")
            return answer

        targets = self._bootstrap.targets(lambda address: self._pool.ready(address) is not None)
        answer = await Race(self._clock, targets, ask, self._bootstrap.hung).result
        self._nodes = {one.node_id: Address(one.host, one.port) for one in answer.brokers}
        self._bootstrap.follow(self._nodes.values())
        return answer

    # What a partition's leader answers

    async def offset(
        self, topic: str, partition: int, which: int = LATEST, isolation: int = READ_UNCOMMITTED
    ) -> int:
        """The offset that the next record of a partition gets (with READ_COMMITTED: the first one that is not
        decided yet), or that its first one has, or the first one of a time in milliseconds, -1 where there
        is none. Raises also UnknownTopic."""

        async def ask(connection: Connection) -> Any:
            answer = await connection.ask(LIST_OFFSETS, offset_of(topic, partition, which, isolation))
            return answer.topics[0].partitions[0]

        found = await self._of_leader(topic, partition, self._pool, ask)
        if found.error_code:
            raise BrokerUnavailable(
                f"Kafka answers error {found.error_code} for the offsets of {topic}/{partition}"
            )
        return int(found.offset)

    async def fetch(
        self,
        topic: str,
        partition: int,
        offset: int,
        size: int = 1,
        isolation: int = READ_COMMITTED,
        however_slowly: bool = False,
    ) -> Any:
        """A Fetch answer's part about one partition: the batch that has ``offset``, or what comes next; more
        batches as long as all have ``size`` bytes. ``however_slowly``: an answer that has begun to come may
        take any time, and only a silence ends it.

        Its ``error_code`` may be any but those of a leader that has moved. Raises also UnknownTopic,
        NotAuthorised, and UnreadableRecord for a batch that is larger than LFS_MAX_PASSTHROUGH_SIZE.
        """

        async def ask(connection: Connection) -> Any:
            build = batches_from(topic, partition, offset, size, isolation)
            answer = await connection.ask(FETCH, build, most=self._most_fetched)
            return answer.responses[0].partitions[0]

        try:
            return await self._of_leader(topic, partition, self._fetching, ask, however_slowly)
        except AnswerTooLarge:
            raise UnreadableRecord(
                f"{topic}, partition {partition}, offset {offset} is in a batch that is larger than "
                "LFS_MAX_PASSTHROUGH_SIZE allows"
            ) from None

    async def _of_leader(
        self,
        topic: str,
        partition: int,
        pool: Pool,
        ask: Callable[[Connection], Coroutine[Deferred[Any], Any, Any]],
        however_slowly: bool = False,
    ) -> Any:
        deadline = self._clock.seconds() + METADATA_SECONDS

        async def steps(why: Why) -> Any:
            max_age = FRESH_SECONDS
            while True:
                try:
                    why.may_be_long = False
                    address = await self.leader(topic, partition, max_age)
                    connection = await pool.get(address)
                    why.may_be_long = however_slowly
                    found = await ask(connection)
                except (SignInRefused, AnswerTooLarge):
                    raise
                except BrokerUnavailable as error:
                    why.text = str(error)
                except IndexError:
                    why.text = f"{address} does not answer what it was asked"
                else:
                    if found.error_code not in LEADER_MOVED:
                        return found
                    why.text = f"{address} does not lead {topic}, partition {partition}, any more"
                if self._clock.seconds() >= deadline:
                    # An answer that took so long and broke off may break off each time.
                    raise BrokerUnavailable(why.text)
                # What is known is wrong: ask anew.
                max_age = 0.0
                await self._pause()

        return await self._within(steps)

    async def leader(
        self, topic: str, partition: int, max_age: float = FRESH_SECONDS, create: bool = False
    ) -> Address:
        """Where the partition's leader is; not patient. Raises UnknownTopic, also where there is no such
        partition, and BrokerUnavailable where it has none just now."""
        found = await self.topic(topic, create, max_age, patient=False)
        if partition not in found.leaders:
            found = await self.topic(topic, create, max_age=0.0, patient=False)
        leader = found.leaders.get(partition)
        if leader is None:
            raise UnknownTopic(f"the topic {topic} has no partition {partition}")
        address = self._nodes.get(leader)
        if address is None:
            raise BrokerUnavailable(f"Kafka has no leader for {topic}, partition {partition}, just now")
        return address

    def healthy(self, topic: Topic) -> list[int]:
        """The partitions whose leaders are known, and did not hang lately."""
        leaders = {index: self._nodes.get(leader) for index, leader in topic.leaders.items()}
        return sorted(
            index
            for index, address in leaders.items()
            if address is not None and not self._bootstrap.is_suspect(address)
        )

    # Bounds

    async def _within(self, steps: Callable[[Why], Coroutine[Deferred[Any], Any, T]]) -> T:
        if self._stopped:
            raise Draining("the proxy is shutting down")
        why = Why()
        work = Deferred.fromCoroutine(steps(why))
        patience = Patience(self._clock, why, work)
        try:
            return await work
        except CancelledError:
            if not why.is_late:
                raise
            told = why.text or f"Kafka did not answer within {METADATA_SECONDS:g} s"
            raise self._explained(BrokerUnavailable(told)) from None
        except AnswerTooLarge:
            raise
        except BrokerUnavailable as error:
            raise self._explained(error) from None
        finally:
            patience.stop()

    def _explained(self, error: BrokerUnavailable) -> LfsError:
        """With what is known to be wrong, where that is more than what was seen here."""
        if self._trouble.text:
            text = f"Kafka is unavailable: {self._trouble.text}"
        else:
            text = f"Kafka is unavailable: {str(error).removeprefix('Kafka is unavailable: ')}"
        return SignInRefused(text) if isinstance(error, SignInRefused) else BrokerUnavailable(text)

    def _pause(self) -> Deferred[None]:
        return deferLater(self._clock, RETRY_SECONDS)

    async def stop(self) -> None:
        """Ask nothing more, and close the connections."""
        self._stopped = True
        self._asking.stop()
        await self._pool.stop()
        await self._fetching.stop()
