"""docs/operate/disaster.md: what clients are answered after a loss, and the programs that help."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from kafka import KafkaAdminClient, TopicPartition
from twisted.trial.unittest import TestCase

from lfsproxy.client import BlobReader
from lfsproxy.client.reader import static_credentials
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import BlobMissing, BlobTruncated, ChecksumMismatch
from tests.docs.blocks import ROOT
from tests.integration.http_door import keys_below, read_records
from tests.integration.hydration.fetches import NEWEST, Fetcher, topic_ids
from tests.integration.proxy import ProxyProcess, own_proxy, shared_proxy
from tests.integration.rights import EXAMPLES, fetch, upload
from tests.integration.stack import Stack, in_thread, s3_client, stack
from tests.integration.tus import until

PAGE = ROOT / "docs" / "operate" / "disaster.md"


def answer(proxy: ProxyProcess, path: str) -> str:
    """Status and type of problem, as the page's tables have them. Blocks."""
    status, body = fetch(proxy, path)
    return f"{status} `{json.loads(body)['type'].rpartition('/')[2]}`" if status >= 400 else str(status)


class BlobTests(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.proxy = await shared_proxy()
        self.hydrating = await shared_proxy(LFS_HYDRATE_TOPICS="*")
        self.topic = await self.servers.new_topic("disaster")
        self.assertEqual((await in_thread(upload, self.proxy, self.topic, b"hello"))[0], 201)
        (record,) = await in_thread(read_records, self.servers, self.topic)
        self.value: bytes = record.value
        self.key = json.loads(record.value)["s3_key"]
        self.path = f"/v1/topics/{self.topic}/partitions/0/records/0"
        keys = static_credentials(self.servers.s3.access_key, self.servers.s3.secret_key)
        self.reader = BlobReader.from_environment(self.servers.environment, credentials=keys)
        self.addCleanup(self.reader.close)

    async def check(self, loss: str, error: type[Exception]) -> None:
        """The row of the page's table is what the three ways to read say."""
        await self.assertFailure(in_thread(self.reader.fetch, self.value), error)
        said = await in_thread(answer, self.proxy, self.path)
        hydrated = await in_thread(self.fetched)
        (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {loss} |")]
        (over_http, by_library, by_consumer) = [cell.strip() for cell in row.strip("|").split("|")][1:]
        self.assertEqual([over_http, by_library], [said, f"`{name(error)}`"])
        self.assertEqual(by_consumer.partition(",")[0], f"`{hydrated}`")
        self.assertEqual(await in_thread(answer, self.proxy, f"{self.path}/envelope"), "200")

    def fetched(self) -> str:
        """The error's name that a consumer gets who reads without an SDK. Blocks."""
        ids = topic_ids(self.servers.kafka.bootstrap, [self.topic])
        fetcher = Fetcher(self.hydrating.bootstrap, ids)
        try:
            (part,) = fetcher.fetch(NEWEST, {(self.topic, 0): 0}).parts
        finally:
            fetcher.close()
        return KafkaCode(part.error).name

    async def test_a_blob_that_is_gone(self) -> None:
        client = self.servers.s3_client()
        await in_thread(client.delete_object, Bucket=self.servers.bucket, Key=self.key)
        await self.check("is gone", BlobMissing)

    async def test_a_blob_with_other_bytes(self) -> None:
        await self.overwrite(b"jello")
        await self.check("has other bytes", ChecksumMismatch)

    async def test_a_blob_that_is_too_short(self) -> None:
        await self.overwrite(b"hel")
        await self.check("has another length", BlobTruncated)

    async def overwrite(self, body: bytes) -> None:
        client = self.servers.s3_client()
        await in_thread(client.put_object, Bucket=self.servers.bucket, Key=self.key, Body=body)


class BucketTests(TestCase):
    timeout = 120

    async def test_a_bucket_that_is_gone_and_made_anew(self) -> None:
        shared = await stack()
        servers = Stack(shared.kafka, shared.s3, "lost-bucket")
        client = s3_client(shared.s3)
        await in_thread(client.create_bucket, Bucket=servers.bucket)
        proxy = await own_proxy(self, servers)
        topic = await servers.new_topic("lost")
        self.assertEqual((await in_thread(upload, proxy, topic, b"hello"))[0], 201)
        (key,) = await in_thread(keys_below, servers, topic)
        await in_thread(client.delete_object, Bucket=servers.bucket, Key=key)
        await in_thread(client.delete_bucket, Bucket=servers.bucket)
        await until(lambda: not proxy.is_ready())
        self.assertIn("there is no bucket lost-bucket", str(proxy.readiness()))
        status, body = await in_thread(upload, proxy, topic, b"hello")
        self.assertEqual((status, json.loads(body)["type"]), (502, "/problems/store-refused"))
        await in_thread(client.create_bucket, Bucket=servers.bucket)
        await until(proxy.is_ready)
        self.assertEqual((await in_thread(upload, proxy, topic, b"again"))[0], 201)
        path = f"/v1/topics/{topic}/partitions/0/records"
        self.assertEqual(await in_thread(answer, proxy, f"{path}/0"), "404 `blob-missing`")
        self.assertEqual(await in_thread(fetch, proxy, f"{path}/1"), (200, b"again"))

    async def test_a_bucket_of_another_name(self) -> None:
        servers = await stack()
        topic = await servers.new_topic("moved")
        proxy = await shared_proxy()
        self.assertEqual((await in_thread(upload, proxy, topic, b"hello"))[0], 201)
        client = servers.s3_client()
        await in_thread(client.create_bucket, Bucket="new-bucket")
        (key,) = await in_thread(keys_below, servers, topic)
        source = f"{servers.bucket}/{key}"
        await in_thread(client.copy_object, Bucket="new-bucket", Key=key, CopySource=source)
        await in_thread(client.delete_object, Bucket=servers.bucket, Key=key)
        moved = await own_proxy(self, Stack(servers.kafka, servers.s3, "new-bucket"))
        path = f"/v1/topics/{topic}/partitions/0/records/0"
        self.assertEqual(await in_thread(answer, moved, path), "403 `envelope-not-allowed`")
        said = await in_thread(run, servers, "moved_bucket.py", servers.bucket, "new-bucket", topic)
        self.assertEqual(said, "0 5\n")


class TopicTests(TestCase):
    timeout = 120

    async def test_the_envelopes_of_a_topic_that_was_lost_are_published_again(self) -> None:
        servers, proxy = await stack(), await shared_proxy()
        topic = await servers.new_topic("again", partitions=2)
        path = f"/v1/topics/{topic}/partitions"
        for number in range(4):
            body = b"blob %d" % number
            self.assertEqual(
                (await in_thread(upload, proxy, topic, body, f"?partition={number % 2}"))[0], 201
            )
        await in_thread(delete_records, servers, topic)
        said = await in_thread(run, servers, "envelopes_again.py", servers.bucket, topic)
        self.assertEqual(len(said.splitlines()), 4)
        for number in range(4):
            place = f"{path}/{number % 2}/records/{2 + number // 2}"
            self.assertEqual(await in_thread(fetch, proxy, place), (200, b"blob %d" % number))


class LeavingTests(TestCase):
    """docs/operate/migrate.md."""

    timeout = 120

    async def test_a_topic_is_copied_with_values_in_place_of_envelopes(self) -> None:
        servers, proxy = await stack(), await shared_proxy()
        source, target = await servers.new_topic("leaving"), await servers.new_topic("whole")
        query = "?key=k&header=a:b&timestamp=1700000000000"
        self.assertEqual((await in_thread(upload, proxy, source, b"hello", query))[0], 201)
        await in_thread(run, servers, "whole_records.py", source, target)
        (record,) = await in_thread(read_records, servers, target)
        self.assertEqual((record.key, record.value, record.timestamp), (b"k", b"hello", 1_700_000_000_000))
        self.assertEqual(list(record.headers), [("a", b"b")])

    async def test_a_value_that_the_new_topic_refuses_is_not_lost_in_silence(self) -> None:
        servers, proxy = await stack(), await shared_proxy()
        source, target = await servers.new_topic("leaving"), await servers.new_topic("small")
        self.assertEqual((await in_thread(upload, proxy, source, bytes(2_000_000)))[0], 201)
        with self.assertRaisesRegex(AssertionError, "not copied:\n0:0: .*MessageSizeTooLarge"):
            await in_thread(run, servers, "whole_records.py", source, target)


def delete_records(servers: Stack, topic: str) -> None:
    """All records of a topic are lost; offsets go on. Blocks."""
    admin = KafkaAdminClient(bootstrap_servers=servers.kafka.bootstrap)
    try:
        admin.delete_records({TopicPartition(topic, partition): -1 for partition in range(2)})
    finally:
        admin.close()


def name(error: type[Exception]) -> str:
    """How the page and the libraries call an error of a blob."""
    return str(getattr(error, "problem", ""))


def run(servers: Stack, program: str, *arguments: str) -> str:
    """Run a program of the page; what it prints. Blocks."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / program, *arguments],
        env={**os.environ, **servers.environment, "AWS_DEFAULT_REGION": servers.s3.region, "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout
