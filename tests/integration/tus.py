"""A tus client of single requests, and what tests of resumable uploads on the real Kafka and S3 share."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lfsproxy.resumable.fence import is_fence
from tests.integration.http_door import keys_below, read_records
from tests.integration.proxy import ProxyProcess, own_proxy
from tests.integration.stack import Stack, in_thread, stack

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


def state_left(servers: Stack, id: str) -> list[str]:
    """What is left of the upload's state besides its fence, which stays for an hour."""
    keys = [key for key in state_keys(servers) if id in key]
    return [key for key in keys if not is_fence(key.rpartition("/")[2])]


async def until(is_so: Callable[[], bool]) -> None:
    """Ask until it is so; the test's timeout is the limit."""
    while not await in_thread(is_so):
        await deferLater(reactor, 0.1)


def patch_and_lose(proxy: ProxyProcess, path: str, offset: int, data: bytes) -> None:
    """A PATCH whose proxy dies."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        patch(proxy, path, offset, data)


class TusTestCase(TestCase):
    """Tests with a topic of their own, of one partition, and as many proxies as they ask for."""

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
            sorted(name.partition("-")[0] for name in names), ["info", "intent", "mark", "result"]
        )

    async def assertNothing(self, path: str) -> None:
        self.assertEqual(await in_thread(read_records, self.servers, self.topic), [])
        self.assertEqual(await in_thread(keys_below, self.servers, self.topic), [])
        id = path.rpartition("/")[2]
        self.assertEqual(await in_thread(state_left, self.servers, id), [])
