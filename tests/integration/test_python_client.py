"""The Python client beside the Kafka clients it is for: deserializers, aiokafka."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from aiokafka import AIOKafkaConsumer
from confluent_kafka import DeserializingConsumer, Message
from confluent_kafka.error import ValueDeserializationError
from kafka import KafkaConsumer, KafkaProducer
from twisted.trial.unittest import TestCase

from lfsproxy.client import (
    BlobReader,
    ProxySource,
    Published,
    RecordCoordinates,
    Uploader,
    aio,
    deserializers,
    kafka_python,
    tx,
)
from lfsproxy.client.reader import static_credentials
from lfsproxy.errors import BlobMissing, LfsError
from tests.integration.proxy import shared_proxy
from tests.integration.stack import Stack, in_thread, stack

BLOBS = [bytes([number]) * 300_000 for number in range(3)]
SECONDS = 30


class ConsumerTests(TestCase):
    """A topic of an ordinary record between blobs, of which the one at offset 2 may be lost."""

    timeout = 120
    servers: Stack
    topic: str
    published: list[Published]

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers, proxy = await stack(), await shared_proxy()
        self.topic = await self.servers.new_topic("python")
        self.published = await in_thread(self.publish, proxy.http)

    def publish(self, url: str) -> list[Published]:
        with Uploader(url) as proxy:
            first = proxy.upload(self.topic, BLOBS[0])
            producer = KafkaProducer(bootstrap_servers=self.servers.kafka.bootstrap)
            producer.send(self.topic, b"ordinary").get(SECONDS)
            producer.close()
            return [first, *(proxy.upload(self.topic, blob) for blob in BLOBS[1:])]

    @property
    def wanted(self) -> list[bytes]:
        return [BLOBS[0], b"ordinary", *BLOBS[1:]]

    def lose_a_blob(self) -> None:
        envelope = self.published[1].envelope
        self.servers.s3_client().delete_object(Bucket=envelope.s3_bucket, Key=envelope.s3_key)

    def arguments(self) -> dict[str, Any]:
        return {
            "environment": self.servers.environment,
            "credentials": static_credentials(self.servers.s3.access_key, self.servers.s3.secret_key),
        }

    def reader(self) -> BlobReader:
        reader = BlobReader.from_environment(**self.arguments())
        self.addCleanup(reader.close)
        return reader

    async def test_twisted_by_the_proxy_alone(self) -> None:
        reader = tx.BlobReader(source=ProxySource((await shared_proxy()).http))
        self.addCleanup(reader.close)
        for published, wanted in zip(self.published, BLOBS, strict=True):
            value = published.envelope.to_bytes()
            place = RecordCoordinates(published.topic, published.partition, published.offset)
            self.assertEqual(await reader.fetch(value, record=place), wanted)
            async with reader.open(value, record=place) as blob:
                self.assertEqual(b"".join([chunk async for chunk in blob]), wanted)
        gone = RecordCoordinates(self.topic, self.published[0].partition, 1000)
        await self.assertFailure(reader.fetch(value, record=gone), LfsError)

    def confluent(self) -> DeserializingConsumer:
        consumer: DeserializingConsumer = DeserializingConsumer(
            {
                "bootstrap.servers": self.servers.kafka.bootstrap,
                "group.id": self.topic,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "broker.address.family": "v4",
                "value.deserializer": deserializers.LfsDeserializer(self.reader()),
            }
        )
        self.addCleanup(consumer.close)
        consumer.subscribe([self.topic])
        return consumer

    def polled(self, consumer: DeserializingConsumer) -> Message:
        message = consumer.poll(SECONDS)
        assert message is not None
        return message

    async def test_confluent_kafka(self) -> None:
        def read() -> list[Any]:
            consumer = self.confluent()
            return [self.polled(consumer).value() for _ in self.wanted]

        self.assertEqual(await in_thread(read), self.wanted)

    async def test_confluent_kafka_goes_on_after_a_lost_blob(self) -> None:
        def read() -> tuple[Exception, Any]:
            self.lose_a_blob()
            consumer = self.confluent()
            for _ in range(2):
                self.polled(consumer)
            error = self.assertRaises(ValueDeserializationError, consumer.poll, SECONDS)
            return error.exception, self.polled(consumer).value()

        error, following = await in_thread(read)
        self.assertIsInstance(error, BlobMissing)
        self.assertEqual(following, BLOBS[2])

    def kafka_python(self) -> Any:
        consumer = KafkaConsumer(
            self.topic,
            bootstrap_servers=self.servers.kafka.bootstrap,
            auto_offset_reset="earliest",
            consumer_timeout_ms=SECONDS * 1000,
            value_deserializer=kafka_python.LfsDeserializer(self.reader()),
        )
        self.addCleanup(consumer.close)
        return consumer

    async def test_kafka_python(self) -> None:
        def read() -> list[Any]:
            consumer = self.kafka_python()
            return [next(consumer).value for _ in self.wanted]

        self.assertEqual(await in_thread(read), self.wanted)

    async def test_kafka_python_goes_on_after_a_seek_past_a_lost_blob(self) -> None:
        def read() -> tuple[list[Any], Any]:
            self.lose_a_blob()
            consumer = self.kafka_python()
            before = [next(consumer).value for _ in range(2)]
            self.assertRaises(BlobMissing, next, consumer)
            (partition,) = consumer.assignment()
            consumer.seek(partition, 3)
            return before, next(consumer).value

        self.assertEqual(await in_thread(read), ([BLOBS[0], b"ordinary"], BLOBS[2]))

    async def test_aiokafka(self) -> None:
        async def read() -> list[Any]:
            reader = aio.BlobReader.from_environment(**self.arguments())
            consumer = AIOKafkaConsumer(
                self.topic, bootstrap_servers=self.servers.kafka.bootstrap, auto_offset_reset="earliest"
            )
            await consumer.start()
            found: list[Any] = []
            try:
                async with aclosing(aio.resolve_records(reader, consumer)) as records:
                    async for each in records:
                        found.append(each.value)
                        if len(found) == len(self.wanted):
                            break
            finally:
                await consumer.stop()
                reader.close()
            return found

        self.assertEqual(await in_thread(lambda: asyncio.run(read())), self.wanted)
