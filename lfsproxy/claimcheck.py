"""Payload in, envelope out: the one way in for both doors.

A door begins a claim, writes the payload's bytes, and finishes it: then the blob is whole in the store, its
checksum is that of the bytes received, and the envelope may be published. After publishing, the door tells
the claim how that went (published, abort, unknown), and only here is decided what becomes of the blob.
Knows neither Kafka's wire nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.checksums import Buffer, Checksum, new_checksum, parse_checksum
from lfsproxy.envelope import DEFAULT_CONTENT_TYPE, Envelope, object_key
from lfsproxy.errors import (
    BadRequest,
    BrokerRefused,
    BrokerUnavailable,
    ChecksumMismatch,
    ClientGone,
    Draining,
    LfsError,
    StoreUnavailable,
    TooLarge,
)
from lfsproxy.interfaces import IBlobStore, IBlobUpload, IMetrics, IPartMemory, StoredBlob
from lfsproxy.log.trail import TRAIL, Trail, follow
from lfsproxy.log.uploads import SENDER, UploadEnd, log_upload, upload_ended
from lfsproxy.logs import Logger
from lfsproxy.settings import DEFAULTS
from lfsproxy.tracing.spans import NO_SPAN, NO_TRACER, Kind, Span, Tracer

SURELY_NOT_PUBLISHED = (BrokerRefused, BrokerUnavailable, BadRequest, Draining)
"""What IEnvelopePublisher.publish raises when the record is certainly not in the log."""


@attrs.frozen
class Payload:
    """What is known of a payload before its first byte.

    ``path`` is the door (kafka or http); ``length`` is in bytes where known; ``expected`` is the
    client's checksum in hex; ``algorithm`` is that checksum's and the envelope's, None is the default.
    ``index`` is the record's in its batch.
    Content type, algorithm and expected checksum may be told later, by ``Claim.describe``; until then the
    payload may turn out not to be one (``Claim.discard``).
    """

    path: str
    topic: str
    partition: int
    offset_hint: int
    length: int | None = None
    content_type: str = DEFAULT_CONTENT_TYPE
    algorithm: str | None = None
    expected: str | None = None
    index: int = 0


def publish_span(span: Span, topic: str, partition: int) -> Span:
    """The part of an upload's span in which its envelope is published."""
    if not span.on:
        return NO_SPAN
    return span.child(
        f"send {topic}",
        Kind.PRODUCER,
        {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
        },
    )


class Claim:
    """One payload on its way to becoming an envelope. Made by ``ClaimCheck.begin``.

    A stored claim is small: many thousands may await the answer about one Kafka batch.
    """

    __slots__ = (
        "_checks",
        "_checksum",
        "_expected",
        "_payload",
        "_publishing",
        "_received",
        "_sender",
        "_settled",
        "_started",
        "_trail",
        "_upload",
        "is_finished",
        "key",
    )
    _log = Logger()

    def __init__(self, checks: ClaimCheck, payload: Payload, memory: IPartMemory) -> None:
        self._checks = checks
        self._payload = payload
        self._checksum = new_checksum(self._algorithm)
        self._expected = self._parse_expected()
        if payload.length is not None:
            checks.check_size(payload.length)
        self._received = 0
        self._started = checks.clock.seconds()
        self._sender = SENDER.get()
        self._settled = False
        self.is_finished = False
        """Whether its blob is whole and verified in the store, so that nothing but the key is held for it."""
        self.key = object_key(
            checks.namespace, payload.topic, payload.partition, payload.offset_hint, checks.new_uuid()
        )
        work = TRAIL.get()
        self._trail = Trail(work.span, self.key, work.ends)
        self._publishing: Span = NO_SPAN
        with follow(self._trail):
            self._upload: IBlobUpload | None = checks.store.begin(
                self.key,
                payload.content_type,
                {"lfs-topic": payload.topic, "lfs-partition": str(payload.partition)},
                self._checksum,
                payload.length,
                memory,
            )

    @property
    def _algorithm(self) -> str:
        return self._payload.algorithm or self._checks.default_algorithm

    def _parse_expected(self) -> str | None:
        expected = self._payload.expected
        return parse_checksum(self._algorithm, expected) if expected else None

    def describe(self, content_type: str, algorithm: str | None, expected: str | None) -> None:
        """Tell what was not known when the payload began. Raises InvalidChecksum.

        The envelope has it all. The object keeps the default content type where its upload began before. Its
        checksum is computed as the bytes come; where another algorithm is told, the blob is read back for it.
        """
        self._payload = attrs.evolve(
            self._payload, content_type=content_type, algorithm=algorithm, expected=expected
        )
        new_checksum(self._algorithm)  # Raises for one that is not known, before anything is read back.
        self._expected = self._parse_expected()

    async def discard(self) -> None:
        """It was no payload after all: leave nothing in the store, and count no upload. Never raises."""
        if not self._settled:
            self._settled = True
            if self._trail.ends:
                self._trail.span.set({"lfs.discarded": True})
                self._trail.span.end()
            await self._remove()

    def write(self, data: Buffer) -> Deferred[None] | None:
        """Take bytes of the payload; see IBlobUpload.write. Raises TooLarge beyond LFS_MAX_UPLOAD_SIZE."""
        self._received += len(data)
        self._checks.check_size(self._received)
        if self._upload is None:
            raise RuntimeError("not possible when the blob is stored")
        return self._upload.write(data)

    async def finish(self) -> Envelope:
        """The whole payload was written: verify it, make the blob visible, and return its envelope.

        Raises ChecksumMismatch, ClientGone (fewer or more bytes than announced) or a store error; then the
        door calls ``abort``.
        """
        payload = self._payload
        if payload.length is not None and payload.length != self._received:
            raise ClientGone(f"{payload.length} bytes were announced, {self._received} came")
        upload = self._upload
        if upload is None:
            raise RuntimeError("not possible when the blob is stored")
        await upload.seal()
        computed = self._checksum
        if computed.name == self._algorithm:
            self._compare(computed)
        blob = await upload.commit({"lfs-checksum": computed.hexdigest(), "lfs-checksum-algo": computed.name})
        self._upload = None
        if computed.name != self._algorithm:
            computed = await self._read_back(blob)
            self._compare(computed)
        self.is_finished = True
        self._publishing = publish_span(self._trail.span, payload.topic, payload.partition)
        return Envelope(
            s3_bucket=blob.bucket,
            s3_key=blob.key,
            content_type=payload.content_type,
            content_length=blob.length,
            checksum_algo=computed.name,
            checksum=computed.hexdigest(),
        )

    async def _read_back(self, blob: StoredBlob) -> Checksum:
        """The checksum that was told late, of the bytes received: what the store gives back is compared."""
        again, told = new_checksum(self._checksum.name), new_checksum(self._algorithm)
        await self._checks.store.read_back(blob.key, blob.length, [again, told])
        if again.hexdigest() != self._checksum.hexdigest():
            raise StoreUnavailable("the store gives back other bytes than it was given to store")
        return told

    def _compare(self, computed: Checksum) -> None:
        actual = computed.hexdigest()
        if self._expected is not None and self._expected != actual:
            raise ChecksumMismatch(computed.name, self._expected, actual)

    async def abort(self, error: LfsError) -> None:
        """Nothing was published, surely, or will be: leave nothing in the store. Never raises."""
        if self._settle(error.result, str(error)):
            if isinstance(error, ChecksumMismatch):
                self._checks.metrics.checksum_mismatch(self._payload.path)
            await self._remove()

    def published(self, base_offset: int) -> None:
        """The broker has acknowledged the envelope; its batch begins at that offset, -1 is not known."""
        self._settle("ok", "", base_offset)

    def unknown(self, why: str) -> None:
        """The envelope may be in the log: the blob stays, counted and logged for garbage collection."""
        if self._settle("broker_error", why):
            self._checks.metrics.orphan("unknown_outcome")
            self._log.warn(
                "it is not known whether an envelope was published, its blob stays: {bucket}/{key} ({why})",
                bucket=self._checks.store.bucket,
                key=self.key,
                why=why,
            )

    def _settle(self, result: str, reason: str, base_offset: int = -1) -> bool:
        if self._settled:
            return False
        self._settled = True
        payload = self._payload
        offset = base_offset + payload.index if base_offset >= 0 else None
        if self._trail.span.on:
            self._end_spans(offset, reason)
        upload_ended(
            self._checks.metrics,
            UploadEnd(
                door=payload.path,
                topic=payload.topic,
                partition=payload.partition,
                offset=offset,
                key=self.key,
                size=self._received,
                seconds=self._checks.clock.seconds() - self._started,
                result=result,
                reason=reason,
                sender=self._sender,
                trail=self._trail,
            ),
        )
        return True

    def _end_spans(self, offset: int | None, error: str) -> None:
        if offset is not None:
            self._publishing.set({"messaging.kafka.offset": offset})
        self._publishing.end(error)
        self._publishing = NO_SPAN
        span = self._trail.span
        span.set({"aws.s3.key": self.key, "lfs.bytes": self._received})
        if self._trail.ends:
            span.end(error)

    def belongs_to(self, headers: Mapping[str, str]) -> None:
        """Tell which trace the payload is of, learnt when its span had begun (W3C Trace Context)."""
        self._trail.span.link(headers)

    async def _remove(self) -> None:
        if self._upload is not None:
            await self._upload.abort()
            return
        try:
            await self._checks.store.delete(self.key)
        except LfsError as error:
            self._checks.metrics.orphan("delete_failed")
            self._log.warn(
                "a blob without an envelope could not be deleted: {bucket}/{key} ({error})",
                bucket=self._checks.store.bucket,
                key=self.key,
                error=error,
            )


@attrs.frozen
class ClaimCheck:
    """Begins claims. ``max_size`` is in bytes, 0 is unlimited (LFS_MAX_UPLOAD_SIZE)."""

    store: IBlobStore
    metrics: IMetrics
    clock: IReactorTime
    namespace: str = DEFAULTS.namespace
    default_algorithm: str = DEFAULTS.checksum_algo
    max_size: int = DEFAULTS.max_upload_size
    new_uuid: Callable[[], UUID] = uuid4
    tracer: Tracer = NO_TRACER

    def check_size(self, size: int) -> None:
        """Raise TooLarge where ``size`` bytes are more than LFS_MAX_UPLOAD_SIZE allows."""
        if self.max_size and size > self.max_size:
            raise TooLarge(f"more than LFS_MAX_UPLOAD_SIZE allows ({self.max_size} bytes)")

    def begin(self, payload: Payload, memory: IPartMemory) -> Claim:
        """Start a claim; nothing is sent yet. The caller holds the memory of the payload's first part.

        Raises InvalidChecksum for an unknown algorithm or unusable checksum, TooLarge for a known length
        beyond LFS_MAX_UPLOAD_SIZE or the store's limits.
        """
        try:
            return Claim(self, payload, memory)
        except LfsError as error:
            log_upload(
                UploadEnd(
                    door=payload.path,
                    topic=payload.topic,
                    partition=payload.partition,
                    result=error.result,
                    reason=str(error),
                )
            )
            trail = TRAIL.get()
            if trail.ends:
                trail.span.end(str(error))
            raise
