"""Envelopes that anybody may write: what a download gives, and what it keeps back."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.integration.downloads import DownloadTests, produce
from tests.integration.http_door import start_door
from tests.integration.stack import in_thread


def envelope_of(servers: Any, key: str, **changes: Any) -> bytes:
    """An envelope as anybody may write it, to an object of the bucket."""
    fields = {
        "lfs_version": 1,
        "s3_bucket": servers.bucket,
        "s3_key": key,
        "content_type": "text/plain",
        "content_length": 6,
        "checksum_algo": "sha256",
        "checksum": hashlib.sha256(b"secret").hexdigest(),
    }
    return json.dumps({**fields, **changes}).encode()


class ForgedTests(DownloadTests):
    """An envelope says whatever a producer wrote."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.other = f"lfs/default/{self.topic}-secret/0/0-x.bin"
        client = self.servers.s3_client()
        await in_thread(client.put_object, Bucket=self.servers.bucket, Key=self.other, Body=b"secret")

    async def ask_for(self, key: str, suffix: str = "", **changes: Any) -> tuple[int, str]:
        value = envelope_of(self.servers, key, **changes)
        offset = await in_thread(produce, self.servers, self.topic, value)
        answer = await self.ask(self.path(offset) + suffix)
        self.assertNotIn(b"secret\n", answer.body + b"\n")
        return answer.status, answer.problem

    async def test_places_that_are_not_allowed(self) -> None:
        refused = (403, "envelope-not-allowed")
        own = f"lfs/default/{self.topic}"
        for key in (
            self.other,
            f"{own}/../{self.topic}-secret/0/0-x.bin",
            f"{own}/./0-x.bin",
            f"{own}-secret/0/0-x.bin",
            f"/{own}/0/0-x.bin",
            "lfs-uploads/id/info",
            "",
        ):
            for suffix in ("", "?presign=true"):
                self.assertEqual(await self.ask_for(key, suffix), refused, key)
        self.assertEqual(await self.ask_for(f"{own}/0/0-x.bin", s3_bucket="another"), refused)

    async def test_more_prefixes_by_a_setting(self) -> None:
        prefix = self.other.rpartition("/")[0] + "/"
        value = envelope_of(self.servers, self.other)
        offset = await in_thread(produce, self.servers, self.topic, value)
        self.assertEqual((await self.get(offset)).status, 403)
        self.door = await start_door(self, self.servers, LFS_DOWNLOAD_PREFIXES=f"other/, {prefix}")
        self.assertEqual((await self.get(offset)).body, b"secret")

    async def test_the_older_envelope_of_kafscale_by_the_same_rule(self) -> None:
        key = f"default/{self.topic}/lfs/2026/01/31/obj-1"
        client = self.servers.s3_client()
        await in_thread(client.put_object, Bucket=self.servers.bucket, Key=key, Body=b"secret")
        fields = {
            "kfs_lfs": 1,
            "bucket": self.servers.bucket,
            "key": key,
            "size": 6,
            "sha256": hashlib.sha256(b"secret").hexdigest(),
        }
        offset = await in_thread(produce, self.servers, self.topic, json.dumps(fields).encode())
        refused = await self.get(offset)
        self.assertEqual((refused.status, refused.problem), (403, "envelope-not-allowed"))
        prefix = f"default/{self.topic}/lfs/"
        self.door = await start_door(self, self.servers, LFS_DOWNLOAD_PREFIXES=prefix)
        answer = await self.get(offset)
        self.assertEqual((answer.status, answer.body), (200, b"secret"))
        self.assertEqual(answer.headers["etag"], f'"{fields["sha256"]}"')
        shown = json.loads((await self.ask(self.path(offset) + "/envelope")).body)
        self.assertEqual((shown["lfs_version"], shown["s3_key"], shown["content_length"]), (1, key, 6))

    async def test_envelopes_that_are_not_valid(self) -> None:
        key = f"lfs/default/{self.topic}/0/0-x.bin"
        for changes, problem in (
            ({"lfs_version": 2}, "unsupported-envelope"),
            ({"content_length": "6"}, "invalid-envelope"),
            ({"checksum": "zz"}, "invalid-envelope"),
            ({"content_type": "\ud800"}, "invalid-envelope"),
            ({"s3_key": f"{key}\ud800"}, "invalid-envelope"),
        ):
            for suffix in ("", "/envelope"):
                self.assertEqual(await self.ask_for(key, suffix, **changes), (502, problem))

    async def test_no_header_is_injected(self) -> None:
        key = f"lfs/default/{self.topic}/0/0-x.bin"
        client = self.servers.s3_client()
        await in_thread(client.put_object, Bucket=self.servers.bucket, Key=key, Body=b"secret")
        for content_type in ("text/html\r\nX-Evil: 1", "a\nb", "\u00e9", "", "html", "a/" + "x" * 5000):
            value = envelope_of(self.servers, key, content_type=content_type)
            name = b'a\r\nX-Evil: 1"; filename="b\x00\xff'
            headers = [("lfs-filename", name)]
            offset = await in_thread(produce, self.servers, self.topic, value, headers)
            answer = await self.get(offset)
            self.assertEqual((answer.status, answer.body), (200, b"secret"), content_type)
            self.assertEqual(answer.headers["content-type"], "application/octet-stream")
            self.assertNotIn("x-evil", answer.headers)
