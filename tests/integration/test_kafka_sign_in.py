"""The proxy's sign-ins with a real Kafka: refused ones, and those that are renewed."""

from __future__ import annotations

import re
from time import monotonic as seconds
from typing import Any, cast

from confluent_kafka import Producer
from kafka import KafkaProducer
from twisted.internet import reactor
from twisted.protocols.portforward import ProxyFactory, ProxyServer

from lfsproxy.devstack.ports import HOST
from lfsproxy.wire.sasl import REFUSED_SECONDS
from tests.integration.clients.python import read_topic
from tests.integration.clients.raw import RawClient
from tests.integration.clients.security import of_kafka_python, of_librdkafka
from tests.integration.secured import PASSWORDS, SESSION_SECONDS, secured
from tests.integration.security import SecurityCase, proxy_closes, requests, upload
from tests.integration.stack import in_thread
from tests.relay.records import batch, produce
from tests.relay.records import lfs as lfs_record
from tests.relay.sasl import authenticate, handshake

HANDSHAKE = b"\x00\x11\x00\x01"
"""SaslHandshake version 1, as a request's header has it."""


class CountingServer(ProxyServer):
    """Passes bytes on, and counts sign-ins."""

    def dataReceived(self, data: bytes) -> None:
        self.factory.handshakes += data.count(HANDSHAKE)  # type: ignore[attr-defined]
        super().dataReceived(data)  # type: ignore[no-untyped-call]


class CountingFactory(ProxyFactory):
    protocol = CountingServer
    handshakes = 0


class RefusedTests(SecurityCase):
    async def test_wrong_credentials_are_told_once_and_not_tried_again_and_again(self) -> None:
        kafka = await secured()
        counting: Any = CountingFactory(HOST, kafka.kafka.listener_ports["SASL"])
        port: Any = cast(Any, reactor).listenTCP(0, counting, interface=HOST)
        self.addCleanup(port.stopListening)
        settings = kafka.environment(
            "SASL",
            "SCRAM-SHA-256",
            LFS_KAFKA_SASL_PASSWORD="wrong-password",
            LFS_KAFKA_CLIENT_IDENTITY="proxy",
            LFS_KAFKA_BROKERS=f"{HOST}:{port.getHost().port}",
        )
        begun = seconds()
        (proxy,) = await self.start(settings, until="the broker refuses the proxy's sign-in")
        self.assertRegex(
            proxy.readiness()["problems"][0],
            "^Kafka: .* by SCRAM-SHA-256 as 'proxy': Authentication failed",
        )

        def knock() -> None:
            for _ in range(20):
                self.assertIsNone(RawClient(proxy.kafka_port).receive())

        await in_thread(knock)
        for _ in range(3):
            status, answer = await in_thread(upload, proxy, "demo-topic", b"x")
            self.assertEqual(status, 503)
            self.assertIn("sign-in by SCRAM-SHA-256 as 'proxy'", answer["detail"])
        await self.pause_for(2)
        # One for the relay, one for the publisher, as often as they may try again.
        self.assertLessEqual(counting.handshakes, 2 * (1 + (seconds() - begun) // REFUSED_SECONDS))
        # Besides, each upload and each request has its own line, with the reason.
        log = [line for line in proxy.log.splitlines() if not re.search("upload result=|POST /v1/", line)]
        lines = [line for line in log if re.search("sign-in|Sasl|authentication", line)]
        self.assertEqual([bool(re.search("cannot be used|turned away", line)) for line in lines], [True] * 2)


class ExpiryTests(SecurityCase):
    """Sessions that end (KIP-368), in both identities at once."""

    async def test_sessions_are_renewed(self) -> None:
        kafka = await secured()
        topic = await kafka.stack.new_topic("expiry")
        relay, lent = await self.start(
            kafka.environment("SHORT", "SCRAM-SHA-256"),
            kafka.environment("SHORT", "PLAIN", LFS_KAFKA_CLIENT_IDENTITY="proxy"),
        )
        signed = of_kafka_python(kafka, "SASL_PLAINTEXT", "SCRAM-SHA-512")
        producer = await in_thread(KafkaProducer, bootstrap_servers=relay.bootstrap, **signed)
        self.addCleanup(in_thread, producer.close)
        clients = {name: RawClient(relay.node_port) for name in ("renewed", "expired")}
        clients["lent"] = RawClient(lent.node_port)

        def sign_in(client: RawClient) -> None:
            for frame in (handshake(1), authenticate(2, b"\0alice\0" + PASSWORDS["alice"].encode())):
                self.assertEqual((client.ask(frame) or b"")[:2], b"\0\0")

        def send(name: str) -> bool:
            return clients[name].ask(produce(9, batch(lfs_record(name.encode())), topic=topic)) is not None

        def publish() -> None:
            producer.send(topic, b"library", headers=[("LFS_BLOB", b"")]).get(20)
            self.assertEqual(upload(relay, topic, b"http")[0], 201)

        await in_thread(publish)
        connections = requests(relay, "ApiVersions")
        for name in ("expired", "renewed"):
            await in_thread(sign_in, clients[name])
        begun = seconds()
        await self.pause_for(SESSION_SECONDS * 0.5)
        await in_thread(sign_in, clients["renewed"])
        await self.pause_for(max(0, begun + SESSION_SECONDS * 1.15 - seconds()))
        answered = {name: await in_thread(send, name) for name in clients}
        self.assertEqual(answered, {"renewed": True, "expired": False, "lent": True})
        await in_thread(publish)
        self.assertEqual(requests(relay, "ApiVersions"), connections)
        self.assertGreater(requests(relay, "SaslHandshake"), 3 + connections)
        self.assertEqual(proxy_closes(lent), 0)
        records = await in_thread(read_topic, kafka.kafka.bootstrap, topic)
        self.assertEqual(len(records), 6)


class AgeTests(SecurityCase):
    """LFS_KAFKA_MAX_CONNECTION_AGE with sign-ins, over TLS: clients connect and sign in again."""

    async def test_no_producer_has_an_error(self) -> None:
        kafka = await secured()
        topic = await kafka.stack.new_topic("age")
        (proxy,) = await self.start(
            kafka.environment(
                "SASL",
                "SCRAM-SHA-256",
                LFS_KAFKA_MAX_CONNECTION_AGE="2",
                LFS_KAFKA_LISTENER_TLS_CERT=str(kafka.listener.certificate),
                LFS_KAFKA_LISTENER_TLS_KEY=str(kafka.listener.key),
            )
        )
        signed = of_librdkafka(kafka, "SASL_SSL", "SCRAM-SHA-512")
        lent = {name.replace("_", "."): value for name, value in signed.items()}
        by_librdkafka = Producer({"bootstrap.servers": proxy.bootstrap, "log_level": 0, **lent})
        by_kafka_python = await in_thread(
            KafkaProducer, bootstrap_servers=proxy.bootstrap, **of_kafka_python(kafka, "SASL_SSL", "PLAIN")
        )
        self.addCleanup(in_thread, by_kafka_python.close)
        failed: list[object] = []

        def delivered(error: object, _: object) -> None:
            failed.extend([] if error is None else [error])

        def send() -> None:
            by_librdkafka.produce(topic, b"librdkafka", on_delivery=delivered)
            self.assertEqual(by_librdkafka.flush(20), 0)
            by_kafka_python.send(topic, b"kafka-python", headers=[("LFS_BLOB", b"")]).get(20)

        for _ in range(4):
            await in_thread(send)
            # Longer than the silence in which a connection is closed that is old.
            await self.pause_for(2.5)
        await in_thread(send)
        self.assertEqual(failed, [])
        self.assertGreater(proxy_closes(proxy, "max_connection_age"), 3)
        self.assertEqual(proxy_closes(proxy), proxy_closes(proxy, "max_connection_age"))
        self.assertEqual(len(await in_thread(read_topic, kafka.kafka.bootstrap, topic)), 10)
