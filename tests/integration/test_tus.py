"""Resumable uploads on the real Kafka and S3, by tuspy and by raw requests: what survives a kill -9."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from tusclient.client import TusClient
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.integration.holding_link import HoldingLink
from tests.integration.http_door import keys_below, read_records
from tests.integration.proxy import ProxyProcess, own_proxy
from tests.integration.stack import Stack, in_thread, own_kafka, stack

MIB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}


def pattern(size: int) -> bytes:
    """Bytes that do not repeat from MiB to MiB."""
    blocks = [hashlib.sha256(b"%d" % start).digest() * (MIB // 32) for start in range(0, size, MIB)]
    return b"".join(blocks)[:size]


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@attrs.frozen
class Reply:
    """A response of the proxy, by its status, headers (names in lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    proxy: ProxyProcess,
    method: str,
    path: str,
    headers: dict[str, str],
    body: Any = None,
    timeout: float = 200,
) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http_port, timeout=timeout)
    try:
        connection.request(method, path, body, {**TUS, **headers})
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def create(proxy: ProxyProcess, topic: str, length: int, **metadata: str) -> str:
    """A new upload's path."""
    fields = ",".join(f"{name} {encode(value)}" for name, value in metadata.items())
    headers = {"Upload-Length": str(length), "Content-Length": "0"}
    if fields:
        headers["Upload-Metadata"] = fields
    reply = ask(proxy, "POST", f"/v1/topics/{topic}/uploads", headers)
    assert reply.status == 201, reply
    return reply.headers["location"]


def patch(proxy: ProxyProcess, path: str, offset: int, body: Any, **headers: str) -> Reply:
    given = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return ask(proxy, "PATCH", path, {**given, **headers}, body)


def head(proxy: ProxyProcess, path: str) -> Reply:
    return ask(proxy, "HEAD", path, {})


def begin_patch(
    proxy: ProxyProcess, path: str, offset: int, data: bytes, announced: int
) -> http.client.HTTPConnection:
    """A PATCH that has sent ``data`` of the ``announced`` bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http_port, timeout=200)
    connection.putrequest("PATCH", path)
    for name, value in {
        **TUS,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(announced),
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(data)
    return connection


def state_keys(servers: Stack) -> list[str]:
    listed = servers.s3_client().list_objects_v2(Bucket=servers.bucket, Prefix="lfs-uploads/")
    return [item["Key"] for item in listed.get("Contents", [])]


async def until(is_so: Callable[[], bool]) -> None:
    """Ask until it is so; the test's timeout is the limit."""
    while not await in_thread(is_so):
        await deferLater(reactor, 0.1)


class TusTests(TestCase):
    timeout = 400
    servers: Stack
    topic: str

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.topic = await self.servers.new_topic("tus", partitions=1)

    async def proxy(self, **settings: str) -> ProxyProcess:
        return await own_proxy(self, self.servers, **settings)

    async def assertPublishedOnce(self, digest: str, size: int, reply: Reply, path: str) -> None:
        """One record, its blob is whole and right, and S3 holds nothing else but the upload's own result."""
        (record,) = await in_thread(read_records, self.servers, self.topic)
        place = f"/v1/topics/{self.topic}/partitions/{record.partition}/records/{record.offset}"
        self.assertEqual(reply.headers["lfs-record"], place)
        envelope = json.loads(record.value)
        self.assertEqual((envelope["content_length"], envelope["checksum"]), (size, digest))
        client = self.servers.s3_client()

        def fetch() -> str:
            found = hashlib.sha256()
            body = client.get_object(Bucket=envelope["s3_bucket"], Key=envelope["s3_key"])["Body"]
            for piece in body.iter_chunks(MIB):
                found.update(piece)
            return found.hexdigest()

        self.assertEqual(await in_thread(fetch), digest)
        self.assertEqual(await in_thread(keys_below, self.servers, self.topic), [envelope["s3_key"]])
        id = path.rpartition("/")[2]
        names = [key.rpartition("/")[2] for key in await in_thread(state_keys, self.servers) if id in key]
        self.assertEqual(
            sorted(name.partition("-")[0] for name in names), ["info", "mark", "publishing", "result"]
        )

    async def assertNothing(self, path: str) -> None:
        self.assertEqual(await in_thread(read_records, self.servers, self.topic), [])
        self.assertEqual(await in_thread(keys_below, self.servers, self.topic), [])
        id = path.rpartition("/")[2]
        self.assertEqual([key for key in await in_thread(state_keys, self.servers) if id in key], [])

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

    async def test_another_process_goes_on_where_a_killed_one_was(self) -> None:
        first, second = await self.proxy(), await self.proxy()
        data = pattern(96 * MIB + 5)
        digest = hashlib.sha256(data).hexdigest()
        path = await in_thread(create, first, self.topic, len(data), checksum=digest)
        await in_thread(begin_patch, first, path, 0, data[: 70 * MIB], len(data))
        # Progress is noted at each fourth part of 8 MiB.
        await until(lambda: int(head(second, path).headers["upload-offset"]) >= 32 * MIB)
        await in_thread(first.kill)
        offset = int((await in_thread(head, second, path)).headers["upload-offset"])
        self.assertEqual(offset % (8 * MIB), 0)

        def go_on() -> None:
            client = TusClient(f"{second.http}/v1/topics/{self.topic}/uploads")
            uploader = client.uploader(
                file_stream=io.BytesIO(data), chunk_size=7 * MIB, url=f"{second.http}{path}"
            )
            self.assertEqual(uploader.offset, offset)
            uploader.upload()

        await in_thread(go_on)
        await self.assertPublishedOnce(digest, len(data), await in_thread(head, second, path), path)

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

    async def killed_at(self, marker: str, *, answer: bool) -> tuple[ProxyProcess, str, bytes]:
        """An upload whose replica is killed while it asks S3 for ``marker``; another replica, path, bytes."""
        data = pattern(9 * MIB)
        link = HoldingLink(self.servers.s3.endpoint, marker.encode(), answer=answer)
        self.enterContext(link)
        first, second = await self.proxy(LFS_S3_ENDPOINT=link.endpoint), await self.proxy()
        path = await in_thread(create, first, self.topic, len(data))
        last = in_thread(patch_and_lose, first, path, 0, data)
        self.assertTrue(await in_thread(link.held.wait, 60))
        await in_thread(first.kill)
        await last
        return second, path, data

    async def test_a_kill_behind_the_produce_is_found_in_the_log_and_published_once(self) -> None:
        second, path, data = await self.killed_at("/result HTTP/1.1", answer=False)
        keys = await in_thread(state_keys, self.servers)
        self.assertIn(f"lfs-uploads/{path[-32:]}/publishing", keys)
        self.assertNotIn(f"lfs-uploads/{path[-32:]}/result", keys)
        self.assertEqual(len(await in_thread(read_records, self.servers, self.topic)), 1)
        for reply in (
            await in_thread(patch, second, path, len(data), b""),
            await in_thread(head, second, path),
        ):
            self.assertIn(reply.status, (200, 204))
            await self.assertPublishedOnce(hashlib.sha256(data).hexdigest(), len(data), reply, path)
        metrics = await in_thread(second.metrics)
        self.assertEqual(metrics['lfsproxy_orphans_total{reason="unknown_outcome"}'], 0)

    async def test_a_kill_before_the_produce_stays_unknown_and_is_never_published(self) -> None:
        second, path, data = await self.killed_at("/publishing HTTP/1.1", answer=True)
        # The intent is in the store, and nobody ever produced.
        self.assertIn(f"lfs-uploads/{path[-32:]}/publishing", await in_thread(state_keys, self.servers))
        for _ in range(2):
            reply = await in_thread(patch, second, path, len(data), b"")
            self.assertEqual(
                (reply.status, json.loads(reply.body)["type"]), (409, "/problems/outcome-unknown")
            )
        self.assertEqual((await in_thread(head, second, path)).status, 409)
        metrics = await in_thread(second.metrics)
        self.assertEqual(metrics['lfsproxy_orphans_total{reason="unknown_outcome"}'], 1)
        self.assertEqual(await in_thread(read_records, self.servers, self.topic), [])
        (key,) = await in_thread(keys_below, self.servers, self.topic)
        self.assertIn(key, second.log)

    async def test_a_process_that_is_killed_before_its_intent_publishes_by_a_later_head(self) -> None:
        kafka = await own_kafka(self)
        self.servers = attrs.evolve(self.servers, kafka=kafka)
        await in_thread(kafka.create_topic, self.topic)
        first, second = await self.proxy(), await self.proxy()
        data = pattern(9 * MIB)
        path = await in_thread(create, first, self.topic, len(data))
        await in_thread(kafka.pause)
        last = in_thread(patch_and_lose, first, path, 0, data)
        await until(
            lambda: any("mark-00000002" in key for key in state_keys(self.servers) if path[-32:] in key)
        )
        await in_thread(first.kill)
        await last
        await in_thread(kafka.resume)
        reply = await in_thread(head, second, path)
        self.assertEqual(reply.status, 200)
        await self.assertPublishedOnce(hashlib.sha256(data).hexdigest(), len(data), reply, path)

    async def test_of_two_clients_at_once_one_goes_on(self) -> None:
        first, second = await self.proxy(), await self.proxy()
        data = pattern(20 * MIB)
        path = await in_thread(create, first, self.topic, len(data))
        slow = await in_thread(begin_patch, first, path, 0, data[: 2 * MIB], 10 * MIB)
        reply = await in_thread(patch, first, path, 0, data[:1000])
        self.assertEqual((reply.status, json.loads(reply.body)["type"]), (423, "/problems/upload-busy"))
        # Through another replica it is not known, and who stores first wins.
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
        await until(lambda: not any(id in key for key in state_keys(self.servers)))
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


def patch_and_lose(proxy: ProxyProcess, path: str, offset: int, data: bytes) -> None:
    """A PATCH whose proxy dies."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        patch(proxy, path, offset, data)
