"""A test case with a real Kafka that demands sign-ins, and proxies in front of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.integration.clients.python import read_topic
from tests.integration.clients.records import Outcome
from tests.integration.proxy import ProxyProcess
from tests.integration.secured import PASSWORDS, SecuredKafka, secured
from tests.integration.stack import in_thread

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
        own = ("LFS_KAFKA_SASL_PASSWORD", "LFS_KAFKA_OAUTH_CLIENT_SECRET")
        secrets = [proxy.environment.get(name, "-" * 99) for name in own]
        # What every JSON Web Token begins with.
        for secret in [*PASSWORDS.values(), *secrets, "eyJ"]:
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


def proxy_closes(proxy: ProxyProcess, reason: str = "") -> float:
    """How many clients' connections the proxy closed, for that reason or any."""
    samples = proxy.metrics()
    name = f'lfsproxy_kafka_closed_total{{reason="{reason}'
    return sum(value for sample, value in samples.items() if sample.startswith(name))


def requests(proxy: ProxyProcess, api: str) -> float:
    """How many requests of an API clients have sent."""
    return proxy.metrics()[f'lfsproxy_kafka_requests_total{{api="{api}"}}']
