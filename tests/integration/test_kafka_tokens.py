"""OAUTHBEARER by client credentials with a real Kafka, which verifies the tokens of a small token server."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import Any

from confluent_kafka import Producer
from twisted.internet.defer import Deferred, gatherResults

from tests.integration.proxy import ProxyProcess
from tests.integration.secured import SecuredKafka, secured
from tests.integration.security import SecurityCase, proxy_closes, upload
from tests.integration.stack import in_thread
from tests.integration.test_cli import COMMAND
from tests.integration.token_server import TokenServer

LIFETIME = 3.0
"""Seconds that a token lives."""
LOAD_SECONDS = 8.0


def say(proxy: ProxyProcess) -> str:
    """What /readyz says, as one text."""
    return str(proxy.readiness())


class RenewalTests(SecurityCase):
    async def test_short_tokens_are_renewed_under_load_and_nothing_fails(self) -> None:
        kafka = await secured()
        server = TokenServer(kafka.tokens.key, kafka.listener)
        self.addCleanup(in_thread, server.stop)
        topic = await kafka.stack.new_topic("tokens")
        own = await kafka.stack.new_topic("own-tokens")
        token = kafka.with_token(
            server.url(seconds=str(LIFETIME)),
            LFS_KAFKA_OAUTH_CA=str(kafka.authority.file),
            LFS_LOG_LEVEL="debug",
        )
        relay, lent = await self.start(token, {**token, "LFS_KAFKA_CLIENT_IDENTITY": "proxy"})
        sent = await gatherResults(
            [
                in_thread(self.produce, lent, topic, {}),
                in_thread(self.produce, relay, own, self.own_token(kafka)),
                in_thread(self.post, lent, topic),
                in_thread(self.post, relay, topic),
            ]
        )
        self.assertGreater(min(sent), 20)
        by_its_own = sent[1]
        self.assertEqual(len(await self.blobs(kafka, topic)), sum(sent) - by_its_own)
        # A client that renews its own token late, on a busy machine, is cut off and sends again.
        self.assertGreaterEqual(len(await self.blobs(kafka, own)), by_its_own)
        # Each of two proxies has fetched one for each four fifths of a life.
        self.assertGreaterEqual(len(server.issued), 2 * (LOAD_SECONDS // LIFETIME))
        for proxy in (relay, lent):
            self.assertEqual(proxy.readiness()["status"], "ready")
            self.assertEqual(proxy_closes(proxy), 0)
            self.assertNotRegex(proxy.log, "refuse|renewed|cannot be")

    def own_token(self, kafka: SecuredKafka) -> dict[str, Any]:
        """A client's own sign-in, with tokens as short."""

        def fetch(_: str) -> tuple[str, float]:
            return kafka.tokens.key.token("alice", LIFETIME), time.time() + LIFETIME

        return {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": fetch}

    def produce(self, proxy: ProxyProcess, topic: str, signed: dict[str, Any]) -> int:
        """Produce for LOAD_SECONDS; how many records were delivered, if none failed."""
        producer = Producer({"bootstrap.servers": proxy.bootstrap, "log_level": 0, **signed})
        failed: list[str] = []
        until, sent = time.monotonic() + LOAD_SECONDS, 0

        def delivered(error: Any, _: object) -> None:
            failed.extend([] if error is None else [error.str()])

        while time.monotonic() < until:
            producer.produce(topic, b"by Kafka", headers=[("LFS_BLOB", b"")], on_delivery=delivered)
            sent += 1
            self.assertEqual(producer.flush(20), 0)
            time.sleep(0.05)
        self.assertEqual(failed, [])
        return sent

    def post(self, proxy: ProxyProcess, topic: str) -> int:
        until, sent = time.monotonic() + LOAD_SECONDS, 0
        while time.monotonic() < until:
            status, answer = upload(proxy, topic, b"by HTTP")
            self.assertEqual(status, 201, answer)
            sent += 1
            time.sleep(0.05)
        return sent

    async def test_a_token_server_that_stops_and_comes_back(self) -> None:
        kafka = await secured()
        server = TokenServer(kafka.tokens.key)
        self.addCleanup(in_thread, server.stop)
        topic = await kafka.stack.new_topic("outage")
        (proxy,) = await self.start(kafka.with_token(server.url(seconds="5")))
        await in_thread(server.stop)

        def wait(pattern: str) -> None:
            until = time.monotonic() + 60
            while not re.search(pattern, say(proxy)):
                self.assertLess(time.monotonic(), until, say(proxy))
                time.sleep(0.05)

        gone = "the token server .* cannot be reached: connection refused"
        await in_thread(wait, f"'ready', 'notes': .*the proxy's token cannot be renewed: {gone}")
        self.assertEqual((await in_thread(upload, proxy, topic, b"one"))[0], 201)
        await in_thread(wait, f"Kafka: .*{gone}")
        # A broker's session may outlive the proxy's token by a second, as the end of both is rounded.
        await self.pause_for(2)
        status, answer = await in_thread(upload, proxy, topic, b"two")
        self.assertEqual(status, 503)
        self.assertRegex(answer["detail"], gone)
        await in_thread(server.start)
        await in_thread(wait, "'status': 'ready'")
        self.assertEqual((await in_thread(upload, proxy, topic, b"three"))[0], 201)
        await self.assert_published(kafka, topic, b"one", b"three")


class TroubleTests(SecurityCase):
    async def test_what_is_wrong_is_told_apart(self) -> None:
        kafka = await secured()
        server = kafka.tokens
        wrong = (
            (
                kafka.with_token(server.url(), LFS_KAFKA_OAUTH_CLIENT_SECRET="wrong-secret"),
                "refuses the client 'lfsproxy': 'invalid_client', 'no such client, or a wrong secret'",
            ),
            (
                kafka.with_token(server.url(), LFS_KAFKA_OAUTH_SCOPE="other"),
                "'invalid_scope'; is LFS_",
            ),
            (kafka.with_token(server.url(delay="20")), "has not answered within"),
            (
                kafka.with_token(server.keys.replace("/keys", "").replace("http:", "https:")),
                "cannot be reached: TLS: ",
            ),
            (
                kafka.with_token(server.url(audience="somebody else")),
                "the broker refuses the proxy's sign-in by OAUTHBEARER as 'lfsproxy': 'invalid_token'",
            ),
            (
                kafka.with_token(server.url(skew="3600")),
                "'invalid_token' (this machine's clock is about 3600 s behind the token server's)",
            ),
        )
        starts = [Deferred.fromCoroutine(self.start(settings, until=problem)) for settings, problem in wrong]
        proxies = [proxy for (proxy,) in await gatherResults(starts, consumeErrors=True)]
        for proxy, (_, problem) in zip(proxies, wrong, strict=True):
            lines = [line for line in proxy.log.splitlines() if problem in line]
            self.assertEqual(len([line for line in lines if "Kafka cannot be used" in line]), 1, proxy.log)

    async def test_commands_sign_in_and_say_what_is_wrong(self) -> None:
        kafka = await secured()
        topic = await kafka.stack.new_topic("command")
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(("LFS_", "AWS_"))}
        at = ("--topic", topic, "--bootstrap", kafka.address("TOKENS"))

        def run(url: str, **more: str) -> tuple[int, str, str]:
            settings = kafka.with_token(url, **more)
            environment = {**inherited, **kafka.stack.environment, **settings}
            done = subprocess.run(
                [*COMMAND, "produce", "-", *at],
                input=b"typed",
                capture_output=True,
                check=False,
                env=environment,
                timeout=60,
            )
            return done.returncode, done.stdout.decode(), done.stderr.decode()

        url = kafka.tokens.url()
        self.assertEqual((await in_thread(run, url))[:2], (0, f"{topic}:0:0\n"))
        refused = await in_thread(lambda: run(url, LFS_KAFKA_OAUTH_CLIENT_SECRET="wrong-secret"))
        self.assertRegex(refused[2], r"^Error: the token server .* refuses the client 'lfsproxy': .*\n$")
        other = await in_thread(run, kafka.tokens.url(audience="other"))
        self.assertRegex(
            other[2],
            r"^Error: the broker refuses lfsproxy's sign-in by OAUTHBEARER as 'lfsproxy': 'invalid_token'\n$",
        )
