"""Finding a record by its value, for an answer without an offset (a broker took a retry for a duplicate)."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from lfsproxy.broker.config import consumer_arguments
from lfsproxy.broker.signing import Identity, SigningClient
from lfsproxy.settings import Settings

SCAN_SECONDS = 15.0
"""How long a record is looked for: its client waits for the answer."""
SCAN_RECORDS = 1000
"""How far before the end is looked where it is not known where to begin."""


def find_value(
    settings: Settings,
    identity: Identity,
    topic: str,
    partition: int,
    value: bytes,
    first: int | None,
    make: Callable[..., Any] = KafkaConsumer,
    seconds: Callable[[], float] = time.monotonic,
) -> tuple[int, int] | None:
    """The (offset, timestamp in milliseconds) of the record with ``value``, or None. Blocks.

    Looks from offset ``first`` (where None: SCAN_RECORDS before the end) to the end as it is now, for at
    most SCAN_SECONDS.
    """
    consumer = make(kafka_client=partial(SigningClient, identity), **consumer_arguments(settings))
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        end = consumer.end_offsets([place])[place]
        begin = consumer.beginning_offsets([place])[place]
        consumer.seek(place, max(begin, end - SCAN_RECORDS if first is None else first))
        deadline = seconds() + SCAN_SECONDS
        while seconds() < deadline and consumer.position(place) < end:
            for record in consumer.poll(timeout_ms=500).get(place, ()):
                if record.value == value:
                    return int(record.offset), int(record.timestamp)
        return None
    finally:
        consumer.close()
