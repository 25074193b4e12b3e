"""Resumable uploads by tus-js-client: cut, and gone on with through another replica at another port."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.integration.clients.tusjs import TusJs, install
from tests.integration.gate import Gate
from tests.integration.http_door import read_records
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import in_thread
from tests.integration.tus import MIB, TusTestCase, head, pattern, until

SIZE = 96 * MIB + 5
HELD_AT = 70 * MIB
NOTED = 32 * MIB
"""Progress is noted at each fourth part of 8 MiB."""


class TusJsTests(TusTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        await in_thread(install)
        data = pattern(SIZE)
        self.digest = hashlib.sha256(data).hexdigest()
        self.file = Path(self.mktemp())
        self.file.write_bytes(data)

    def upload(self, port: int, upload_url: str | None = None) -> TusJs:
        client = TusJs(f"http://127.0.0.1:{port}/v1/topics/{self.topic}/uploads", self.file, upload_url)
        self.addCleanup(in_thread, client.kill)
        return client

    async def assertPublished(self, client: TusJs, path: str, proxy: ProxyProcess) -> None:
        """The client is told of the record, which is there once and whole, with its key and name."""
        record = await in_thread(client.next, "record")
        reply = await in_thread(head, proxy, path)
        self.assertEqual(reply.headers["lfs-record"], record)
        await self.assertPublishedOnce(self.digest, SIZE, reply, path)
        (found,) = await in_thread(read_records, self.servers, self.topic)
        self.assertEqual((found.key, found.headers), (b"k", [("lfs-filename", b"a.bin")]))

    async def halfway(self, first: ProxyProcess, second: ProxyProcess) -> tuple[Gate, TusJs, str]:
        """An upload to ``first`` that is held when ``second`` knows of NOTED bytes; its path."""
        gate = Gate(self, ("127.0.0.1", first.http_port))
        held = gate.hold_after(HELD_AT)
        client = await in_thread(self.upload, gate.port)
        path = "/" + (await in_thread(client.next, "url")).split("/", 3)[3]
        await held
        await until(lambda: int(head(second, path).headers["upload-offset"]) >= NOTED)
        return gate, client, path

    async def test_a_whole_upload(self) -> None:
        proxy = await self.proxy()
        client = await in_thread(self.upload, proxy.http_port)
        path = "/" + (await in_thread(client.next, "url")).split("/", 3)[3]
        await self.assertPublished(client, path, proxy)

    async def test_a_client_and_a_replica_that_are_killed(self) -> None:
        first, second = await self.proxy(), await self.proxy()
        _, client, path = await self.halfway(first, second)
        await in_thread(first.kill)
        await in_thread(client.kill)
        offset = int((await in_thread(head, second, path)).headers["upload-offset"])
        again = await in_thread(self.upload, second.http_port, f"{second.http}{path}")
        self.assertEqual(await in_thread(again.next, "offset"), offset)
        await self.assertPublished(again, path, second)

    async def test_a_replica_that_is_killed_under_a_client_that_tries_again(self) -> None:
        first, second = await self.proxy(), await self.proxy()
        gate, client, path = await self.halfway(first, second)
        gate.target = ("127.0.0.1", second.http_port)
        await in_thread(first.kill)
        gate.release()
        self.assertGreaterEqual(await in_thread(client.next, "offset"), NOTED)
        await self.assertPublished(client, path, second)
