"""What survives a kill -9 of the replica that a resumable upload goes through."""

from __future__ import annotations

import hashlib
import io
import json

import attrs
from tusclient.client import TusClient

from tests.integration.holding_link import HoldingLink
from tests.integration.http_door import keys_below, read_records
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import in_thread, own_kafka
from tests.integration.tus import (
    MIB,
    TusTestCase,
    begin_patch,
    create,
    head,
    patch,
    patch_and_lose,
    pattern,
    state_keys,
    until,
)


class KillTests(TusTestCase):
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
        self.assertIn(f"lfs-uploads/{path[-32:]}/intent-00000001", keys)
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
        second, path, data = await self.killed_at("/intent-00000001 HTTP/1.1", answer=True)
        # The intent is in the store, and nobody ever produced.
        self.assertIn(f"lfs-uploads/{path[-32:]}/intent-00000001", await in_thread(state_keys, self.servers))
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
