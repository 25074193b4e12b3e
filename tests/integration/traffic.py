"""Producers and consumers that go on for as long as a test does things to the brokers.

Every record has a key of its own, by which it is found again; every tenth is an LFS record.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confluent_kafka import Consumer, Producer
from kafka import KafkaConsumer, KafkaProducer
from twisted.internet import reactor as twisted_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from lfsproxy.client.reader import BlobReader, static_credentials
from lfsproxy.devstack import KafkaServer
from tests.integration.clients.python import read_topic
from tests.integration.renumbered import is_renumbered, producers_of
from tests.integration.stack import Stack, in_thread
from tests.integration.storm.notes import Place

PATIENCE = 60
"""Seconds for which a client may try again before it fails the test."""
BLOB_SIZE = 20_000
LFS_EVERY = 10

reactor: Any = twisted_reactor

Headers = list[tuple[str, str | bytes | None]]


def payload(key: bytes) -> bytes:
    """The LFS record's value that goes with a key."""
    return key.ljust(BLOB_SIZE, b".")


def value_of(key: bytes) -> bytes:
    """What was sent with a key."""
    number = int(key.rpartition(b"-")[2])
    return payload(key) if number % LFS_EVERY == 0 else key


def records(client: str) -> Iterator[tuple[bytes, bytes, Headers]]:
    """Key, value and headers of one record after the other."""
    for number in itertools.count():
        key = b"%s-%d" % (client.encode(), number)
        yield key, value_of(key), [("LFS_BLOB", b"")] if number % LFS_EVERY == 0 else []


class Client:
    """One client in a thread of its own. ``keys`` were acknowledged, or read; ``errors`` tell what failed."""

    def __init__(self, name: str, run: Callable[[Client], None]) -> None:
        self.name = name
        self.keys: list[bytes] = []
        self.errors: list[str] = []
        self._stopped = threading.Event()
        self._ended: Deferred[None] = in_thread(run, self)

    def pause(self) -> bool:
        """Wait a little; whether to go on."""
        return not self._stopped.wait(0.04)

    def stop(self) -> Deferred[None]:
        """Fires when it has sent what it holds and is closed."""
        self._stopped.set()
        return self._ended


class Traffic:
    """Two producers and three consumers, in two groups, of one topic. They know ``bootstrap`` only."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        def librdkafka(client: Client) -> None:
            produce_by_librdkafka(client, bootstrap, topic)

        def kafka_python(client: Client) -> None:
            produce_by_kafka_python(client, bootstrap, topic)

        def one_of_two(client: Client) -> None:
            consume_by_librdkafka(client, bootstrap, topic)

        def alone(client: Client) -> None:
            consume_by_kafka_python(client, bootstrap, topic)

        self.producers = [Client("librdkafka", librdkafka), Client("kafka-python", kafka_python)]
        self.groups = [
            [Client("librdkafka reader 1", one_of_two), Client("librdkafka reader 2", one_of_two)],
            [Client("kafka-python reader", alone)],
        ]

    @property
    def clients(self) -> list[Client]:
        return [*self.producers, *itertools.chain.from_iterable(self.groups)]

    @property
    def acknowledged(self) -> set[bytes]:
        """The keys of all records that were acknowledged so far."""
        return {key for producer in self.producers for key in list(producer.keys)}

    def is_read(self, keys: set[bytes]) -> bool:
        """Whether each group has read all of ``keys``."""
        return all(keys <= {key for member in group for key in list(member.keys)} for group in self.groups)

    def errors(self) -> list[str]:
        """What any client failed at."""
        return [f"{client.name}: {error}" for client in self.clients for error in client.errors]

    async def goes_on(self, step: int) -> None:
        """Returns when every producer had ``step`` more records acknowledged, and each group read them."""
        wanted = {producer: len(producer.keys) + step for producer in self.producers}
        await self._until(lambda: all(len(producer.keys) >= count for producer, count in wanted.items()))
        await self._until_read()

    async def end(self) -> None:
        """Send what the producers hold, read everything that was acknowledged, and end every client."""
        await gatherResults([producer.stop() for producer in self.producers], consumeErrors=True)
        await self._until_read()
        await self.stop()

    async def _until_read(self) -> None:
        keys = self.acknowledged
        await self._until(lambda: self.is_read(keys))

    async def _until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if time.monotonic() > deadline:
                counts = {client.name: len(client.keys) for client in self.clients}
                raise AssertionError(f"the clients do not go on: {counts}, {self.errors()}")
            await deferLater(reactor, 0.02, lambda: None)

    async def stop(self) -> None:
        """End every client."""
        await gatherResults([client.stop() for client in self.clients], consumeErrors=True)


def check_log(
    servers: Stack, topic: str, acknowledged: set[bytes], nodes: Iterable[KafkaServer] = ()
) -> None:
    """Every record is in the log, once, as the producers are idempotent (but see ``renumbered``); every blob
    is in S3. ``nodes`` are those of a cluster."""
    credentials = static_credentials(servers.s3.access_key, servers.s3.secret_key)
    reader = BlobReader.from_environment(servers.environment, credentials=credentials)
    found = read_topic(servers.kafka.bootstrap, topic)
    places: dict[bytes | None, set[Place]] = defaultdict(set)
    for each in found:
        places[each.key].add((each.partition, each.offset))
    assert not acknowledged - set(places), f"lost: {acknowledged - set(places)}"
    nodes = list(nodes) or [servers.kafka]
    twice = {key: where for key, where in places.items() if len(where) > 1}
    ours = [key for key, where in twice.items() if not is_renumbered(producers_of(nodes, topic, where))]
    assert not ours, f"twice: {ours}"
    for each in found:
        assert each.key is not None
        assert reader.fetch(each.value) == value_of(each.key), each.key


def produce_by_librdkafka(client: Client, bootstrap: str, topic: str) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "enable.idempotence": True,
            "message.timeout.ms": PATIENCE * 1000,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "log_level": 0,
        }
    )

    def delivered(error: Any, message: Any) -> None:
        if error is None:
            client.keys.append(message.key())
        else:
            client.errors.append(f"{message.key()}: {error}")

    for key, value, headers in records("librdkafka"):
        producer.produce(topic, value, key, headers=headers, on_delivery=delivered)
        producer.poll(0)
        if not client.pause():
            break
    if left := producer.flush(PATIENCE):
        client.errors.append(f"{left} records are left")


def produce_by_kafka_python(client: Client, bootstrap: str, topic: str) -> None:
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        linger_ms=5,
        delivery_timeout_ms=PATIENCE * 1000,
        max_block_ms=PATIENCE * 1000,
        request_timeout_ms=10_000,
    )

    def delivered(key: bytes) -> Callable[[Any], None]:
        return lambda _: client.keys.append(key)

    def failed(key: bytes) -> Callable[[Any], None]:
        return lambda error: client.errors.append(f"{key!r}: {error!r}")

    for key, value, headers in records("kafka-python"):
        sent = producer.send(topic, value, key, headers)
        sent.add_callback(delivered(key))
        sent.add_errback(failed(key))
        if not client.pause():
            break
    producer.flush(PATIENCE)
    producer.close(PATIENCE)


def consume_by_librdkafka(client: Client, bootstrap: str, topic: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "group.id": f"{topic}-librdkafka",
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    while client.pause():
        for message in consumer.consume(100, 0.1):
            error, key = message.error(), message.key()
            # What librdkafka tells of a broker that it cannot reach is no failure: it tries again.
            if error is None and key is not None:
                client.keys.append(key)
            elif error is not None and error.code() >= 0 and not error.retriable():
                client.errors.append(str(error))
    consumer.close()


def consume_by_kafka_python(client: Client, bootstrap: str, topic: str) -> None:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"{topic}-kafka-python",
        auto_offset_reset="earliest",
    )
    # Else it may join before it knows the partitions, is given none, and joins again; and a poll whose time
    # is over in the middle of joining can leave kafka-python 3.0.12 waiting for its assignment for ever.
    consumer.partitions_for_topic(topic)
    while client.pause():
        for batch in consumer.poll(timeout_ms=1000).values():
            client.keys += [record.key for record in batch]
    consumer.close()
