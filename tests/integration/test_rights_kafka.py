"""docs/operate/rights.md: the ACLs of its commands suffice, and without one what the page says fails."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer
from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lfsproxy.broker.client import kafka_client
from lfsproxy.devstack import KafkaServer
from lfsproxy.devstack.ports import HOST
from lfsproxy.devstack.tools import write_tools
from lfsproxy.errors import LfsError
from lfsproxy.settings import load_settings
from tests.docs.blocks import part_of
from tests.integration.clients.python import librdkafka
from tests.integration.clients.records import Mode, lfs
from tests.integration.cluster import CONFIG, HEAP
from tests.integration.proxy import ProxyProcess, started
from tests.integration.rights import EXAMPLES, failing, fetch, resumable_upload, table, upload
from tests.integration.stack import Stack, in_thread, stack

SMALL_NODE = {name: CONFIG[name] for name in ("log.cleaner.dedupe.buffer.size", "background.threads")}
USERS = ("admin", "lfsproxy", "alice", "bob")
_shared: dict[str, KafkaServer] = {}
ADMIN = """\
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="admin" password="admin-password";
"""


def signed(user: str) -> dict[str, Any]:
    """How a client signs in, for ``librdkafka``."""
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": user,
        "sasl_password": f"{user}-password",
    }


async def strict_kafka(release: str) -> KafkaServer:
    """One Kafka of a release for all tests of the run that ask for it; super users are the admin and whoever
    comes to its PLAINTEXT listener."""
    if release not in _shared:
        jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        kafka = KafkaServer(
            release=release,
            heap=HEAP,
            listeners={"SASL": "SASL_PLAINTEXT"},
            scram_users={user: f"{user}-password" for user in USERS},
            config={
                **SMALL_NODE,
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.sasl.scram-sha-512.sasl.jaas.config": jaas,
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS;User:admin",
            },
        )
        reactor.addSystemEventTrigger("after", "shutdown", kafka.close)
        await in_thread(kafka.start)
        _shared[release] = kafka
    return _shared[release]


class AclCase(TestCase):
    """A Kafka that allows nothing without an ACL, and a proxy that has an identity and no right there."""

    timeout = 240
    release = "4.4"

    async def setUp(self) -> None:  # type: ignore[override]
        self.kafka = await strict_kafka(self.release)
        self.address = f"{HOST}:{self.kafka.listener_ports['SASL']}"
        shared = await stack()
        self.servers = Stack(self.kafka, shared.s3, shared.bucket)
        self.identity = {
            "LFS_KAFKA_BROKERS": self.address,
            "LFS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "LFS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "LFS_KAFKA_SASL_USERNAME": "lfsproxy",
            "LFS_KAFKA_SASL_PASSWORD": "lfsproxy-password",
        }
        self.proxy = await started(self, ProxyProcess({**self.servers.environment, **self.identity}))
        for topic in ("clips", "write-only", "read-only"):
            await in_thread(self.kafka.create_topic, topic)

    def paste(self, *parts: str) -> None:
        """Run the page's commands. Blocks."""
        folder = Path(self.mktemp()).absolute()
        tools = write_tools(folder / "bin", self.kafka.bootstrap)
        (folder / "admin.properties").write_text(ADMIN)
        text = (EXAMPLES / "kafka-acls.sh").read_text(encoding="utf-8")
        commands = "".join(part_of(text, part, "kafka-acls.sh") for part in parts)
        done = subprocess.run(
            ["sh", "-e", "-c", commands.replace("kafka:9092", self.address)],
            cwd=folder,
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)

    def allow(self, operation: ACLOperation, topic: str) -> None:
        """One ACL for the proxy's user. Blocks."""
        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        try:
            pattern = ResourcePattern(ResourceType.TOPIC, topic)
            admin.create_acls([ACL("User:lfsproxy", "*", operation, ACLPermissionType.ALLOW, pattern)])
        finally:
            admin.close()

    async def fails_on(self, topic: str) -> set[str]:
        """The steps of the page's table that do not work on a topic that has a record."""
        steps = {
            "upload": lambda: upload(self.proxy, topic, b"hello")[0] == 201,
            "resumable upload": lambda: resumable_upload(self.proxy, topic),
            "download": lambda: fetch(self.proxy, f"/v1/topics/{topic}/partitions/0/records/0")[0] == 200,
        }
        found = await in_thread(failing, steps)
        client = kafka_client(reactor, load_settings(self.identity, {}).settings)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.stop()))
        try:
            await client.publisher.find(topic, 0, b"none", 0)
        except LfsError:
            found.add("look-up of an unknown outcome")
        return found

    async def check_rights(self) -> None:
        """The page's commands suffice, as pasted; without one of the rights its steps fail."""
        self.assertEqual((await in_thread(upload, self.proxy, "clips", b"x"))[0], 403)
        await in_thread(self.paste, "write", "read", "create")
        self.assertEqual(await self.fails_on("clips"), set())
        found = {}
        for missing, topic, given in (
            ("Write", "read-only", ACLOperation.READ),
            ("Read", "write-only", ACLOperation.WRITE),
        ):
            await in_thread(self.produce, topic)
            await in_thread(self.allow, given, topic)
            found[missing] = await self.fails_on(topic)
        self.assertEqual((await in_thread(upload, self.proxy, "camera-1", b"x"))[0], 201)
        await in_thread(self.allow, ACLOperation.WRITE, "other-1")
        self.assertEqual((await in_thread(upload, self.proxy, "other-1", b"x"))[0], 403)
        found["Create"] = {"upload to a topic that is not there"}
        self.assertEqual(found, table("without the right"))

    def produce(self, topic: str) -> None:
        """A record by the administrator. Blocks."""
        (outcome,) = librdkafka(self.kafka.bootstrap, topic, [lfs(b"plain")], Mode())
        self.assertEqual(outcome.error, "")


class AclTests(AclCase):
    async def test_the_rights_suffice_and_without_one_its_steps_fail(self) -> None:
        await self.check_rights()

    async def test_clients_of_the_kafka_port_need_their_own_rights_and_the_proxy_none(self) -> None:
        self.assertTrue(self.proxy.is_ready())
        await in_thread(self.paste, "producer", "consumer")
        proxy, mode = self.proxy.bootstrap, Mode(idempotent=True)
        (sent,) = await in_thread(librdkafka, proxy, "clips", [lfs(b"by alice")], mode, **signed("alice"))
        self.assertEqual(sent.error, "")
        (refused,) = await in_thread(librdkafka, proxy, "clips", [lfs(b"secret")], Mode(), **signed("bob"))
        self.assertEqual(refused.error, "TOPIC_AUTHORIZATION_FAILED")
        self.assertIn(len(b"by alice"), await in_thread(read_as_bob, proxy, sent.offset + 1))


class OlderKafkaAclTests(AclCase):
    release = "3.9"

    async def test_the_rights_suffice_and_without_one_its_steps_fail(self) -> None:
        await self.check_rights()


def read_as_bob(bootstrap: str, count: int) -> list[int]:
    """The lengths of the first blobs of the page's topic, by a member of the page's group. Blocks."""
    consumer = KafkaConsumer(
        "clips",
        bootstrap_servers=bootstrap,
        group_id="viewers",
        auto_offset_reset="earliest",
        consumer_timeout_ms=30_000,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username="bob",
        sasl_plain_password="bob-password",
    )
    try:
        values = [next(consumer).value for _ in range(count)]
        consumer.commit()
        return [json.loads(value)["content_length"] for value in values]
    finally:
        consumer.close()
