"""Envelope in, payload out: what is behind a record, verified on its way. Knows neither Kafka nor HTTP.

Which blobs are given out is told by lfsproxy.following.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from lfsproxy.budget import Lease, MemoryBudget
from lfsproxy.envelope import DEFAULT_CONTENT_TYPE, Envelope, recognise
from lfsproxy.errors import BlobMissing, BlobTruncated, LfsError, NoSuchRecord, UnreadableRecord
from lfsproxy.following import BUFFER_BYTES, Places, Verified
from lfsproxy.interfaces import Header, IBlobDownload, IBlobSource, IMetrics, IRecordLog
from lfsproxy.settings import DEFAULTS

KEPT_VALUE = 64 * 1024
"""Bytes of an ordinary value up to which it is not read a second time to be given out."""


@attrs.frozen
class Found:
    """A record that can be downloaded. ``size`` is in bytes; None is a null value.

    ``checksum`` is the blob's, or the SHA-256 of an ordinary value. ``value`` is a small ordinary one's.
    """

    topic: str
    partition: int
    offset: int
    headers: Sequence[Header]
    size: int | None
    checksum: str
    envelope: Envelope | None
    value: bytes | None

    @property
    def content_type(self) -> str:
        """As the envelope has it: whatever a producer wrote there."""
        return self.envelope.content_type if self.envelope is not None else DEFAULT_CONTENT_TYPE


class Download:
    """One payload on its way out. ``read`` until it gives nothing, then ``close``; or ``close`` earlier."""

    def __init__(
        self,
        downloads: Downloads,
        found: Found,
        lease: Lease,
        bytes_: IBlobDownload | bytes,
        started: float,
    ) -> None:
        self._downloads = downloads
        self._found = found
        self._lease = lease
        self._bytes: IBlobDownload | Verified | bytes = bytes_
        self._started = started
        self._given = 0
        self._result: str | None = "cancelled"

    @property
    def lease(self) -> Lease:
        """The memory of this download: tell it how the client takes the bytes."""
        return self._lease

    def verify(self) -> None:
        """All bytes will be read: the last are handed out only when they have the envelope's checksum."""
        envelope = self._found.envelope
        if envelope is not None and not isinstance(self._bytes, (bytes, Verified)):
            self._bytes = Verified(self._bytes, envelope)

    async def read(self) -> bytes:
        """The next bytes, none at the end. In place of a wrong end BlobCorrupt or a store error."""
        try:
            data = await self._read()
        except LfsError as error:
            self._result = error.result
            raise
        if not data:
            self._result = "ok"
        self._given += len(data)
        return data

    async def _read(self) -> bytes:
        if isinstance(self._bytes, bytes):
            data, self._bytes = self._bytes, b""
            return data
        return await self._bytes.read()

    def fail(self, error: LfsError) -> None:
        """The caller gives it up, for that reason."""
        self._result = error.result

    def close(self) -> None:
        """Let go of the store and the memory, and count how it ended. May be called more than once."""
        result, self._result = self._result, None
        if result is None:
            return
        if not isinstance(self._bytes, bytes):
            self._bytes.close()
        self._bytes = b""
        self._lease.release()
        seconds = self._downloads.clock.seconds() - self._started
        self._downloads.metrics.download(self._found.topic, result, self._given, seconds)


@attrs.frozen
class Downloads:
    """Finds records and gives out what is behind them. ``prefixes`` are allowed besides its topic's."""

    log: IRecordLog
    source: IBlobSource
    budget: MemoryBudget
    metrics: IMetrics
    clock: IReactorTime
    namespace: str = DEFAULTS.namespace
    prefixes: tuple[str, ...] = DEFAULTS.download_prefixes

    async def find(self, topic: str, partition: int, offset: int) -> Found:
        """What is at a place of the log. Asks the store nothing.

        Raises what IRecordLog.read raises, and InvalidEnvelope or UnsupportedEnvelope.
        """
        record = await self.log.read(topic, partition, offset, KEPT_VALUE)
        envelope = recognise(record.value)
        size, checksum = record.size, record.sha256
        if envelope is not None:
            size, checksum = envelope.content_length, envelope.checksum
        return Found(
            topic=topic,
            partition=partition,
            offset=offset,
            headers=record.headers,
            size=size,
            checksum=checksum,
            envelope=envelope,
            value=record.value if envelope is None else None,
        )

    def check(self, found: Found) -> None:
        """Raise EnvelopeNotAllowed for an envelope that points to where this topic's blobs are not."""
        if found.envelope is not None:
            places = Places(self.source.bucket, self.namespace, self.prefixes)
            places.check(found.topic, found.envelope)

    async def check_blob(self, found: Found) -> None:
        """Ask the store whether it has the blob. Raises BlobMissing, BlobTruncated or a store error."""
        if found.envelope is None:
            return
        size = await self.source.size_of(found.envelope.s3_key)
        if size is None:
            raise BlobMissing(f"the blob {found.envelope.s3_bucket}/{found.envelope.s3_key} is missing")
        if size != found.size:
            raise BlobTruncated(
                f"the blob {found.envelope.s3_bucket}/{found.envelope.s3_key} has {size} bytes, its envelope "
                f"says {found.size}"
            )

    async def open(self, found: Found, first: int, count: int, evicted: Callable[[], None]) -> Download:
        """``count`` bytes from ``first`` on, once there is memory for it; the whole is verified.

        ``evicted`` is called where others need the memory and the client is too slow. Raises BlobMissing,
        BlobTruncated, a store error; UnreadableRecord for an ordinary value that there is never memory for,
        and what IRecordLog.read raises where one is read again.
        """
        size = found.size or 0
        ordinary = found.envelope is None
        if ordinary and size > self.budget.largest:
            raise UnreadableRecord(
                f"an ordinary value of {size} bytes is more than LFS_UPLOAD_MEMORY has room for "
                f"({self.budget.largest} bytes)"
            )
        lease = await self.budget.acquire(size if ordinary else min(size, BUFFER_BYTES))
        lease.evicted = evicted
        started = self.clock.seconds()
        try:
            download = Download(self, found, lease, await self._bytes(found, first, count), started)
        except BaseException as error:
            lease.release()
            result = error.result if isinstance(error, LfsError) else "cancelled"
            self.metrics.download(found.topic, result, 0, self.clock.seconds() - started)
            raise
        if count == size:
            download.verify()
        return download

    async def _bytes(self, found: Found, first: int, count: int) -> IBlobDownload | bytes:
        if found.envelope is not None:
            return await self.source.open(found.envelope.s3_key, found.envelope.content_length, first, count)
        value = found.value
        if value is None and found.size:
            # It was let go of until there was memory for it.
            record = await self.log.read(found.topic, found.partition, found.offset, found.size)
            value = record.value
            if value is None or len(value) != found.size:
                raise NoSuchRecord("another record has taken its place meanwhile")
        return (value or b"")[first : first + count]

    async def presign(self, found: Found, seconds: int, disposition: str, content_type: str) -> str:
        """A URL that gives the blob to anyone for ``seconds``. Raises NoSuchRecord or a store error."""
        if found.envelope is None:
            raise NoSuchRecord("an ordinary record has no blob to give a URL of")
        return await self.source.presign(found.envelope.s3_key, seconds, content_type, disposition)
