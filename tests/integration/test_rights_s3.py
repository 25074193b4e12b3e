"""docs/operate/rights.md: its policies suffice, and without an action what the page says fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from twisted.trial.unittest import TestCase

from lfsproxy.client import BlobReader
from lfsproxy.client.reader import static_credentials
from lfsproxy.devstack import S3Server
from lfsproxy.errors import BlobMissing
from tests.integration.http_faults import unfinished
from tests.integration.minio_users import (
    actions_of,
    create_user,
    read_policy,
    set_policy,
    shared_minio,
    without,
)
from tests.integration.proxy import ProxyProcess, started
from tests.integration.rights import EXAMPLES, MIB, failing, fetch, resumable_upload, table, upload
from tests.integration.stack import BUCKET, Stack, in_thread, s3_client, stack
from tests.integration.tus import ask, create, patch, state_left, until

SECRET = "a-secret-of-the-user"
LARGE = bytes(11 * MIB)
"""Three parts of the least size."""


@attrs.frozen
class Round:
    """The steps of the page's table. All block.

    ``topic`` takes records, ``tight`` none, however small; ``begun`` is a resumable upload on its way. Both
    it and the topic's first record come from a time with all rights.
    """

    proxy: ProxyProcess
    servers: Stack
    topic: str
    tight: str
    begun: str

    def steps(self) -> dict[str, Callable[[], bool]]:
        first = f"/v1/topics/{self.topic}/partitions/0/records/0"
        return {
            "readiness": self.proxy.is_ready,
            "upload": lambda: upload(self.proxy, self.topic, b"hello")[0] == 201,
            "upload in parts": lambda: upload(self.proxy, self.topic, LARGE)[0] == 201,
            "download": lambda: fetch(self.proxy, first) == (200, b"first"),
            "resumable upload": lambda: resumable_upload(self.proxy, self.topic),
            "cancel of a resumable upload": self.cancel,
            "clean-up after Kafka's refusal": lambda: self.leaves_nothing(self.tight, b"hello", ""),
            "clean-up after a wrong checksum": lambda: self.leaves_nothing(
                self.topic, LARGE, f"?checksum={'0' * 64}"
            ),
        }

    def cancel(self) -> bool:
        parts = len(unfinished(self.servers.s3))
        answer = ask(self.proxy, "DELETE", self.begun, {})
        left = state_left(self.servers, self.begun.rpartition("/")[2])
        return answer.status == 204 and not left and len(unfinished(self.servers.s3)) == parts - 1

    def leaves_nothing(self, topic: str, body: bytes, query: str) -> bool:
        before = self.held(topic)
        status, said = upload(self.proxy, topic, body, query)
        assert status != 201, said
        return self.held(topic) == before

    def held(self, topic: str) -> tuple[int, int]:
        """Objects of a topic, and unfinished uploads of all."""
        listed = self.servers.s3_client().list_objects_v2(Bucket=BUCKET, Prefix=f"lfs/default/{topic}/")
        return listed["KeyCount"], len(unfinished(self.servers.s3))


async def new_user(name: str, file: str) -> tuple[S3Server, dict[str, Any]]:
    """A user of MinIO with the policy of a file: the server, and the policy."""
    server, policy = await shared_minio(), read_policy(EXAMPLES / file)
    await in_thread(set_policy, server, name, policy)
    await in_thread(create_user, server, name, SECRET, name)
    return server, policy


class ProxyPolicyTests(TestCase):
    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        self.server, self.policy = await new_user("proxy", "s3-proxy-policy.json")
        self.servers = Stack((await stack()).kafka, self.server, BUCKET)
        own = {"AWS_ACCESS_KEY_ID": "proxy", "AWS_SECRET_ACCESS_KEY": SECRET}
        settings = {**self.servers.environment, **own, "LFS_S3_PART_SIZE": str(5 * MIB)}
        self.proxy = await started(self, ProxyProcess(settings))
        self.topic = await self.servers.new_topic("rights")
        self.tight = await self.servers.new_topic("tight", config={"max.message.bytes": "100"})
        self.assertEqual((await in_thread(upload, self.proxy, self.topic, b"first"))[0], 201)

    async def fails_with(self, policy: dict[str, Any]) -> set[str]:
        """The steps that do not work with a policy."""
        await in_thread(set_policy, self.server, "proxy", self.policy)
        await until(self.proxy.is_ready)
        begun = await in_thread(create, self.proxy, self.topic, 12 * MIB)
        self.assertEqual((await in_thread(patch, self.proxy, begun, 0, bytes(6 * MIB))).status, 204)
        await in_thread(set_policy, self.server, "proxy", policy)
        if "s3:ListBucket" not in actions_of(policy):
            await until(lambda: not self.proxy.is_ready())
        round_ = Round(self.proxy, self.servers, self.topic, self.tight, begun)
        return await in_thread(failing, round_.steps())

    async def test_the_policy_suffices_and_without_one_action_its_steps_fail(self) -> None:
        self.assertEqual(await self.fails_with(self.policy), set())
        counted = self.proxy.metrics()
        orphans = {name: counted[name] for name in counted if name.startswith("lfsproxy_orphans_total")}
        self.assertEqual(set(orphans.values()), {0.0}, orphans)
        found = {
            action: await self.fails_with(without(self.policy, action)) for action in actions_of(self.policy)
        }
        self.assertEqual(found, table("without the action"))


class ReaderPolicyTests(TestCase):
    timeout = 60

    async def test_a_reader_reads_blobs_and_no_more(self) -> None:
        server, _ = await new_user("reader", "s3-reader-policy.json")
        for key in ("lfs/default/rights/0/0-a.bin", "other/0-a.bin"):
            await in_thread(s3_client(server).put_object, Bucket=BUCKET, Key=key, Body=b"hello")
        reader = BlobReader.from_environment(
            {
                "LFS_S3_ENDPOINT": server.endpoint,
                "LFS_S3_REGION": server.region,
                "LFS_S3_BUCKET": BUCKET,
                "LFS_S3_PATH_STYLE": "true",
            },
            credentials=static_credentials("reader", SECRET),
        )
        self.addCleanup(reader.close)
        self.assertEqual(await in_thread(reader.fetch, envelope("lfs/default/rights/0/0-a.bin")), b"hello")
        gone = envelope("lfs/default/rights/0/1-b.bin")
        await self.assertFailure(in_thread(reader.fetch, gone), BlobMissing)
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=server.region,
            aws_access_key_id="reader",
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )
        calls: list[tuple[Any, dict[str, Any]]] = [
            (client.get_object, {"Key": "other/0-a.bin"}),
            (client.put_object, {"Key": "lfs/default/rights/0/0-a.bin", "Body": b"x"}),
            (client.delete_object, {"Key": "lfs/default/rights/0/0-a.bin"}),
        ]
        for call, more in calls:
            error = await self.assertFailure(in_thread(call, Bucket=BUCKET, **more), ClientError)
            self.assertEqual(error.response["Error"]["Code"], "AccessDenied")


def envelope(key: str) -> bytes:
    """An envelope of the five bytes "hello"."""
    checksum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    fields = {"lfs_version": 1, "s3_bucket": BUCKET, "s3_key": key, "content_type": "text/plain"}
    return json.dumps(
        {**fields, "content_length": 5, "checksum_algo": "sha256", "checksum": checksum}
    ).encode()
