"""Sign-ins and TLS with a real Kafka: both identities, both doors, every mechanism; and who is kept out."""

from __future__ import annotations

import json
import os
import random
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from time import monotonic as seconds
from typing import Any, cast

from kafka import KafkaProducer
from kafka.net.sasl.scram import ScramClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST
from lfsproxy.wire.sasl import REFUSED_SECONDS
from tests.integration.clients import java
from tests.integration.clients.python import kafka_python, librdkafka, read_topic
from tests.integration.clients.raw import RawClient
from tests.integration.clients.records import Mode, Outcome, lfs
from tests.integration.clients.security import CLIENTS, of_kafka_python, of_librdkafka
from tests.integration.proxy import ProxyProcess
from tests.integration.secured import MECHANISMS, PASSWORDS, SESSION_SECONDS, SecuredKafka, secured, token
from tests.integration.stack import in_thread
from tests.integration.test_cli import COMMAND
from tests.relay.records import batch, produce
from tests.relay.records import lfs as lfs_record
from tests.relay.sasl import authenticate, handshake

MIB = 1024 * 1024
AUTHENTICATION_FAILED = (58).to_bytes(2)
HANDSHAKE = b"\x00\x11\x00\x01"
"""SaslHandshake version 1, as a request's header has it."""

_shared: dict[str, ProxyProcess] = {}
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def upload(proxy: ProxyProcess, topic: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """POST to the HTTP API: status and answer. Blocks."""
    request = urllib.request.Request(f"{proxy.http}/v1/topics/{topic}/records", body)
    try:
        with _opener.open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class SecurityCase(TestCase):
    timeout = 180

    async def start(self, *settings: dict[str, str], until: str = "") -> list[ProxyProcess]:
        """A proxy per settings, all started at once, until ready or until /readyz complains of ``until``.

        No password is in the log of any of them at the end of the test.
        """
        kafka = await secured()
        proxies = [ProxyProcess({**kafka.stack.environment, **each}) for each in settings]

        def begin(proxy: ProxyProcess) -> None:
            complains = (lambda: until in str(proxy.readiness())) if until else None
            proxy.start(until=complains)

        for proxy in proxies:
            self.addCleanup(in_thread, proxy.close)
            self.addCleanup(self.check_log, proxy)
        await gatherResults([in_thread(begin, proxy) for proxy in proxies], consumeErrors=True)
        return proxies

    async def share(self, name: str, settings: dict[str, str]) -> ProxyProcess:
        """A proxy that several tests use, and that ends with the trial run."""
        kafka = await secured()
        if name not in _shared:
            _shared[name] = proxy = ProxyProcess({**kafka.stack.environment, **settings})
            reactor.addSystemEventTrigger("before", "shutdown", proxy.close)
            await in_thread(proxy.start)
        self.addCleanup(self.check_log, _shared[name])
        return _shared[name]

    def check_log(self, proxy: ProxyProcess) -> None:
        secrets = [*PASSWORDS.values(), proxy.environment.get("LFS_KAFKA_SASL_PASSWORD", "-" * 99)]
        for secret in secrets:
            self.assertNotIn(secret, proxy.log)

    def pause_for(self, seconds: float) -> Deferred[None]:
        return deferLater(reactor, seconds, lambda: None)

    async def blobs(self, kafka: SecuredKafka, topic: str) -> list[bytes]:
        """What the store has of a topic."""

        def read() -> list[bytes]:
            s3, bucket = kafka.stack.s3_client(), kafka.stack.bucket
            found = s3.list_objects_v2(Bucket=bucket, Prefix=f"lfs/default/{topic}/").get("Contents", [])
            return [s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found]

        return await in_thread(read)

    async def assert_published(self, kafka: SecuredKafka, topic: str, *values: bytes) -> None:
        """The topic has an envelope for each value and no other record, and the store the blobs."""
        records = await in_thread(read_topic, kafka.kafka.bootstrap, topic)
        envelopes = [json.loads(record.value or b"") for record in records]
        self.assertEqual(sorted(each["content_length"] for each in envelopes), sorted(map(len, values)))
        self.assertEqual(sorted(await self.blobs(kafka, topic)), sorted(values))

    def assert_sent(self, outcomes: list[Outcome]) -> None:
        self.assertEqual([(each.error, each.message) for each in outcomes], [("", "")] * len(outcomes))


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
            raw = RawClient(proxy.kafka_port)._socket
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


def proxy_closes(proxy: ProxyProcess, reason: str = "") -> float:
    """How many clients' connections the proxy closed because of an error."""
    samples = proxy.metrics()
    name = f'lfsproxy_kafka_closed_total{{reason="{reason}'
    return sum(value for sample, value in samples.items() if sample.startswith(name))


def requests(proxy: ProxyProcess, api: str) -> float:
    """How many requests of an API clients have sent."""
    return proxy.metrics()[f'lfsproxy_kafka_requests_total{{api="{api}"}}']
