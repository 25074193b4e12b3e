"""The demo's last round: too large for Kafka, and neither its producer nor its consumer knows of S3."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Final

from lfsproxy.cli.demo_round import RoundFailed
from lfsproxy.cli.demo_screen import MIB, Screen
from lfsproxy.cli.demo_servers import WHOLE_TOPIC, Servers
from lfsproxy.cli.kafka_log import silence_kafka_log
from lfsproxy.devstack.ports import HOST
from lfsproxy.envelope import recognise
from lfsproxy.errors import InvalidEnvelope, UnsupportedEnvelope
from lfsproxy.quoting import quoted
from lfsproxy.words import error_text

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

_SECONDS: Final = 60
"""How long one step may wait for an answer."""

Place = tuple[int, int]


class UnawareRound:
    """The steps, in order; ``run`` raises RoundFailed at the first that fails."""

    def __init__(self, servers: Servers, screen: Screen) -> None:
        self._servers = servers
        self._screen = screen
        self._size = servers.plan.whole_size
        self._proxy = f"{HOST}:{servers.plan.proxy_port}"

    def run(self) -> None:
        """All steps."""
        from kafka.errors import KafkaError

        silence_kafka_log()
        value = os.urandom(self._size)
        try:
            place = self._produce(value)
            self._look(place)
            self._consume(place, value)
        except KafkaError as error:
            raise RoundFailed(f"A Kafka client failed: {error_text(error)}.") from error

    def _produce(self, value: bytes) -> Place:
        from kafka import KafkaProducer

        self._screen.step(
            f"Without a line for S3: produce {self._size / MIB:.0f} MiB, no header, through "
            f"localhost:{self._servers.plan.proxy_port}"
        )
        if self._servers.kafka:
            self._screen.say("Kafka itself takes records of 1 MiB here; the proxy stores larger ones.")
        self._screen.say(f'producer.send("{WHOLE_TOPIC}", value)')
        producer = KafkaProducer(
            bootstrap_servers=self._proxy,
            acks="all",
            max_request_size=self._size + MIB,
            request_timeout_ms=_SECONDS * 1000,
        )
        try:
            with self._screen.moving("Producing", self._size) as move:
                sent = producer.send(WHOLE_TOPIC, value).get(_SECONDS)
                move(self._size)
        finally:
            producer.close(timeout=5)
        self._screen.good(f"acknowledged at partition {sent.partition}, offset {sent.offset}")
        return sent.partition, sent.offset

    def _look(self, place: Place) -> None:
        """What Kafka has of it: an envelope."""
        envelope = bytes(self._record(self._servers.brokers, place).value or b"")
        try:
            is_envelope = recognise(envelope) is not None
        except (InvalidEnvelope, UnsupportedEnvelope):
            is_envelope = False
        if not is_envelope:
            raise RoundFailed(f"The record at {place} of {WHOLE_TOPIC} is no envelope: {quoted(envelope)}.")
        self._screen.say(f"In Kafka: {len(envelope)} bytes, {envelope.decode(errors='replace')}")

    def _consume(self, place: Place, value: bytes) -> None:
        self._screen.step("Consume it through the same port, by a client that knows nothing of S3 either")
        self._screen.say(self.command(self._servers))
        with self._screen.moving("Consuming", self._size) as move:
            read = bytes(self._record(self._proxy, place).value or b"")
            move(len(read))
        if read != value:
            raise RoundFailed(
                f"The consumer got {len(read)} bytes that are not the {self._size} that were sent."
            )
        self._screen.good(
            f"{len(read)} bytes, sha256 {hashlib.sha256(read).hexdigest()}: byte for byte what was sent"
        )

    @staticmethod
    def command(servers: Servers) -> str:
        """A command that consumes the record as the round does."""
        address = f"localhost:{servers.plan.proxy_port}"
        return f"kcat -C -b {address} -t {WHOLE_TOPIC} -o beginning -c 1 -q -D '' | sha256sum"

    def _record(self, bootstrap: str, place: Place) -> ConsumerRecord:
        from kafka import KafkaConsumer, TopicPartition

        partition, offset = place
        consumer = KafkaConsumer(bootstrap_servers=bootstrap)
        try:
            where = TopicPartition(WHOLE_TOPIC, partition)
            consumer.assign([where])
            consumer.seek(where, offset)
            deadline = time.monotonic() + _SECONDS
            while time.monotonic() < deadline:
                for found in consumer.poll(500).values():
                    return found[0]
        finally:
            consumer.close()
        raise RoundFailed(f"No record came from partition {partition}, offset {offset} of {WHOLE_TOPIC}.")
