"""Downloads when something breaks on the way: no client may take for whole what is not."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import psutil
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from lfsproxy.devstack import S3Server
from tests.integration.downloads import (
    PARTIAL_FILE,
    DownloadTests,
    connect,
    read_to_end,
)
from tests.integration.http_door import MIB, start_door, until
from tests.integration.proxy import own_proxy
from tests.integration.stack import in_thread, own_kafka, own_s3, stack

SIZE = 48 * MIB
STALLED = 8
STALLED_SIZE = 64 * MIB
LITTLE = 64 * 1024


class SpoiltTests(DownloadTests):
    """Blobs that are not what their envelopes say."""

    async def spoil(self, answer: Any, change: Callable[[bytearray], bytes]) -> None:
        """Write other bytes over a blob."""
        place = {"Bucket": answer["envelope"]["s3_bucket"], "Key": answer["envelope"]["s3_key"]}
        client = self.servers.s3_client()

        def write() -> None:
            data = client.get_object(**place)["Body"].read()
            client.put_object(**place, Body=change(bytearray(data)))

        await in_thread(write)

    @staticmethod
    def last_byte(data: bytearray) -> bytes:
        data[-1] ^= 1
        return bytes(data)

    async def test_a_corrupt_blob_is_cut_before_its_end(self) -> None:
        answer = await self.upload(os.urandom(SIZE))
        await self.spoil(answer, self.last_byte)
        got = await self.get(answer["offset"])
        self.assertEqual((got.code, got.status), (PARTIAL_FILE, 200))
        self.assertLess(len(got.body), SIZE)
        self.assertEqual(self.downloads(), [(self.topic, "store_error")])
        self.assertEqual(self.door.budget.used, 0)

    async def test_a_corrupt_blob_of_which_nothing_was_sent_is_a_problem(self) -> None:
        answer = await self.upload(b"0123456789")
        await self.spoil(answer, self.last_byte)
        got = await self.get(answer["offset"])
        self.assertEqual((got.status, got.problem), (502, "checksum-mismatch"))
        self.assertEqual(self.downloads(), [(self.topic, "store_error")])

    async def test_a_blob_of_another_length(self) -> None:
        for change in (lambda data: data[:-1], lambda data: data + b"x"):
            answer = await self.upload(os.urandom(MIB))
            await self.spoil(answer, change)
            for arguments in ((), ("--head",), ("-H", "Range: bytes=5-9")):
                got = await self.get(answer["offset"], *arguments)
                self.assertEqual(got.status, 502, arguments)
            self.assertEqual((await self.get(answer["offset"])).problem, "blob-truncated")

    async def test_a_missing_blob(self) -> None:
        answer = await self.upload(b"x")
        place = {"Bucket": answer["envelope"]["s3_bucket"], "Key": answer["envelope"]["s3_key"]}
        await in_thread(self.servers.s3_client().delete_object, **place)
        for arguments in ((), ("-H", "Range: bytes=0-0")):
            got = await self.get(answer["offset"], *arguments)
            self.assertEqual((got.status, got.problem), (404, "blob-missing"))
        self.assertEqual((await self.get(answer["offset"], "--head")).status, 404)
        self.assertEqual(self.downloads(), [(self.topic, "store_error")] * 2)


class OwnStoreTests(DownloadTests):
    """With an S3 server that may be stopped."""

    s3: S3Server

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.s3 = await own_s3(self)
        self.servers = attrs.evolve(self.servers, s3=self.s3)
        self.door = await start_door(self, self.servers, LFS_S3_RETRY_TIMEOUT="3")
        self.data = os.urandom(SIZE)
        self.offset = (await self.upload(self.data))["offset"]

    def begin(self, door: Any = None) -> Deferred[tuple[socket.socket, bytes]]:
        """Begin a download and read little of it."""
        return in_thread(connect, (door or self.door).port, self.path(self.offset), LITTLE)

    async def test_a_store_that_dies_in_the_middle_cuts_the_download(self) -> None:
        client, body = await self.begin()
        await in_thread(self.s3.kill)
        size, _ = await in_thread(read_to_end, client, body)
        self.assertLess(size, SIZE)
        await until(lambda: not self.door.site.in_flight)
        self.assertEqual(self.downloads(), [(self.topic, "store_error")])
        self.assertEqual(self.door.budget.used, 0)

    async def test_a_store_that_comes_back_is_read_on(self) -> None:
        door = await start_door(self, self.servers, LFS_S3_RETRY_TIMEOUT="60")
        client, body = await self.begin(door)
        await in_thread(self.s3.kill)
        reading = in_thread(read_to_end, client, body)
        await in_thread(self.s3.start)
        self.assertEqual(await reading, (SIZE, hashlib.sha256(self.data).hexdigest()))

    async def test_a_store_that_is_away_is_a_503(self) -> None:
        await in_thread(self.s3.kill)
        for arguments in ((), ("--head",)):
            got = await self.get(self.offset, *arguments)
            self.assertEqual(got.status, 503, arguments)
            self.assertIn("retry-after", got.headers)
        self.assertEqual(self.downloads(), [(self.topic, "store_error")])

    async def test_a_store_that_hangs_is_a_503(self) -> None:
        await in_thread(self.s3.pause)
        try:
            got = await self.get(self.offset)
        finally:
            await in_thread(self.s3.resume)
        self.assertEqual((got.status, got.problem), (503, "store-unavailable"))

    async def test_a_client_that_leaves_frees_the_store(self) -> None:
        client, _ = await self.begin()
        await until(lambda: unfinished(self.s3) != set())
        ports = unfinished(self.s3)
        client.close()
        await until(lambda: not self.door.site.in_flight)
        await until(lambda: not ports & open_ports(self.s3))
        self.assertEqual(self.downloads(), [(self.topic, "cancelled")])
        self.assertEqual(self.door.budget.used, 0)

    async def test_a_client_that_takes_nothing_is_cut(self) -> None:
        door = await start_door(self, self.servers, LFS_STALL_TIMEOUT="1")
        client, body = await self.begin(door)
        await until(lambda: not door.site.in_flight)
        self.assertEqual([call[1] for call in door.metrics.of("download")], ["cancelled"])
        size, _ = await in_thread(read_to_end, client, body)
        self.assertLess(size, SIZE)

    async def test_draining_lets_a_download_finish_and_takes_no_other(self) -> None:
        client, body = await self.begin()
        # A second connection that was there before.
        other = await in_thread(socket.create_connection, ("127.0.0.1", self.door.port), 30)
        wire = f"GET {self.path(self.offset)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        await in_thread(other.sendall, wire[:10])
        # Idle ones are closed at once: the first bytes of its request have to be there.
        await until(lambda: self.door.site.busy_connections == 2)
        self.door.readiness.drain()
        drained = self.door.site.drain()
        await in_thread(other.sendall, wire[10:])
        refused = await in_thread(other.recv, 65536)
        self.assertTrue(refused.startswith(b"HTTP/1.1 503 "), refused)
        other.close()
        got = await in_thread(read_to_end, client, body)
        self.assertEqual(got, (SIZE, hashlib.sha256(self.data).hexdigest()))
        await drained

    async def test_kafka_away_is_a_503(self) -> None:
        kafka = await own_kafka(self)
        door = await start_door(self, attrs.evolve(self.servers, kafka=kafka))
        await in_thread(kafka.kill)
        with patch.object(self, "door", door):
            got = await self.get(0)
        self.assertEqual((got.status, got.problem), (503, "broker-unavailable"))
        self.assertIn("retry-after", got.headers)


class TlsStoreTests(DownloadTests):
    async def test_a_client_that_leaves_frees_a_store_behind_tls(self) -> None:
        s3 = await own_s3(self, https=True)
        servers = attrs.evolve(self.servers, s3=s3)
        ca = str(s3.certificate.certificate) if s3.certificate else ""
        proxy = await own_proxy(self, servers, AWS_CA_BUNDLE=ca)
        data = os.urandom(SIZE)
        with patch.object(self, "door", attrs.evolve(self.door, port=proxy.http_port)):
            offset = (await self.upload(data))["offset"]
            answer = await self.get(offset)
            self.assertTrue(answer.body == data)
            client, _ = await in_thread(connect, proxy.http_port, self.path(offset), LITTLE)
        await until(lambda: unfinished(s3, proxy.pid) != set())
        ports = unfinished(s3, proxy.pid)
        client.close()
        await until(lambda: not ports & open_ports(s3, proxy.pid))


class SlowClientTests(TestCase):
    timeout = 180

    async def test_clients_that_are_slower_than_the_store_cost_no_memory(self) -> None:
        servers = await stack()
        topic = await servers.new_topic("slow")
        proxy = await own_proxy(self, servers)
        name = self.mktemp()
        data = os.urandom(MIB) * (STALLED_SIZE // MIB)
        digest = hashlib.sha256(data).hexdigest()
        await in_thread(Path(name).write_bytes, data)
        url = f"{proxy.http}/v1/topics/{topic}/records"
        out, _, _ = await getProcessOutputAndValue(
            "curl", ["-sS", "-w", "%{http_code}", "-o", os.devnull, "-X", "POST", "-T", name, url]
        )
        self.assertEqual(out, b"201")
        path = f"/v1/topics/{topic}/partitions/0/records/0"

        def fast() -> tuple[int, str]:
            return read_to_end(*connect(proxy.http_port, path))

        self.assertEqual(await in_thread(fast), (STALLED_SIZE, digest))
        before = proxy.peak_memory
        slow = [await in_thread(connect, proxy.http_port, path, LITTLE) for _ in range(STALLED)]
        # While these take nothing, another takes several times as much as they could be sent.
        for _ in range(STALLED // 2):
            self.assertEqual(await in_thread(fast), (STALLED_SIZE, digest))
        grown = proxy.peak_memory - before
        self.assertLess(grown, STALLED * 2 * MIB + 8 * MIB, f"{grown / 1e6:.0f} MB more")
        ends = await gatherResults([in_thread(read_to_end, *each) for each in slow])
        self.assertEqual(ends, [(STALLED_SIZE, digest)] * STALLED)
        self.assertLess(proxy.peak_memory - before, STALLED * 2 * MIB + 8 * MIB)


def connections_to(s3: S3Server, pid: int | None = None) -> list[Any]:
    """A process's open connections to an S3 server; this one's by default."""
    port = int(s3.endpoint.rpartition(":")[2])
    found = psutil.Process(pid).net_connections("tcp")
    return [each for each in found if each.raddr and each.raddr.port == port]


def unfinished(s3: S3Server, pid: int | None = None) -> set[int]:
    """The local ports of those with bytes that nobody has read: idle connections have none."""
    ports = open_ports(s3, pid)
    found = set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(name).read_text().splitlines()[1:]:
            fields = line.split()
            port, received = int(fields[1].rpartition(":")[2], 16), int(fields[4].partition(":")[2], 16)
            if port in ports and received:
                found.add(port)
    return found


def open_ports(s3: S3Server, pid: int | None = None) -> set[int]:
    """The local ports of a process's connections to an S3 server."""
    return {each.laddr.port for each in connections_to(s3, pid)}
