"""Resumable uploads on the real Kafka and S3, by tuspy and by raw requests."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterable

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from tusclient.client import TusClient

from tests.integration.http_door import keys_below, read_records
from tests.integration.stack import in_thread
from tests.integration.tus import (
    MIB,
    TusTestCase,
    ask,
    begin_patch,
    create,
    head,
    patch,
    pattern,
    state_keys,
    state_left,
    until,
)


def _allow_larger(bootstrap: str, topic: str) -> None:
    """Let the topic take an envelope from now on."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "1000000"})]
        )
    finally:
        admin.close()


class TusTests(TusTestCase):
    async def test_tuspy_uploads_in_chunks(self) -> None:
        proxy = await self.proxy()
        data = pattern(20 * MIB + 17)
        digest = hashlib.sha256(data).hexdigest()

        def upload() -> str:
            client = TusClient(f"{proxy.http}/v1/topics/{self.topic}/uploads")
            fields = {"filename": "a.bin", "filetype": "image/png", "key": "k", "checksum": digest}
            uploader = client.uploader(file_stream=io.BytesIO(data), chunk_size=3 * MIB, metadata=fields)
            uploader.upload()
            return str(uploader.url)

        path = "/" + (await in_thread(upload)).split("/", 3)[3]
        await self.assertPublishedOnce(digest, len(data), await in_thread(head, proxy, path), path)
        (record,) = await in_thread(read_records, self.servers, self.topic)
        self.assertEqual((record.key, record.headers), (b"k", [("lfs-filename", b"a.bin")]))
        self.assertEqual((await in_thread(ask, proxy, "DELETE", path, {})).status, 204)
        self.assertEqual((await in_thread(head, proxy, path)).status, 404)
        self.assertEqual(len(await in_thread(keys_below, self.servers, self.topic)), 1)

    async def test_what_kafka_refused_once_is_published_later_and_its_blob_stays(self) -> None:
        topic = f"{self.topic}-small"
        proxy = await self.proxy()
        await in_thread(self.servers.kafka.create_topic, topic, config={"max.message.bytes": "100"})
        data = pattern(9 * MIB)
        path = await in_thread(create, proxy, topic, len(data))
        self.assertEqual((await in_thread(patch, proxy, path, 0, data)).status, 413)
        keys = [key for key in await in_thread(state_keys, self.servers) if path[-32:] in key]
        names = {key.rpartition("/")[2][:5] for key in keys}
        self.assertLessEqual({"inten", "void-"}, names)
        await in_thread(_allow_larger, self.servers.kafka.bootstrap, topic)
        record = (await in_thread(head, proxy, path)).headers["lfs-record"]
        self.assertEqual((await in_thread(ask, proxy, "DELETE", path, {})).status, 204)
        reply = await in_thread(ask, proxy, "GET", record, {})
        self.assertTrue((reply.status, reply.body) == (200, data), reply.status)
        self.assertEqual(len(await in_thread(read_records, self.servers, topic)), 1)

    async def test_what_came_before_the_client_was_cut_is_kept(self) -> None:
        proxy = await self.proxy()
        data = pattern(21 * MIB)
        path = await in_thread(create, proxy, self.topic, len(data))
        sent = 10 * MIB + 3
        connection = await in_thread(begin_patch, proxy, path, 0, data[:sent], len(data))
        connection.close()
        await until(lambda: head(proxy, path).headers["upload-offset"] == str(sent))
        reply = await in_thread(patch, proxy, path, sent, data[sent:])
        self.assertEqual(reply.status, 204)
        await self.assertPublishedOnce(hashlib.sha256(data).hexdigest(), len(data), reply, path)

    async def test_of_two_clients_at_once_one_goes_on(self) -> None:
        first, second = await self.proxy(), await self.proxy()
        data = pattern(20 * MIB)
        path = await in_thread(create, first, self.topic, len(data))
        slow = await in_thread(begin_patch, first, path, 0, data[: 2 * MIB], 10 * MIB)
        reply = await in_thread(patch, first, path, 0, data[:1000])
        self.assertEqual((reply.status, json.loads(reply.body)["type"]), (423, "/problems/upload-busy"))
        # Through another replica it is not known, and the first one that stores wins.
        reply = await in_thread(patch, second, path, 0, data[: 9 * MIB])
        self.assertEqual(reply.status, 204)
        await in_thread(slow.send, data[2 * MIB : 10 * MIB])
        answer = await in_thread(slow.getresponse)
        self.assertEqual((answer.status, json.loads(answer.read())["type"]), (409, "/problems/upload-moved"))
        slow.close()
        reply = await in_thread(patch, first, path, 9 * MIB, data[9 * MIB :])
        self.assertEqual(reply.status, 204, reply)
        await self.assertPublishedOnce(hashlib.sha256(data).hexdigest(), len(data), reply, path)

    async def test_pieces_below_the_least_part_are_carried_over_from_replica_to_replica(self) -> None:
        replicas = [await self.proxy(LFS_S3_PART_SIZE=str(5 * MIB)) for _ in range(2)]
        sizes = [1, MIB - 1, 5 * MIB + 1, MIB - 1, 1, 1, 5 * MIB + 1, 5 * MIB - 1]
        data = pattern(sum(sizes))
        path = await in_thread(create, replicas[0], self.topic, len(data))
        offset = 0
        for number, size in enumerate(sizes):
            replica = replicas[number % 2]
            self.assertEqual((await in_thread(head, replica, path)).headers["upload-offset"], str(offset))
            reply = await in_thread(patch, replica, path, offset, data[offset : offset + size])
            offset += size
            self.assertEqual((reply.status, reply.headers["upload-offset"]), (204, str(offset)))
        await self.assertPublishedOnce(hashlib.sha256(data).hexdigest(), len(data), reply, path)

    async def test_termination_leaves_nothing(self) -> None:
        proxy = await self.proxy()
        data = pattern(12 * MIB)
        path = await in_thread(create, proxy, self.topic, 20 * MIB)
        self.assertEqual((await in_thread(patch, proxy, path, 0, data)).status, 204)
        self.assertEqual((await in_thread(ask, proxy, "DELETE", path, {})).status, 204)
        await self.assertNothing(path)

    async def test_an_expired_upload_is_removed_by_itself(self) -> None:
        proxy = await self.proxy(LFS_TUS_EXPIRY="3")
        path = await in_thread(create, proxy, self.topic, 20 * MIB)
        self.assertEqual((await in_thread(patch, proxy, path, 0, pattern(12 * MIB))).status, 204)
        id = path.rpartition("/")[2]
        await until(lambda: not state_left(self.servers, id))
        await self.assertNothing(path)
        self.assertIn((await in_thread(head, proxy, path)).status, (404, 410))

    async def test_a_wrong_checksum_drops_the_bytes(self) -> None:
        proxy = await self.proxy()
        data = pattern(30 * MIB)
        path = await in_thread(create, proxy, self.topic, len(data))
        wrong = "sha1 " + base64.b64encode(hashlib.sha1(b"other").digest()).decode()
        reply = await in_thread(patch, proxy, path, 0, data[: 20 * MIB], **{"Upload-Checksum": wrong})
        self.assertEqual(reply.status, 460)
        self.assertEqual((await in_thread(head, proxy, path)).headers["upload-offset"], "0")
        right = "sha1 " + base64.b64encode(hashlib.sha1(data).digest()).decode()
        reply = await in_thread(patch, proxy, path, 0, data, **{"Upload-Checksum": right})
        self.assertEqual(reply.status, 204)
        await self.assertPublishedOnce(hashlib.sha256(data).hexdigest(), len(data), reply, path)

    async def test_the_wrong_checksum_of_the_whole_leaves_nothing(self) -> None:
        first, second = await self.proxy(), await self.proxy()
        data = pattern(20 * MIB)
        path = await in_thread(create, first, self.topic, len(data), checksum="0" * 64)
        self.assertEqual((await in_thread(patch, first, path, 0, data[: 11 * MIB])).status, 204)
        # The other replica has not seen the first bytes: it reads the blob back.
        reply = await in_thread(patch, second, path, 11 * MIB, data[11 * MIB :])
        self.assertEqual((reply.status, json.loads(reply.body)["type"]), (400, "/problems/checksum-mismatch"))
        await self.assertNothing(path)

    async def test_memory_is_bounded(self) -> None:
        first, second = await self.proxy(), await self.proxy()
        size = 256 * MIB
        block = pattern(MIB)
        digest = hashlib.sha256(block * 256).hexdigest()
        path = await in_thread(create, first, self.topic, size)
        base = max(first.peak_memory, second.peak_memory)
        half = {"Content-Length": str(size // 2)}
        self.assertEqual((await in_thread(patch, first, path, 0, blocks(block, 128), **half)).status, 204)
        reply = await in_thread(patch, second, path, size // 2, blocks(block, 128), **half)
        self.assertEqual(reply.status, 204)
        await self.assertPublishedOnce(digest, size, reply, path)
        # Four parts of 8 MiB, what their chunks overlap, and buffers: far from the upload's size.
        for proxy in (first, second):
            self.assertLess(proxy.peak_memory - base, 64 * MIB)


def blocks(block: bytes, count: int) -> Iterable[bytes]:
    return (block for _ in range(count))
