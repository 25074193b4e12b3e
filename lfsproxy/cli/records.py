"""Reading records for ``consume`` and ``download``: single partitions, no consumer group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import click
from kafka import KafkaConsumer, TopicPartition

from lfsproxy.cli.access import open_client
from lfsproxy.cli.signing import Identity, SigningClient

ANSWER_MS = 15_000
"""Milliseconds that somebody at a terminal waits for one answer."""


class AskingClient(SigningClient):
    """A network client whose questions create no topic: the manager does not pass that argument on."""

    def __init__(self, identity: Identity, **configs: Any) -> None:
        super().__init__(identity, **configs)
        self.cluster.config["allow_auto_create_topics"] = False


def open_consumer(arguments: dict[str, Any]) -> Any:
    """A consumer without a group, that sees committed records only; takes the ``kafka_options`` out."""
    return open_client(
        KafkaConsumer,
        arguments,
        AskingClient,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        request_timeout_ms=ANSWER_MS,
    )


def partitions_of(consumer: Any, topic: str) -> list[TopicPartition]:
    """All partitions of a topic. Raises ClickException when there is no such topic."""
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise click.ClickException(f"the topic {topic} does not exist")
    return [TopicPartition(topic, index) for index in sorted(found)]


def follow(
    consumer: Any,
    most: int | None,
    idle: float | None,
    clock: Callable[[], float] = time.monotonic,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Any]:
    """The records of the partitions assigned, until ``most`` came, or none for ``idle`` seconds.

    ``check`` is called now and then; what it raises ends this.
    """
    count, last = 0, clock()
    while most is None or count < most:
        check()
        batch = consumer.poll(timeout_ms=200, **({} if most is None else {"max_records": most - count}))
        for records in batch.values():
            for record in records:
                count += 1
                yield record
                # What is done with a record is not idling.
                last = clock()
        if idle is not None and clock() - last >= idle:
            return


def record_at(arguments: dict[str, Any], topic: str, partition: int, offset: int) -> Any:
    """The record at an offset. ``arguments`` has the ``kafka_options``. ClickException when there is none."""
    consumer = open_consumer(arguments)
    try:
        place = TopicPartition(topic, partition)
        if place not in partitions_of(consumer, topic):
            raise click.ClickException(f"the topic {topic} has no partition {partition}")
        consumer.assign([place])
        if consumer.beginning_offsets([place])[place] <= offset < consumer.end_offsets([place])[place]:
            consumer.seek(place, offset)
            for record in follow(consumer, 1, ANSWER_MS / 1000):
                if record.offset == offset:
                    return record
        raise click.ClickException(f"there is no record at {topic}:{partition}:{offset}")
    finally:
        consumer.close()
