"""What kinds of S3 servers can do: the table of docs/operate/stores.md.

    python -m tests.integration.store_probes

starts each of them, asks what the proxy asks, and prints the table. A test compares it with the page.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from unittest import SkipTest
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener
from uuid import uuid4

import attrs
from botocore.exceptions import ClientError
from crc32c import crc32c
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from lfsproxy.devstack import S3Server
from lfsproxy.envelope import object_key
from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.resumable.errors import NotConditional
from lfsproxy.s3.answers import Answer
from lfsproxy.s3.crc import CHECKSUM, encode_crc
from lfsproxy.s3.index import list_uploads
from lfsproxy.s3.objects import NewObjects, encryption
from lfsproxy.s3.store import S3Store
from lfsproxy.testing import MemoryMetrics
from tests.integration.stack import BUCKET, in_thread, s3_client
from tests.integration.stores import KMS_KEY, STORES, shared_store
from tests.integration.test_s3 import PART, make_store

YES, NO, IGNORED = "yes", "no", "takes it, does nothing"
PATIENCE = 2.0
"""Seconds after which a refusal that the proxy would try again is an answer here."""
_ANY = range(300, 600)


@attrs.frozen
class Probes:
    """Questions to one server, below a prefix of their own. Each gives the words of the table's cell."""

    server: S3Server
    store: S3Store
    client: Any
    topic: str = attrs.Factory(lambda: f"probe-{uuid4()}")

    def key(self) -> str:
        """A new blob's."""
        return object_key("default", self.topic, 0, 0, uuid4())

    async def conditional_put(self) -> str:
        """As the proxy asks before it offers resumable uploads."""
        key = self.key()
        try:
            made = [await self.store.resumable.create_object(key, [data]) for data in (b"first", b"second")]
        except NotConditional:
            return NO
        return YES if made == [True, False] else IGNORED

    async def conditional_complete(self) -> str:
        key, client = self.key(), self.store.client
        upload_id = (await client.create_multipart_upload(key, {})).upload_id
        part = await client.upload_part(key, upload_id, 1, [b"parts"], crc32c(b"parts"))
        await client.put_object(key, {}, [b"there"], None)
        answer = await client.complete_multipart_upload(key, upload_id, [part])
        if answer.status == 412:
            await client.abort_multipart_upload(key, upload_id)
        return YES if answer.status == 412 else IGNORED

    async def crc32c(self) -> str:
        key, client = self.key(), self.store.client
        await client.put_object(key, {}, [b"data"], crc32c(b"data"))
        wrong = {CHECKSUM: encode_crc(crc32c(b"other data"))}
        try:
            await client.request("put_object", "PUT", key, headers=wrong, body=[b"data"], patience=PATIENCE)
        except (StoreRefused, StoreUnavailable) as error:
            if re.search("Digest|Checksum", str(error)):
                return YES
            raise
        return IGNORED

    async def full_object(self) -> str:
        key, client = self.key(), self.store.client
        begun = await client.create_multipart_upload(key, {})
        if not begun.whole:
            await client.abort_multipart_upload(key, begun.upload_id)
            return NO
        crc = crc32c(b"data")
        part = await client.upload_part(key, begun.upload_id, 1, [b"data"], crc)
        await client.complete_multipart_upload(key, begun.upload_id, [part], encode_crc(crc))
        return YES

    async def head_of_a_part(self) -> str:
        key, client = self.key(), self.store.client
        upload_id = (await client.create_multipart_upload(key, {})).upload_id
        pieces = [bytes(PART), b"data"]
        parts = [
            await client.upload_part(key, upload_id, number, [piece], crc32c(piece))
            for number, piece in enumerate(pieces, 1)
        ]
        await client.complete_multipart_upload(key, upload_id, parts)
        answer = await client.head_part(key, 2)
        told = answer.headers.get(CHECKSUM) == encode_crc(crc32c(b"data"))
        return YES if not answer.is_error and told else NO

    async def uploads_below_a_prefix(self) -> str:
        return await self._listed(f"lfs/default/{self.topic}/")

    async def uploads_in_pages(self) -> str:
        """Of one key, which each of the servers lists."""
        return await self._listed(self.key(), page=1)

    async def _listed(self, prefix: str, page: int | None = None) -> str:
        client = self.store.client
        key = prefix if page else self.key()
        begun = {(await client.create_multipart_upload(key, {})).upload_id for _ in range(2)}
        try:
            pages = list_uploads(client, prefix, page)
            found = {one.upload_id async for each in pages for one in each}
        except StoreRefused:
            return NO
        finally:
            for upload_id in begun:
                await client.abort_multipart_upload(key, upload_id)
        return YES if begun <= found else NO

    async def delete_objects(self) -> str:
        keys = [self.key(), self.key()]
        for key in keys:
            await self.store.client.put_object(key, {}, [b"data"], None)
        delete = {"Objects": [{"Key": key} for key in keys]}
        try:
            await in_thread(self.client.delete_objects, Bucket=BUCKET, Delete=delete)
        except ClientError:
            return NO
        return YES if all([await self.store.client.head_object(key) is None for key in keys]) else IGNORED

    async def _made(self, objects: NewObjects) -> tuple[str, Answer] | None:
        """A new blob that is made so, and what HEAD tells of it; None where the server refuses."""
        key = self.key()
        try:
            await self.store.client.put_object(key, objects.blob(key, "a/b", {}), [b"data"], None)
        except StoreRefused:
            return None
        head = await self.store.client.head_object(key)
        assert head is not None
        return key, head

    async def _told(self, objects: NewObjects, header: str, wanted: str) -> str:
        made = await self._made(objects)
        if made is None:
            return NO
        return YES if made[1].headers.get(header) == wanted else IGNORED

    async def sse_s3(self) -> str:
        asked = encryption("AES256", "", bucket_key=False)
        return await self._told(NewObjects(asked), "x-amz-server-side-encryption", "AES256")

    async def sse_kms(self) -> str:
        asked = encryption("aws:kms", KMS_KEY, bucket_key=False)
        return await self._told(NewObjects(asked), "x-amz-server-side-encryption", "aws:kms")

    async def storage_class(self) -> str:
        return await self._told(NewObjects(storage_class="STANDARD_IA"), "x-amz-storage-class", "STANDARD_IA")

    async def tags(self) -> str:
        made = await self._made(NewObjects(tags=[("topic", "{topic}")]))
        if made is None:
            return NO
        try:
            kept = await in_thread(self.client.get_object_tagging, Bucket=BUCKET, Key=made[0])
        except ClientError:
            return IGNORED
        return YES if kept["TagSet"] == [{"Key": "topic", "Value": self.topic}] else IGNORED

    async def presigned(self) -> str:
        key = self.key()
        await self.store.client.put_object(key, {}, [b"data"], None)
        url = await self.store.source.presign(key, 60, "text/x-probe", "attachment")
        return await in_thread(_fetched, url)


def _fetched(url: str) -> str:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=10) as answer:
            told = answer.headers["Content-Type"] == "text/x-probe" and answer.read() == b"data"
    except HTTPError as error:
        error.close()
        return NO
    return YES if told else "yes, without its header fields"


ROWS: Mapping[str, Callable[[Probes], Awaitable[str]]] = {
    "`If-None-Match` on PutObject": Probes.conditional_put,
    "`If-None-Match` on CompleteMultipartUpload": Probes.conditional_complete,
    "CRC-32C of what is sent": Probes.crc32c,
    "CRC-32C of a whole blob of parts (FULL_OBJECT)": Probes.full_object,
    "HEAD of one part, with its CRC-32C": Probes.head_of_a_part,
    "unfinished uploads below a prefix": Probes.uploads_below_a_prefix,
    "unfinished uploads in pages": Probes.uploads_in_pages,
    "DeleteObjects": Probes.delete_objects,
    "presigned URLs": Probes.presigned,
    "`LFS_S3_SSE=AES256`": Probes.sse_s3,
    "`LFS_S3_SSE=aws:kms`": Probes.sse_kms,
    "`LFS_S3_STORAGE_CLASS=STANDARD_IA`": Probes.storage_class,
    "`LFS_S3_TAGS`": Probes.tags,
}


async def probed(kind: str) -> list[str]:
    """The cells of a kind's column. Raises SkipTest where the server cannot be had."""
    server = await shared_store(kind)
    store = make_store(server, MemoryMetrics())
    probes = Probes(server, store, s3_client(server))
    try:
        return [await ask(probes) for ask in ROWS.values()]
    finally:
        await store.close()


def table(columns: Mapping[str, Sequence[str]]) -> str:
    """In Markdown."""
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[row, *cells] for row, *cells in zip(ROWS, *columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


async def _print() -> None:
    columns = {}
    for kind in STORES:
        try:
            columns[kind] = await probed(kind)
        except SkipTest as why:
            print(f"{kind}: {why}")
    print(table(columns))


def main(reactor: Any) -> Deferred[None]:
    """Print the table."""
    return Deferred.fromCoroutine(_print())


if __name__ == "__main__":
    react(main)
