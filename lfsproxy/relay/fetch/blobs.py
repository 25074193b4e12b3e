"""The blobs of one answer: what has to be known before its first byte leaves, and then their bytes.

A small blob is got whole, and verified. Of a larger one the store tells length and CRC-32C; it is streamed
when its turn comes, and verified on its way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, NoReturn

import attrs
from twisted.internet.defer import Deferred

from lfsproxy.codes import KafkaCode
from lfsproxy.errors import BlobCorrupt, BlobMissing, BlobTruncated, LfsError, StoreUnavailable
from lfsproxy.following import Verified
from lfsproxy.logs import Logger
from lfsproxy.relay.fetch.plan import Blob, Place
from lfsproxy.relay.fetch.shared import Shared
from lfsproxy.wakeups import all_of

SMALL_AT_ONCE: Final = 32
"""Small blobs of one answer that are got side by side; ``small.AT_ONCE`` is for all answers."""
LARGE_AT_ONCE: Final = 4
"""Larger blobs that the store is asked about side by side: one without a checksum there is read through."""
AGAIN_SECONDS: Final = 1.0
"""How long a blob is waited for that the store was in trouble with a while ago. A store that is well again
answers sooner; what is behind a blob that it never gives does not wait for LFS_S3_RETRY_TIMEOUT each time."""

_log = Logger()


class _Suspect(LfsError):
    """The blob has turned out wrong a short while ago."""


@attrs.frozen(eq=False)
class _Got:
    """A blob's CRC-32C, and its bytes where it is held, or on their way."""

    crc: int
    pieces: Sequence[bytes] | None = None
    stream: Verified | None = None

    def close(self) -> None:
        """Let go of it."""
        if self.stream is not None:
            self.stream.close()


Get = Callable[[Blob], Coroutine[Any, Any, _Got]]


class Blobs:
    """The blobs of one answer, for ``client`` at ``peer``. ``close`` lets go of all of them.

    ``failed`` are the records whose blobs cannot be given, with the error code of their partition, None where
    the envelope stays.
    """

    def __init__(self, shared: Shared, client: str, peer: str) -> None:
        self.failed: dict[Place, int | None] = {}
        self._shared = shared
        self._peer = peer
        self._client = client
        self._got: dict[Place, _Got] = {}
        self._trouble: LfsError | None = None
        self._trouble_again: LfsError | None = None

    @property
    def got(self) -> frozenset[Place]:
        """The records whose blobs are at hand."""
        return frozenset(self._got)

    async def get(self, blobs: Sequence[Blob]) -> bool:
        """Get what was not got yet, and let go of what is not among ``blobs``; whether all are there."""
        for at in self._got.keys() - {blob.at for blob in blobs}:
            self._got.pop(at).close()
        failed = len(self.failed)
        missing = [blob for blob in blobs if blob.at not in self._got]
        small = [blob for blob in missing if blob.is_small]
        large = [blob for blob in missing if not blob.is_small]
        first = next((blob for blob in blobs if not blob.is_small), None)

        async def get_large(blob: Blob) -> _Got:
            return await (self._begun(blob) if blob is first else self._known(blob))

        getting = [
            *self._begin(small, self._whole, SMALL_AT_ONCE),
            *self._begin(large, get_large, LARGE_AT_ONCE),
        ]
        # What goes wrong with a blob is noted in ``failed``: this fails where it is given up, or broken.
        await all_of(getting)
        return len(self.failed) == failed

    def crc(self, blob: Blob) -> int:
        """The CRC-32C of a blob that was got."""
        return self._got[blob.at].crc

    async def send(self, blob: Blob, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write the bytes of a blob that was got; nothing of it is held any more after that.

        The last ones are written only when all are right. Raises a store error, BlobMissing, BlobTruncated or
        BlobCorrupt; after the last two nobody gets the blob for a while.
        """
        got = self._got.pop(blob.at)
        if got.pieces is not None:
            for piece in got.pieces:
                await write(piece)
            return
        try:
            verified = got.stream or await self._open(blob)
            try:
                while data := await verified.read():
                    await write(data)
            finally:
                verified.close()
        except (BlobTruncated, BlobCorrupt) as error:
            self._shared.suspects.add(blob.envelope.s3_key, str(error))
            raise
        except StoreUnavailable as error:
            self._shared.troubled.put(blob.envelope.s3_key, str(error))
            raise

    def close(self) -> None:
        """Let go of everything."""
        while self._got:
            self._got.popitem()[1].close()

    def _begin(self, blobs: Sequence[Blob], get: Get, at_once: int) -> list[Deferred[None]]:
        """Get blobs, some side by side, in their order."""
        left = iter(blobs)
        return [Deferred.fromCoroutine(self._get_each(left, get)) for _ in blobs[:at_once]]

    async def _get_each(self, blobs: Iterator[Blob], get: Get) -> None:
        for blob in blobs:
            try:
                self._got[blob.at] = await self._get(blob, get)
            except LfsError as error:
                self._fail(blob, error)

    async def _get(self, blob: Blob, get: Get) -> _Got:
        why = self._shared.suspects.why(blob.envelope.s3_key)
        if why is not None:
            raise _Suspect(why)
        known = self._shared.troubled.get(blob.envelope.s3_key)
        if known is not None:
            return await self._get_again(blob, get, known)
        if self._trouble is not None:
            # Each would take as long as the first to find out.
            raise self._trouble
        try:
            return await get(blob)
        except StoreUnavailable as error:
            self._trouble = error
            self._shared.troubled.put(blob.envelope.s3_key, str(error))
            raise

    async def _get_again(self, blob: Blob, get: Get, known: str) -> _Got:
        """Get what there was trouble with. That there still is says nothing of the others."""

        def give_up(*_: object) -> NoReturn:
            raise StoreUnavailable(f"still not there after {AGAIN_SECONDS:g} s more: {known}")

        if self._trouble_again is not None:
            raise self._trouble_again
        try:
            getting = Deferred.fromCoroutine(get(blob))
            got: _Got = await getting.addTimeout(AGAIN_SECONDS, self._shared.reactor, give_up)
        except StoreUnavailable as error:
            self._trouble_again = error
            raise
        self._shared.troubled.forget(blob.envelope.s3_key)
        return got

    async def _whole(self, blob: Blob) -> _Got:
        whole = await self._shared.small.get(blob.envelope)
        return _Got(whole.crc, whole.pieces)

    async def _begun(self, blob: Blob) -> _Got:
        """The first one that is streamed is asked for at once: mostly the store tells its CRC-32C with it."""
        size = blob.envelope.content_length
        download = await self._shared.source.open(blob.envelope.s3_key, size, 0, size)
        try:
            crc = download.crc32c
            if crc is None:
                crc = (await self._known(blob)).crc
        except BaseException:
            download.close()
            raise
        return _Got(crc, stream=Verified(download, blob.envelope))

    async def _known(self, blob: Blob) -> _Got:
        return _Got(await self._shared.source.crc32c(blob.envelope.s3_key, blob.envelope.content_length))

    async def _open(self, blob: Blob) -> Verified:
        source, envelope = self._shared.source, blob.envelope
        size = envelope.content_length
        return Verified(await source.open(envelope.s3_key, size, 0, size), envelope)

    def _fail(self, blob: Blob, error: LfsError) -> None:
        code: int | None = KafkaCode.CORRUPT_MESSAGE
        instead = "CORRUPT_MESSAGE at this offset, until the blob is right again"
        match _result(error):
            case "missing" if self._shared.rules.keeps:
                code, instead = None, "the envelope"
            case "missing":
                instead = (
                    "CORRUPT_MESSAGE at this offset, until the blob is there again; "
                    "with LFS_HYDRATE_MISSING=envelope it gets the envelope"
                )
            case "store_error":
                code, instead = KafkaCode.KAFKA_STORAGE_ERROR, "KAFKA_STORAGE_ERROR, and fetches again"
        self.failed[blob.at] = code
        self.tell(blob, error, f"it gets {instead}")

    def tell(self, blob: Blob, error: LfsError, then: str) -> None:
        """Count and log that the consumer does not get a blob, and what happens ``then``."""
        topic, partition, offset = blob.at
        self._shared.metrics.hydration(topic, _result(error), 0)
        _log.warn(
            "Kafka client {client_id} ({peer}) does not get the blob of {topic}, partition {partition}, "
            "offset {offset} ({key}): {error}; {then}",
            client_id=self._client,
            peer=self._peer,
            topic=topic,
            partition=partition,
            offset=offset,
            key=blob.envelope.s3_key,
            error=error,
            then=then,
            kind=error,
        )


def _result(error: LfsError) -> str:
    """The label of the metrics."""
    if isinstance(error, BlobMissing):
        return "missing"
    return "corrupt" if isinstance(error, BlobTruncated | BlobCorrupt | _Suspect) else "store_error"
