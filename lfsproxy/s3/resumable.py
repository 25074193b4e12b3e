"""What uploads that outlive a process need of S3: small objects of state, and parts one by one.

Operations are those of the Amazon S3 API reference, by their names there. Every state object is created with
If-None-Match: *, which has to be known to the store: see "Conditional writes" in the Amazon S3 user guide.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from crc32c import crc32c
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from lfsproxy.checksums import Buffer, Checksum
from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.interfaces import IResumableStore, ListedObject, StoredPart
from lfsproxy.resumable.errors import NotConditional, OtherBytes
from lfsproxy.s3 import explain
from lfsproxy.s3.answers import Answer
from lfsproxy.s3.cleanup import FIRST_DELAY, Cleanup, Leftover
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.crc import CHECKSUM, encode_crc
from lfsproxy.s3.digest import INLINE_BYTES, digest
from lfsproxy.s3.index import list_objects
from lfsproxy.s3.multipart import MAX_PARTS, Part, crcs_of, told_at_the_end
from lfsproxy.s3.objects import NewObjects
from lfsproxy.s3.upload import is_same

CONFLICT_TRIES = 5
"""S3 answers 409 to one of two conditional writes at the same moment; asked again, it says which won."""

COMPARED = 256 * 1024
"""Bytes that are read back at a time to be compared: more would only be held."""


@implementer(IResumableStore)
class S3ResumableStore:
    """Made by S3Store; shares the store's client, clean-up and limits."""

    def __init__(
        self,
        client: S3Client,
        cleanup: Cleanup,
        reactor: ReactorBase,
        objects: NewObjects,
        concurrency: int,
        part_size: Callable[[int | None], int],
    ) -> None:
        self.bucket = client.location.bucket
        self.concurrency = concurrency
        self.most_parts = MAX_PARTS
        self._client = client
        self._cleanup = cleanup
        self._reactor = reactor
        self._objects = objects
        self._part_size = part_size

    def part_size(self, length: int | None) -> int:
        return self._part_size(length)

    async def create_object(self, key: str, buffers: Sequence[Buffer]) -> bool:
        # Where it is there, it may be what an earlier try of ours wrote, or one that somebody between us and
        # the store made.
        return await self._create(key, self._objects.state(), buffers) or await self._has(key, buffers)

    async def _create(self, key: str, headers: Mapping[str, str], buffers: Sequence[Buffer]) -> bool:
        """Write an object that is not there yet; False where there is one."""
        crc = await self._crc(buffers)
        headers = {**headers, "if-none-match": "*"}
        if crc is not None:
            headers[CHECKSUM] = encode_crc(crc)
        for _ in range(CONFLICT_TRIES):
            answer = await self._client.request(
                "put_object", "PUT", key, headers=headers, body=buffers, accept={409, 412, 501}
            )
            if answer.status != 409:
                break
        if answer.status == 501 and self._objects.encryption:
            raise StoreRefused(
                "the store knows no If-None-Match, or does not encrypt as LFS_S3_SSE says: "
                f"{self._said(answer)}"
            )
        if answer.status == 501:
            raise NotConditional(f"the store does not know If-None-Match: {answer}")
        if answer.status == 409:
            raise StoreUnavailable(f"{self.bucket}/{key} is being written by another: {self._said(answer)}")
        if answer.status == 412:
            return False
        if why := explain.not_kept(self._client.location, answer, self._client.sse):
            # It is ours, as nothing was there.
            self._cleanup.remove_later(Leftover(key, object=True))
            raise StoreRefused(str(why), way_out=why.way_out)
        return True

    def _said(self, answer: Answer) -> str:
        return str(explain.refused(self._client.location, answer))

    async def _has(self, key: str, buffers: Sequence[Buffer]) -> bool:
        """Whether the object has these bytes; it is read back piece by piece."""
        at = 0
        for buffer in buffers:
            whole = memoryview(buffer)
            for start in range(0, len(whole), COMPARED):
                wanted = bytes(whole[start : start + COMPARED])
                if await self.read_object(key, at, len(wanted)) != wanted:
                    return False
                at += len(wanted)
        return await self.read_object(key, at, 1) == b""

    async def read_object(self, key: str, start: int = 0, size: int | None = None) -> bytes | None:
        end = "" if size is None else str(start + size - 1)
        headers = {} if size is None and not start else {"range": f"bytes={start}-{end}"}
        answer = await self._client.request("get_object", "GET", key, headers=headers, accept={404, 416})
        if answer.status == 416:
            return b""
        if answer.status == 404:
            if answer.code == "NoSuchBucket":
                raise StoreRefused(self._said(answer))
            return None
        return answer.body

    async def list_objects(self, prefix: str) -> Sequence[ListedObject]:
        return [one async for page in self.list_pages(prefix) for one in page]

    async def list_pages(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        async for page in list_objects(self._client, prefix):
            yield page

    async def delete_object(self, key: str) -> None:
        try:
            await self._client.delete_object(key)
        except (StoreUnavailable, CancelledError):
            self._cleanup.remove_later(Leftover(key, object=True), FIRST_DELAY, counted=True)
            raise

    async def digest(self, checksums: Sequence[Checksum], data: Buffer) -> None:
        await digest(self._reactor, checksums, data)

    async def put_blob(
        self, key: str, content_type: str, metadata: Mapping[str, str], buffers: Sequence[Buffer]
    ) -> None:
        if await self._create(key, self._objects.blob(key, content_type, metadata), buffers):
            return
        if not await self._has(key, buffers):
            raise OtherBytes(
                f"the blob {key} has other bytes already, from an earlier request for the same upload: "
                "end that upload and begin another"
            )
        head = await self._client.head_object(key)
        if head is None:
            raise StoreUnavailable(f"the blob {key} has to be stored again: it was there, and is gone")
        # It is not removed: another process may have published it by now.
        self._client.must_be_kept(head)

    async def begin_parts(self, key: str, content_type: str, metadata: Mapping[str, str]) -> str:
        headers = self._objects.blob(key, content_type, metadata)
        # One that an unanswered try began is aborted with the upload's end, by its key.
        return (await self._client.create_multipart_upload(key, headers)).upload_id

    async def put_part(self, key: str, upload_id: str, number: int, buffers: Sequence[Buffer]) -> StoredPart:
        crc = await self._crc(buffers)
        part = await self._client.upload_part(key, upload_id, number, buffers, crc)
        return StoredPart(part.number, part.etag, part.crc)

    async def complete_parts(
        self, key: str, upload_id: str, parts: Sequence[StoredPart], length: int, part_size: int
    ) -> bool:
        sizes = [part_size] * (len(parts) - 1) + [length - part_size * (len(parts) - 1)]
        listed = [
            Part(part.number, part.etag, part.crc, size) for part, size in zip(parts, sizes, strict=True)
        ]
        # Another process may have begun it, who knows with which type of checksum. So the store is not told
        # that of the whole, but asked.
        answer = await self._client.complete_multipart_upload(key, upload_id, listed)
        checksums = crcs_of(listed)
        if not answer.is_error:
            told = told_at_the_end(answer)
            return not (told and checksums) or told in checksums
        if answer.status == 409:
            raise StoreUnavailable(f"the blob {key} has to be stored again: {self._said(answer)}")
        # An answer that it is there already, or that its upload is gone, mostly means that it was done.
        there = answer.status == 412 or answer.code == "NoSuchUpload"
        head = await self._client.head_object(key) if there else None
        if head is None or not is_same(head, length, checksums):
            raise StoreRefused(f"the blob {key} cannot be stored: {self._said(answer)}")
        return head.headers.get(CHECKSUM) in checksums

    async def remove_parts(self, key: str, blob: bool) -> None:
        await self._cleanup.remove(Leftover(key, cut_parts=True, unknown_uploads=True, object=blob))

    async def _crc(self, buffers: Sequence[Buffer]) -> int | None:
        if not self._client.checksums:
            return None
        if sum(map(len, buffers)) < INLINE_BYTES:
            return _crc_of(buffers)
        return await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _crc_of, buffers)


def _crc_of(buffers: Sequence[Buffer]) -> int:
    crc = 0
    for buffer in buffers:
        crc = crc32c(buffer, crc)
    return crc
