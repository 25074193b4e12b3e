"""The bucket that blobs live in, as an IStore: one client, and what is made of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lfsproxy.checksums import Checksum
from lfsproxy.errors import BlobMissing, BlobTruncated, StoreUnavailable, TooLarge
from lfsproxy.interfaces import IBlobSource, IBlobStore, IMetrics, IPartMemory, IStore
from lfsproxy.net.admission import kept_now
from lfsproxy.s3.cleanup import FIRST_DELAY, Cleanup, Leftover
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.credentials import CredentialSource
from lfsproxy.s3.digest import digest
from lfsproxy.s3.download import S3BlobSource
from lfsproxy.s3.exchange import Exchanges
from lfsproxy.s3.index import S3Index
from lfsproxy.s3.multipart import MAX_PARTS
from lfsproxy.s3.objects import NewObjects
from lfsproxy.s3.resumable import S3ResumableStore
from lfsproxy.s3.signing import S3Location
from lfsproxy.s3.upload import S3Upload, UploadPlan

if TYPE_CHECKING:
    from lfsproxy.net.tls import ClientTls

MIB = 1024 * 1024
IDLE_CONNECTIONS_PER_PART = 8
"""Idle connections that are kept for each part that one upload may send at once: some uploads run at once."""
IDLE_CONNECTIONS = 32
"""Idle connections that are kept in any case: a consumer gets so many small blobs at once, and then more."""
MOST_IDLE_CONNECTIONS = 256
"""Idle connections that are kept where half of the descriptors which no client gets are so many: as many
uploads at once need no new connection, whose handshake over TLS costs as much as several small ones."""
CHECK_SECONDS = 5.0
"""How long trouble may last before ``check`` says what it is: sooner than the caller gives up."""


@implementer(IBlobStore)
@attrs.frozen(eq=False)
class S3Blobs:
    """Made by S3Store, whose sizes and times these are."""

    _client: S3Client
    _cleanup: Cleanup
    _reactor: ReactorBase
    _source: IBlobSource
    _objects: NewObjects
    part_size: int
    concurrency: int
    retry_timeout: float
    upload_memory: int

    @property
    def bucket(self) -> str:
        return self._client.location.bucket

    def begin(
        self,
        key: str,
        content_type: str,
        metadata: Mapping[str, str],
        checksum: Checksum,
        length: int | None,
        memory: IPartMemory,
    ) -> S3Upload:
        headers = self._objects.blob(key, content_type, metadata)
        plan = self.plan(length)
        return S3Upload(
            self._client, self._cleanup, self._reactor, key, headers, checksum, length, memory, plan
        )

    def first_part(self, length: int | None) -> int:
        part_size = self.plan(length).part_size
        return part_size if length is None else min(length, part_size)

    def plan(self, length: int | None) -> UploadPlan:
        """How an upload of ``length`` bytes (None: not known) is cut into parts. Raises TooLarge."""
        needed = -(-(length or 0) // MAX_PARTS)
        if needed <= self.part_size:
            return UploadPlan(self.part_size, self.concurrency)
        part = -(-needed // MIB) * MIB
        most = self.upload_memory // 4
        if part > most:
            raise TooLarge(
                f"{length} bytes need parts of {part} bytes, more than a quarter of LFS_UPLOAD_MEMORY "
                f"({self.upload_memory} bytes)"
            )
        return UploadPlan(part, max(1, min(self.concurrency, self.upload_memory // 2 // part)))

    async def read_back(self, key: str, length: int, checksums: Sequence[Checksum]) -> None:
        try:
            download = await self._source.open(key, length, 0, length)
            try:
                while data := await download.read():
                    await digest(self._reactor, checksums, data)
            finally:
                download.close()
        except (BlobMissing, BlobTruncated) as error:
            raise StoreUnavailable(f"the store does not give back what it has just stored: {error}") from None

    async def delete(self, key: str) -> None:
        """Delete an object; where that fails or is cancelled, it is tried again in the background."""
        try:
            await self._client.delete_object(key)
        except StoreUnavailable:
            # Our caller counts it, as it hears of it.
            self._cleanup.remove_later(Leftover(key, object=True), FIRST_DELAY, counted=True)
            raise
        except CancelledError:
            self._cleanup.remove_later(Leftover(key, object=True))
            raise

    async def check(self) -> None:
        await self._client.head_bucket(min(CHECK_SECONDS, self.retry_timeout))


@implementer(IStore)
@attrs.define(slots=False, eq=False)
class S3Store:
    """One bucket. Sizes in bytes, times in seconds; ``upload_memory`` is the whole process's
    (LFS_UPLOAD_MEMORY), ``random`` gives numbers from 0 to 1.

    ``tls`` says which servers are trusted, None for http; ``objects`` what new objects are made with;
    ``clock`` is the reactor unless given.
    """

    reactor: ReactorBase
    location: S3Location
    credentials: CredentialSource
    metrics: IMetrics
    part_size: int
    concurrency: int
    retry_timeout: float
    upload_memory: int
    checksums: bool
    tls: ClientTls | None
    objects: NewObjects = NewObjects()
    clock: IReactorTime | None = None
    random: Callable[[], float] = random.random
    blobs: S3Blobs = attrs.field(init=False)
    source: S3BlobSource = attrs.field(init=False)
    resumable: S3ResumableStore = attrs.field(init=False)
    index: S3Index = attrs.field(init=False)
    client: S3Client = attrs.field(init=False)
    """The requests one by one, all of whose connections end with the store."""

    def __attrs_post_init__(self) -> None:
        clock = self.clock or self.reactor
        self._exchanges = Exchanges(
            self.reactor,
            clock,
            self.tls,
            connect_timeout=min(5.0, self.retry_timeout / 3),
            idle=max(
                IDLE_CONNECTIONS,
                self.concurrency * IDLE_CONNECTIONS_PER_PART,
                min(MOST_IDLE_CONNECTIONS, kept_now() // 2),
            ),
        )
        self.client = S3Client(
            self._exchanges,
            self.location,
            self.credentials,
            clock,
            self.random,
            self.metrics,
            self.retry_timeout,
            self.checksums,
            self.objects.sse,
        )
        self._cleanup = Cleanup(self.client, clock, self.random, self.metrics)
        self.source = S3BlobSource(self.client, self.credentials, self.reactor, clock, self.retry_timeout)
        self.blobs = blobs = S3Blobs(
            self.client,
            self._cleanup,
            self.reactor,
            self.source,
            self.objects,
            self.part_size,
            self.concurrency,
            self.retry_timeout,
            self.upload_memory,
        )
        self.resumable = S3ResumableStore(
            self.client,
            self._cleanup,
            self.reactor,
            self.objects,
            self.concurrency,
            lambda length: blobs.plan(length).part_size,
        )
        self.index = S3Index(self.client)

    async def close(self) -> None:
        self._cleanup.close()
        await self._exchanges.close()
