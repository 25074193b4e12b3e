"""One KafkaProducer from its making to its end, in blocking calls that belong in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from kafka import KafkaProducer
from kafka import errors as kafka_errors

from lfsproxy.broker.signing import Identity
from lfsproxy.broker.watch import Watch, WatchedClient
from lfsproxy.interfaces import Header


@attrs.frozen
class Record:
    """A record to publish; ``timestamp`` is in milliseconds since the epoch, None is now."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Sequence[Header]
    timestamp: int | None


class WatchedProducer:
    """A KafkaProducer that sends one record at a time and is watched. ``open``, ``send``, ``close`` block."""

    def __init__(
        self, arguments: Mapping[str, Any], identity: Identity, make: Callable[..., Any] = KafkaProducer
    ) -> None:
        self.watch = Watch()
        self._identity = identity
        self._arguments = arguments
        self._make = make
        self._client: WatchedClient | None = None
        self._producer: Any = None

    def _make_client(self, **configs: Any) -> WatchedClient:
        self._client = WatchedClient(self.watch, self._identity, **configs)
        return self._client

    def open(self) -> None:
        """Connect. Raises KafkaError when no broker answers within the bootstrap time."""
        try:
            self._producer = self._make(kafka_client=self._make_client, **self._arguments)
        except BaseException:
            if self._client is not None:
                self._client.close()
            raise

    def send(
        self, record: Record, succeeded: Callable[[Any], None], failed: Callable[[BaseException], None]
    ) -> None:
        """Hand a record over; one of the two is called, in a thread, with RecordMetadata or the error.

        Blocks while the producer does not know the topic. Raises KafkaError, or ValueError when it does not
        know the partition: then nothing was sent.
        """
        self.watch.begin()
        future = self._producer.send(
            record.topic,
            value=record.value,
            key=record.key,
            headers=[(name.decode("utf-8"), value) for name, value in record.headers],
            partition=record.partition,
            timestamp_ms=record.timestamp,
        )
        future.add_callback(succeeded)
        future.add_errback(failed)

    def close(self, seconds: float) -> None:
        """Send what is still waiting, for at most ``seconds``, then end its thread and connections."""
        if self._producer is None:
            return
        try:
            self._producer.close(timeout=seconds)
        except kafka_errors.KafkaTimeoutError:
            # close() gives up before it has ended its thread when flushing takes too long.
            self.watch.shut()
            self._producer._sender.force_close()
            self._producer._sender.join(1.0)
