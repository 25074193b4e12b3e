"""Sign-ins and TLS with a real Kafka: both identities and doors, every mechanism; and clients kept out."""

from __future__ import annotations

import os
import random
import ssl
import subprocess
from typing import cast

from kafka.net.sasl.scram import ScramClient
from twisted.internet.defer import Deferred, gatherResults

from lfsproxy.codes import KafkaCode
from lfsproxy.devstack.ports import HOST
from tests.integration.clients import java
from tests.integration.clients.python import kafka_python, librdkafka, read_topic
from tests.integration.clients.raw import RawClient
from tests.integration.clients.records import Mode, lfs
from tests.integration.clients.security import CLIENTS, of_kafka_python, of_librdkafka
from tests.integration.proxy import ProxyProcess
from tests.integration.secured import MECHANISMS, SecuredKafka, secured, token
from tests.integration.security import SecurityCase, proxy_closes, upload
from tests.integration.stack import in_thread
from tests.integration.test_cli import COMMAND
from tests.relay.records import batch, produce
from tests.relay.records import lfs as lfs_record
from tests.relay.sasl import authenticate, handshake

MIB = 1024 * 1024
AUTHENTICATION_FAILED = KafkaCode.SASL_AUTHENTICATION_FAILED.to_bytes(2)


class RelayedTests(SecurityCase):
    """The client's own sign-in over TLS on both sides, with client certificates on both sides too."""

    async def relay(self, kafka: SecuredKafka) -> ProxyProcess:
        """A proxy that has little memory."""
        own = kafka.listener
        return await self.share(
            "relay",
            kafka.environment(
                "DOUBLE",
                "SCRAM-SHA-512",
                LFS_KAFKA_LISTENER_TLS_CERT=str(own.certificate),
                LFS_KAFKA_LISTENER_TLS_KEY=str(own.key),
                LFS_KAFKA_LISTENER_TLS_CLIENT_CA=str(kafka.authority.file),
                LFS_S3_PART_SIZE=str(5 * MIB),
                LFS_MAX_PASSTHROUGH_SIZE=str(MIB),
                LFS_UPLOAD_MEMORY=str(16 * MIB),
            ),
        )

    async def test_every_client_by_every_mechanism(self) -> None:
        await in_thread(java.require_compiler)
        kafka = await secured()
        proxy = await self.relay(kafka)
        topic = await kafka.stack.new_topic("relayed")
        values = []
        for name, (send, config) in CLIENTS.items():
            for mechanism in MECHANISMS:
                values.append(f"{name} by {mechanism}".encode())
                signed = config(kafka, "SASL_SSL", mechanism)
                records = [lfs(values[-1])]
                self.assert_sent(await in_thread(send, proxy.bootstrap, topic, records, Mode(), **signed))
        values.append(b"over HTTP")
        status, answer = await in_thread(upload, proxy, topic, values[-1])
        self.assertEqual((status, answer.get("offset")), (201, len(values) - 1), answer)
        signed = of_librdkafka(kafka, "SASL_SSL", "SCRAM-SHA-256", "bob")
        self.assertEqual(len(await in_thread(read_topic, proxy.bootstrap, topic, **signed)), len(values))
        await self.assert_published(kafka, topic, *values)

    async def test_a_java_tool(self) -> None:
        kafka = await secured()
        proxy = await self.relay(kafka)
        topic = await kafka.stack.new_topic("tool")
        signed = CLIENTS["java"][1](kafka, "SASL_SSL", "SCRAM-SHA-512")
        file = kafka.folder / "tool.properties"
        file.write_text("".join(f"{name.replace('_', '.')}={value}\n" for name, value in signed.items()))
        await in_thread(
            java.tool,
            proxy.bootstrap,
            "kafka-console-producer",
            *("--topic", topic, "--producer.config", str(file), "--property", "parse.headers=true"),
            stdin=b"LFS_BLOB:\tby a tool\n",
        )
        await self.assert_published(kafka, topic, b"by a tool")

    async def test_the_lfsproxy_command(self) -> None:
        kafka = await secured()
        proxy = await self.relay(kafka)
        topic = await kafka.stack.new_topic("command")
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("LFS_", "AWS_"))},
            **kafka.environment("DOUBLE", "SCRAM-SHA-256"),
        }

        def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
            command = [*COMMAND, *arguments, "--bootstrap", proxy.bootstrap]
            return subprocess.run(
                command,
                input=b"typed",
                capture_output=True,
                check=False,
                env={**environment, **more},
                timeout=60,
            )

        done = await in_thread(run, "produce", "-", "--topic", topic)
        self.assertEqual((done.returncode, done.stdout), (0, f"{topic}:0:0\n".encode()), done.stderr)
        done = await in_thread(run, "consume", topic, "--from-beginning", "--max-messages", "1")
        self.assertIn(b'"content_length":5', done.stdout, done.stderr)
        done = await in_thread(run, "consume", topic, LFS_KAFKA_SASL_PASSWORD="wrong")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            done.stderr,
            b"^Error: the broker refuses lfsproxy's sign-in by SCRAM-SHA-256 as 'proxy': Auth.*\n$",
        )

    async def test_a_large_record_costs_no_more_memory_than_the_settings_allow(self) -> None:
        kafka = await secured()
        proxy = await self.relay(kafka)
        topic = await kafka.stack.new_topic("large")
        value = random.Random(1).randbytes(64 * MIB)
        before = proxy.peak_memory
        signed = of_librdkafka(kafka, "SASL_SSL", "PLAIN")
        big = {"message_max_bytes": 128 * MIB, "batch_size": 128 * MIB}
        sent = await in_thread(librdkafka, proxy.bootstrap, topic, [lfs(value)], Mode(), **signed, **big)
        self.assert_sent(sent)
        self.assertLess(proxy.peak_memory - before, 40 * MIB)
        await self.assert_published(kafka, topic, value)

    async def test_a_client_without_a_certificate_is_kept_out(self) -> None:
        kafka = await secured()
        proxy = await self.relay(kafka)
        context = ssl.create_default_context(cafile=str(kafka.authority.file))

        def attempt() -> bytes:
            raw = RawClient(proxy.kafka_port).socket
            with context.wrap_socket(raw, server_hostname=HOST) as secure:
                # With TLS 1.3 the client hears of it when it reads.
                return secure.recv(1)

        await self.assertFailure(in_thread(attempt), ssl.SSLError, ConnectionError)
        await in_thread(self.wait_for_log, proxy, "peer did not return a certificate")

    def wait_for_log(self, proxy: ProxyProcess, text: str) -> None:
        for _ in range(100):
            if text in proxy.log:
                return
            ssl.RAND_bytes(MIB)
        self.fail(f"{text!r} is not in the log:\n{proxy.log}")

    async def test_a_new_certificate_is_used_without_a_restart(self) -> None:
        kafka = await secured()
        proxy = await self.relay(kafka)

        def seen() -> bytes:
            pem: str = ssl.get_server_certificate((HOST, proxy.kafka_port), timeout=20)
            return pem.encode()

        old = await in_thread(seen)
        new = kafka.authority.issue("renewed.example", HOST)
        for name in ("certificate", "key"):
            os.replace(getattr(new, name), getattr(kafka.listener, name))
        self.assertNotEqual(await in_thread(seen), old)
        self.assertIn("read the certificates anew", proxy.log)


class ProxyIdentityTests(SecurityCase):
    async def test_clients_need_no_sign_in_by_any_mechanism(self) -> None:
        kafka = await secured()
        topic = await kafka.stack.new_topic("lent")
        proxies = await self.start(
            *[
                kafka.environment(listener, mechanism, LFS_KAFKA_CLIENT_IDENTITY="proxy")
                for listener, mechanism in zip(("SASL", "SASLTLS") * 2, MECHANISMS, strict=True)
            ]
        )
        values = []
        for proxy, mechanism in zip(proxies, MECHANISMS, strict=True):
            for send in (librdkafka, kafka_python):
                values.append(f"{send.__name__} by {mechanism}".encode())
                self.assert_sent(await in_thread(send, proxy.bootstrap, topic, [lfs(values[-1])], Mode()))
            values.append(f"over HTTP by {mechanism}".encode())
            self.assertEqual((await in_thread(upload, proxy, topic, values[-1]))[0], 201)
            self.assertIn("LFS_KAFKA_CLIENT_IDENTITY is proxy", proxy.log)
        await self.assert_published(kafka, topic, *values)


class NoIdentityTests(SecurityCase):
    """LFS_KAFKA_SASL_MECHANISM is not set: the proxy only relays."""

    async def test_clients_are_served_and_the_http_api_says_what_is_missing(self) -> None:
        kafka = await secured()
        topic = await kafka.stack.new_topic("relay-only")
        proxy = await self.share("no identity", kafka.environment("SASL"))
        said = proxy.readiness()
        self.assertEqual(said["status"], "ready")
        self.assertIn("LFS_KAFKA_SASL_MECHANISM is not set", said["notes"][0])
        status, answer = await in_thread(upload, proxy, topic, b"x")
        self.assertEqual(status, 503)
        self.assertIn("LFS_KAFKA_SASL_MECHANISM", answer["detail"])
        for send, signed in (
            (librdkafka, of_librdkafka(kafka, "SASL_PLAINTEXT", "SCRAM-SHA-256")),
            (kafka_python, of_kafka_python(kafka, "SASL_PLAINTEXT", "OAUTHBEARER")),
        ):
            records = [lfs(send.__name__.encode())]
            self.assert_sent(await in_thread(send, proxy.bootstrap, topic, records, Mode(), **signed))
        await self.assert_published(kafka, topic, b"librdkafka", b"kafka_python")

    async def test_acls_hold(self) -> None:
        kafka = await secured()
        topic = await kafka.stack.new_topic("alices")
        await in_thread(kafka.allow_only, "alice", topic)
        proxy = await self.share("no identity", kafka.environment("SASL"))
        outcomes = {}
        for user in ("bob", "alice"):
            signed = of_librdkafka(kafka, "SASL_PLAINTEXT", "PLAIN", user)
            (outcomes[user],) = await in_thread(
                librdkafka, proxy.bootstrap, topic, [lfs(user.encode())], Mode(), **signed
            )
        self.assertEqual(outcomes["bob"].error, "TOPIC_AUTHORIZATION_FAILED")
        self.assertEqual(outcomes["alice"].error, "")
        await self.assert_published(kafka, topic, b"alice")

    async def test_nobody_uploads_before_signing_in(self) -> None:
        kafka = await secured()
        topic = await kafka.stack.new_topic("anonymous")
        proxy = await self.share("no identity", kafka.environment("SASL"))
        frame = produce(9, batch(lfs_record(bytes(200_000))), topic=topic)

        def attempt(*before: bytes) -> None:
            raw = RawClient(proxy.kafka_port)
            for each in before:
                self.assertEqual((raw.ask(each) or b"")[:2], b"\0\0")
            self.assertIsNone(raw.ask(frame))
            raw.close()

        def first_step(user: str) -> bytes:
            return cast(bytes, ScramClient(user, "whatever", "SCRAM-SHA-256").first_message())

        def attempts() -> None:
            for _ in range(100):
                attempt()
            attempt(handshake(1))
            attempt(handshake(1, "SCRAM-SHA-256"), authenticate(2, first_step("alice")))
            bearer = f"n,,\1auth=Bearer {token('alice', -600)}\1\1".encode()
            attempt(handshake(1, "OAUTHBEARER"), authenticate(2, bearer))

        await in_thread(attempts)
        self.assertEqual(await self.blobs(kafka, topic), [])
        self.assertEqual(proxy_closes(proxy, "not-signed-in"), 103)

    async def test_a_client_s_wrong_password_is_told_by_the_broker(self) -> None:
        kafka = await secured()
        proxy = await self.share("no identity", kafka.environment("SASL"))

        def attempt() -> bytes | None:
            raw = RawClient(proxy.kafka_port)
            raw.ask(handshake(1))
            return raw.ask(authenticate(2, b"\0alice\0wrong"))

        answer = await in_thread(attempt)
        self.assertEqual((answer or b"")[:2], AUTHENTICATION_FAILED)
        self.assertIn(b"Authentication failed", answer or b"")


class TlsTests(SecurityCase):
    async def test_a_client_certificate_is_the_proxy_s_identity(self) -> None:
        kafka = await secured()
        topic = await kafka.stack.new_topic("mutual")
        (proxy,) = await self.start(kafka.environment("MUTUAL"))
        self.assert_sent(await in_thread(librdkafka, proxy.bootstrap, topic, [lfs(b"kafka")], Mode()))
        self.assertEqual((await in_thread(upload, proxy, topic, b"http"))[0], 201)
        await self.assert_published(kafka, topic, b"kafka", b"http")
        self.assertIn("whoever reaches the Kafka port acts with the proxy's rights", proxy.log)

    async def test_what_is_wrong_is_said(self) -> None:
        kafka = await secured()
        wrong = (
            (kafka.environment("MISNAMED"), "its certificate is for other.example"),
            ({**kafka.environment("MUTUAL"), "LFS_KAFKA_TLS_CA": ""}, "authority that is not trusted"),
            (
                {**kafka.environment("MUTUAL"), "LFS_KAFKA_TLS_CERT": "", "LFS_KAFKA_TLS_KEY": ""},
                "tls alert",
            ),
            (
                {**kafka.environment("MUTUAL"), "LFS_KAFKA_BROKERS": kafka.kafka.bootstrap},
                "does not complete the TLS handshake",
            ),
        )
        starts = [Deferred.fromCoroutine(self.start(each, until=problem)) for each, problem in wrong]
        await gatherResults(starts, consumeErrors=True)
