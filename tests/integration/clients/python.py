"""The three Kafka clients for Python: confluent-kafka (librdkafka), kafka-python and aiokafka.

Each function sends records without waiting for each other, and returns what became of each, in order. A
transaction is committed, or aborted where one of its records failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.integration.clients.records import BATCH_SIZE, Mode, Outcome, Record

MOST = 64 * 1024 * 1024
LINGER_MS = 20
SECONDS = 60


def librdkafka(
    bootstrap: str, topic: str, records: Sequence[Record], mode: Mode, **config: Any
) -> list[Outcome]:
    """By confluent-kafka. ``config`` has librdkafka's names with ``_`` in place of the dots."""
    from confluent_kafka import KafkaException, Producer

    settings: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "compression.type": mode.codec,
        "acks": mode.acks,
        "enable.idempotence": mode.idempotent or bool(mode.transactional_id),
        "linger.ms": LINGER_MS,
        "batch.size": BATCH_SIZE,
        "message.max.bytes": MOST,
        "broker.address.family": "v4",
        "log_level": 0,
    }
    if mode.transactional_id:
        settings["transactional.id"] = mode.transactional_id
    settings.update({name.replace("_", "."): value for name, value in config.items()})
    producer = Producer(settings)
    outcomes = [Outcome(error="none")] * len(records)
    if mode.transactional_id:
        producer.init_transactions(SECONDS)
        producer.begin_transaction()

    def report(index: int) -> Any:
        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                outcomes[index] = Outcome(-1, error.name(), error.str())
            else:
                offset = message.offset()
                outcomes[index] = Outcome(-1 if offset is None else offset)

        return delivered

    for index, record in enumerate(records):
        try:
            producer.produce(
                topic,
                record.value,
                record.key,
                record.partition,
                headers=list(record.headers),
                on_delivery=report(index),
            )
        except KafkaException as error:
            outcomes[index] = Outcome(-1, error.args[0].name(), error.args[0].str())
    producer.flush(SECONDS)
    if mode.transactional_id:
        if any(outcome.error for outcome in outcomes):
            producer.abort_transaction(SECONDS)
        else:
            producer.commit_transaction(SECONDS)
    return outcomes


def _settings(bootstrap: str, mode: Mode) -> dict[str, Any]:
    """What kafka-python's and aiokafka's producers are told by the same names."""
    return {
        "bootstrap_servers": bootstrap,
        "compression_type": None if mode.codec == "none" else mode.codec,
        "acks": "all" if mode.acks == "all" else int(mode.acks),
        "enable_idempotence": mode.idempotent or bool(mode.transactional_id),
        "transactional_id": mode.transactional_id or None,
        "linger_ms": LINGER_MS,
        "max_request_size": MOST,
    }


def kafka_python(
    bootstrap: str, topic: str, records: Sequence[Record], mode: Mode, **config: Any
) -> list[Outcome]:
    """By kafka-python. ``config`` is KafkaProducer's."""
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    settings = {**_settings(bootstrap, mode), "batch_size": BATCH_SIZE}
    producer = KafkaProducer(**{**settings, **config})
    try:
        if mode.transactional_id:
            producer.init_transactions()
            producer.begin_transaction()
        sent = [producer.send(topic, r.value, r.key, list(r.headers), partition=r.partition) for r in records]
        outcomes = []
        for future in sent:
            try:
                outcomes.append(Outcome(future.get(SECONDS).offset))
            except KafkaError as error:
                outcomes.append(Outcome(-1, type(error).__name__, str(error)))
        if mode.transactional_id:
            if any(outcome.error for outcome in outcomes):
                producer.abort_transaction()
            else:
                producer.commit_transaction()
        return outcomes
    finally:
        producer.close(timeout=SECONDS)


def aiokafka(
    bootstrap: str, topic: str, records: Sequence[Record], mode: Mode, **config: Any
) -> list[Outcome]:
    """By aiokafka. ``config`` is AIOKafkaProducer's."""
    return asyncio.run(_aiokafka(bootstrap, topic, records, mode, config))


async def _aiokafka(
    bootstrap: str, topic: str, records: Sequence[Record], mode: Mode, config: dict[str, Any]
) -> list[Outcome]:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    settings = {**_settings(bootstrap, mode), "max_batch_size": BATCH_SIZE}
    producer = AIOKafkaProducer(**{**settings, **config})
    await producer.start()
    try:
        if mode.transactional_id:
            await producer.begin_transaction()
        sent = [
            await producer.send(topic, r.value, r.key, r.partition, headers=list(r.headers)) for r in records
        ]
        outcomes = []
        for result in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(result, KafkaError):
                outcomes.append(Outcome(-1, type(result).__name__, str(result)))
            elif isinstance(result, BaseException):
                raise result
            else:
                outcomes.append(Outcome(-1 if result is None else result.offset))
        if mode.transactional_id:
            if any(outcome.error for outcome in outcomes):
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
        return outcomes
    finally:
        await producer.stop()


def read_topic(
    bootstrap: str, topic: str, *, isolation: str = "read_committed", **config: Any
) -> list[Record]:
    """Every record of a topic that is there now, by librdkafka, partition by partition in order."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reading",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "broker.address.family": "v4",
            "fetch.message.max.bytes": MOST,
            **{name.replace("_", "."): value for name, value in config.items()},
        }
    )
    try:
        partitions = list(consumer.list_topics(topic, SECONDS).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        open_partitions = set(partitions)
        records = []
        while open_partitions:
            message: Any = consumer.poll(SECONDS)
            if message is None:
                raise TimeoutError(f"{topic} could not be read to its end within {SECONDS} s")
            problem = message.error()
            if problem is None:
                headers = tuple(message.headers() or ())
                records.append(
                    Record(message.value(), headers, message.key(), message.partition(), message.offset())
                )
            elif problem.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            else:
                raise KafkaException(problem)
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def read_by_kafka_python(bootstrap: str, topic: str, **config: Any) -> list[Record]:
    """Every record of a topic that is there now, by kafka-python. ``config`` is KafkaConsumer's."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, **config)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        records = []
        while any(consumer.position(each) < end for each, end in ends.items()):
            for read in consumer.poll(timeout_ms=1000).values():
                records += [_read(one) for one in read]
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def read_by_aiokafka(bootstrap: str, topic: str, **config: Any) -> list[Record]:
    """Every record of a topic that is there now, by aiokafka. ``config`` is AIOKafkaConsumer's."""
    return asyncio.run(_read_by_aiokafka(bootstrap, topic, config))


async def _read_by_aiokafka(bootstrap: str, topic: str, config: dict[str, Any]) -> list[Record]:
    from aiokafka import AIOKafkaConsumer

    # The first position, too: else it may be reset to the end behind the seek's back.
    first = {"auto_offset_reset": "earliest", **config}
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, enable_auto_commit=False, **first)
    await consumer.start()
    try:
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(consumer.assignment())
        records = []
        while any([await consumer.position(each) < end for each, end in ends.items()]):
            for read in (await consumer.getmany(timeout_ms=1000)).values():
                records += [_read(one) for one in read]
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


def _read(one: Any) -> Record:
    """A record as kafka-python and aiokafka give it."""
    return Record(one.value, tuple(one.headers), one.key, one.partition, one.offset)
