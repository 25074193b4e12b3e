"""The servers that everything else is tested against: they start, keep their data, and end."""

from __future__ import annotations

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from twisted.internet.defer import ensureDeferred
from twisted.trial import unittest

from lfsproxy.devstack import KafkaServer
from tests.integration.stack import BUCKET, in_thread, own_kafka, own_s3, s3_client, stack


def produce(kafka: KafkaServer, topic: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    producer.send(topic, value, partition=0).get(20)
    producer.close()


def consume_one(kafka: KafkaServer, topic: str) -> bytes:
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, consumer_timeout_ms=20_000)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    value: bytes = next(iter(consumer)).value
    consumer.close()
    return value


class SharedStackTests(unittest.TestCase):
    async def test_a_record_and_an_object_come_back(self) -> None:
        s = await stack()
        topic = await s.new_topic()
        await in_thread(produce, s.kafka, topic, b"hello")
        self.assertEqual(await in_thread(consume_one, s.kafka, topic), b"hello")
        client = s.s3_client()
        await in_thread(
            client.put_object, Bucket=s.bucket, Key="k", Body=b"blob", Metadata={"lfs-topic": topic}
        )
        answer = await in_thread(client.get_object, Bucket=s.bucket, Key="k")
        self.assertEqual((answer["Body"].read(), answer["Metadata"]), (b"blob", {"lfs-topic": topic}))

    async def test_every_test_gets_the_same_servers(self) -> None:
        first = await stack()
        self.assertIs(await ensureDeferred(stack()), first)


class OwnServerTests(unittest.TestCase):
    async def test_kafka_keeps_records_and_port_over_restart_and_crash(self) -> None:
        kafka = await own_kafka(self)
        port = kafka.port
        await in_thread(kafka.create_topic, "kept")
        await in_thread(produce, kafka, "kept", b"before")
        await in_thread(kafka.restart)
        self.assertEqual(await in_thread(consume_one, kafka, "kept"), b"before")
        await in_thread(kafka.kill)
        await in_thread(kafka.start)
        self.assertEqual(await in_thread(consume_one, kafka, "kept"), b"before")
        self.assertEqual(kafka.port, port)

    async def test_s3_keeps_objects_over_restart(self) -> None:
        s3 = await own_s3(self)
        client = s3_client(s3)
        await in_thread(client.put_object, Bucket=BUCKET, Key="kept", Body=b"before")
        await in_thread(s3.restart)
        answer = await in_thread(client.get_object, Bucket=BUCKET, Key="kept")
        self.assertEqual(answer["Body"].read(), b"before")

    async def test_s3_serves_https_with_its_own_certificate(self) -> None:
        s3 = await own_s3(self, https=True)
        await in_thread(s3_client(s3).put_object, Bucket=BUCKET, Key="k", Body=b"x")
        self.assertTrue(s3.endpoint.startswith("https://"))

    async def test_kafka_takes_broker_settings_and_further_listeners(self) -> None:
        kafka = await own_kafka(
            self,
            config={
                "auto.create.topics.enable": "false",
                "sasl.enabled.mechanisms": "SCRAM-SHA-256",
                "listener.name.signed.scram-sha-256.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
            },
            listeners={"SIGNED": "SASL_PLAINTEXT"},
            scram_users={"alice": "wonderland"},
        )
        await in_thread(kafka.create_topic, "t")

        def as_alice() -> set[str]:
            consumer = KafkaConsumer(
                bootstrap_servers=f"127.0.0.1:{kafka.listener_ports['SIGNED']}",
                security_protocol="SASL_PLAINTEXT",
                sasl_mechanism="SCRAM-SHA-256",
                sasl_plain_username="alice",
                sasl_plain_password="wonderland",
            )
            topics = set(consumer.topics())
            consumer.close()
            return topics

        self.assertEqual(await in_thread(as_alice), {"t"})
