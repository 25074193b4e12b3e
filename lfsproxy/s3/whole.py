"""The CRC-32C of a whole blob, without reading it where the store can tell.

    one PUT, or type FULL_OBJECT    HEAD tells it
    type COMPOSITE                  HEAD with partNumber tells each part's, which are combined
    none, LFS_S3_CHECKSUM=none      the blob is read through

What had to be combined or read is kept by key and ETag. HEAD comes first all the same: it says that the blob
is there, and still the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import attrs
from crc32c import CRC32CHash
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred

from lfsproxy.errors import BlobMissing, BlobTruncated
from lfsproxy.interfaces import IBlobDownload
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.crc import CHECKSUM, composite_crc, decode_crc, told_crc, whole_crc
from lfsproxy.s3.digest import digest
from lfsproxy.s3.multipart import MAX_PARTS
from lfsproxy.shared import Shared
from lfsproxy.wakeups import Semaphore, all_of

KNOWN = 1000
"""Blobs whose CRC-32C is kept: some hundred bytes each."""
PARTS_AT_ONCE = 8
"""Parts of one blob that are asked for side by side."""
READS_AT_ONCE = 8
"""Blobs that are read through side by side: each holds what one read of a socket brings."""


@attrs.frozen
class Blob:
    """A blob as it is now; ``etag`` is empty where the store gives none to rely on."""

    key: str
    size: int
    etag: str


class WholeCrcs:
    """``open_whole`` opens all of a blob, and no other one than that of its ETag."""

    def __init__(
        self,
        client: S3Client,
        reactor: ReactorBase,
        open_whole: Callable[[Blob], Awaitable[IBlobDownload]],
    ) -> None:
        self._client = client
        self._reactor = reactor
        self._open_whole = open_whole
        self._known: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._asked = Shared(reactor, self._ask, abandons=True)
        self._reads = Semaphore(reactor, READS_AT_ONCE)

    def of(self, key: str, size: int) -> Deferred[int]:
        """See IBlobSource.crc32c. Several that ask for the same blob at once share the work."""
        return self._asked.get((key, size))

    async def _ask(self, wanted: tuple[str, int]) -> int:
        key, size = wanted
        head = await self._client.head_object(key)
        name = f"{self._client.location.bucket}/{key}"
        if head is None:
            # An answer to HEAD does not say whether it is the bucket that is gone.
            await self._client.head_bucket()
            raise BlobMissing(f"the blob {name} is missing")
        there = head.headers.get("content-length", "")
        if there != str(size):
            raise BlobTruncated(f"the blob {name} has {there} bytes, its envelope says {size}")
        blob = Blob(key, size, head.tag)
        crc = told_crc(head.headers)
        if crc is not None:
            return crc
        place = key, blob.etag
        crc = self._known.get(place)
        if crc is None:
            crc = await self._of_parts(blob, head.headers.get(CHECKSUM, ""))
        if crc is None:
            crc = await self._read(blob)
        if blob.etag:
            self._known[place] = crc
            self._known.move_to_end(place)
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return crc

    async def _of_parts(self, blob: Blob, composite: str) -> int | None:
        """Out of those of the parts; None where the store does not tell them, or not so that they fit."""
        number = composite.partition("-")[2]
        if not number.isdecimal() or int(number) > MAX_PARTS:
            return None
        parts: list[tuple[int, int]] = []
        while len(parts) < int(number):
            # The first one by itself: not every store knows what is asked.
            first, last = len(parts) + 1, min(int(number), len(parts) + (PARTS_AT_ONCE if parts else 1))
            told = await all_of(
                [Deferred.fromCoroutine(self._part(blob, each)) for each in range(first, last + 1)]
            )
            for each in told:
                if each is None:
                    return None
                parts.append(each)
        fits = sum(size for _, size in parts) == blob.size
        return whole_crc(parts) if fits and composite_crc([crc for crc, _ in parts]) == composite else None

    async def _part(self, blob: Blob, number: int) -> tuple[int, int] | None:
        """A part's CRC-32C and its size; None where the store does not tell them."""
        answer = await self._client.head_part(blob.key, number)
        crc = decode_crc(answer.headers.get(CHECKSUM, ""))
        size = answer.headers.get("content-length", "")
        return (crc, int(size)) if not answer.is_error and crc is not None and size.isdecimal() else None

    async def _read(self, blob: Blob) -> int:
        checksum = CRC32CHash()
        async with self._reads:
            download = await self._open_whole(blob)
            try:
                while data := await download.read():
                    await digest(self._reactor, [checksum], data)
            finally:
                download.close()
        return checksum.checksum
