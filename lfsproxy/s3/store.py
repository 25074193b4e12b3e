"""The bucket that blobs live in: puts the client, uploads and clean-up together."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lfsproxy.checksums import Checksum
from lfsproxy.errors import StoreUnavailable, TooLarge
from lfsproxy.interfaces import IBlobStore, IBlobUpload, IMetrics, IPartMemory
from lfsproxy.net.tls import ClientTls
from lfsproxy.s3.cleanup import FIRST_DELAY, Cleanup, Leftover
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.credentials import CredentialSource
from lfsproxy.s3.download import S3BlobSource
from lfsproxy.s3.exchange import Exchanges
from lfsproxy.s3.resumable import S3ResumableStore
from lfsproxy.s3.signing import S3Location
from lfsproxy.s3.upload import MAX_PARTS, S3Upload, UploadPlan, meta, object_headers

MIB = 1024 * 1024
IDLE_CONNECTIONS_PER_PART = 8
CHECK_SECONDS = 5.0
"""How long trouble may last before ``check`` says what it is: sooner than whoever asks gives up."""


@implementer(IBlobStore)
@attrs.define(slots=False, eq=False)
class S3Store:
    """Sizes in bytes, times in seconds. ``upload_memory`` is the whole process's (LFS_UPLOAD_MEMORY).

    ``tls`` says which servers are trusted, those of the system's authorities unless given; ``clock`` is the
    reactor unless given.
    """

    reactor: ReactorBase
    location: S3Location
    credentials: CredentialSource
    metrics: IMetrics
    part_size: int = 8 * MIB
    concurrency: int = 4
    retry_timeout: float = 15.0
    upload_memory: int = 128 * MIB
    checksums: bool = True
    tls: ClientTls = attrs.field(factory=lambda: ClientTls("LFS_S3", ""))
    clock: IReactorTime | None = None
    random: Callable[[], float] = random.random
    bucket: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.bucket = self.location.bucket
        clock = self.clock or self.reactor
        self._exchanges = Exchanges(
            self.reactor,
            clock,
            self.tls,
            connect_timeout=min(5.0, self.retry_timeout / 3),
            idle=self.concurrency * IDLE_CONNECTIONS_PER_PART,
        )
        self._client = S3Client(
            self._exchanges,
            self.location,
            self.credentials,
            clock,
            self.random,
            self.metrics,
            self.retry_timeout,
            self.checksums,
        )
        self._cleanup = Cleanup(self._client, clock, self.random, self.metrics)

    def begin(
        self,
        key: str,
        content_type: str,
        metadata: Mapping[str, str],
        checksum: Checksum,
        length: int | None,
        memory: IPartMemory,
    ) -> IBlobUpload:
        headers = {**object_headers(content_type), **meta(metadata)}
        plan = self.plan(length)
        return S3Upload(
            self._client, self._cleanup, self.reactor, key, headers, checksum, length, memory, plan
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

    def resumable(self) -> S3ResumableStore:
        """The same bucket, for uploads that outlive a process."""
        return S3ResumableStore(
            self._client,
            self._cleanup,
            self.reactor,
            self.concurrency,
            lambda length: self.plan(length).part_size,
        )

    def source(self) -> S3BlobSource:
        """The same bucket, to be read from."""
        return S3BlobSource(
            self._client, self.credentials, self.reactor, self.clock or self.reactor, self.retry_timeout
        )

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

    async def close(self) -> None:
        """Give up what is cleaned up in the background, and close idle connections."""
        self._cleanup.close()
        await self._exchanges.close()
