"""From a mark that is complete to a published record, at most once whatever dies on the way.

    complete ─▶ blob whole ─▶ checksum right ─▶ intent created ─▶ published ─▶ ``result``
                                                    │ by another
                                                    └─▶ wait for ``result``, look into the log

Only the creator of the intent may produce, and only for START_SECONDS: see lfsproxy.resumable.fence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lfsproxy.budget import MemoryBudget
from lfsproxy.checksums import new_checksum
from lfsproxy.claimcheck import SURELY_NOT_PUBLISHED, publish_span
from lfsproxy.envelope import Envelope
from lfsproxy.errors import (
    BrokerUnavailable,
    ChecksumMismatch,
    LfsError,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
)
from lfsproxy.interfaces import IEnvelopePublisher, IMetrics, IResumableStore, Published
from lfsproxy.log.trail import TRAIL
from lfsproxy.log.uploads import UploadEnd, upload_ended
from lfsproxy.logs import Logger
from lfsproxy.resumable.errors import OutcomeStaysUnknown, UploadBusy, UploadGone, UploadNotFound
from lfsproxy.resumable.fence import RESULT, UNKNOWN, Fence, Stand, is_fence, void_name
from lfsproxy.resumable.readback import checksum_of_blob
from lfsproxy.resumable.state import Found, Info, UploadState, marks_of
from lfsproxy.resumable.voids import Voids

PATH = "tus"
GRACE_SECONDS = 30.0
"""How long after an intent and the time that a publish may take the log is believed to show it or not."""

START_SECONDS = 25.0
"""How long after it asked for an intent its creator may begin to publish: S3 may answer late. The rest of
GRACE_SECONDS is for the log to show the record."""

POLL_SECONDS = 2.0
"""Between two looks at an upload that another replica publishes: a client waits meanwhile."""
INTENT_TRIES = 5
"""How often the next intent is tried for: each time another replica was first and has given up since."""


@attrs.frozen
class Publication:
    """Publishes complete uploads, and gives up others. ``clock`` tells seconds since the epoch."""

    store: IResumableStore
    publisher: IEnvelopePublisher
    budget: MemoryBudget
    metrics: IMetrics
    clock: IReactorTime
    nonce: Callable[[], str]
    voids: Voids
    _log = Logger()

    async def finish(self, state: UploadState, found: Found) -> Published:
        """Publish a complete upload, or find out how that went before.

        Raises ChecksumMismatch (the upload is gone then), the publisher's errors, OutcomeUnknown,
        OutcomeStaysUnknown, UploadGone, or a store error; after all but the first it may be asked again.
        """
        if not found.mark.complete:
            raise RuntimeError(f"the upload {state.id} is not complete")
        fence = await self._not_ours(state, await state.must_be_alive(found))
        if fence.stand is not Stand.FREE:
            return await self._others(state, found, fence)
        envelope = await self._whole_blob(state, found)
        return await self._publish(state, found, fence, envelope)

    async def _not_ours(self, state: UploadState, fence: Fence) -> Fence:
        """The fence, where an intent of ours by which nothing was published is void at last."""
        nonce = (fence.intent or {}).get("nonce", "")
        if fence.stand is Stand.TAKEN and self.voids.knows(nonce):
            if not await self.voids.make(state, nonce):
                raise StoreUnavailable(f"the upload {state.id} cannot be published yet: send it again")
            return attrs.evolve(fence, stand=Stand.FREE)
        return fence

    async def _whole_blob(self, state: UploadState, found: Found) -> Envelope:
        info, mark = found.info, found.mark
        length, known = mark.offset, mark.checksum
        if mark.multipart is not None:
            sure = await self.store.complete_parts(
                info.blob_key, mark.multipart, mark.parts, length, info.part_size
            )
            if not sure:
                known = None
        options = info.options
        checksum = known
        if checksum is None:
            running = new_checksum(options.algorithm)
            await checksum_of_blob(self.store, self.budget, info.blob_key, length, running)
            checksum = running.hexdigest()
            if mark.checksum not in (None, checksum):
                raise StoreRefused(f"the blob {info.blob_key} does not have the bytes that were sent")
        if options.checksum is not None and checksum != options.checksum:
            mismatch = ChecksumMismatch(options.algorithm, options.checksum, checksum)
            await self.give_up(state, found, str(mismatch), mismatch)
            raise mismatch
        return Envelope(
            s3_bucket=self.store.bucket,
            s3_key=info.blob_key,
            content_type=options.content_type,
            content_length=length,
            checksum_algo=options.algorithm,
            checksum=checksum,
        )

    async def _publish(self, state: UploadState, found: Found, fence: Fence, envelope: Envelope) -> Published:
        info, options = found.info, found.info.options
        first = await self.publisher.log_end(info.topic, info.partition)
        value = envelope.to_bytes()
        nonce = self.nonce()
        intent = {"nonce": nonce, "value": value.decode("utf-8"), "first": first}
        began = self.clock.seconds()
        try:
            others = await self._intend(state, fence, intent)
        except UploadGone:
            # Its blob became whole behind its removal.
            if await state.is_given_up():
                await self.store.remove_parts(info.blob_key, blob=True)
            raise
        if others is not None:
            return await self._others(state, *others)
        async with self._void_on_error(state, nonce):
            await self._must_not_be_removed(state, began)
        started = self.clock.seconds()
        span = publish_span(TRAIL.get().span, info.topic, info.partition)
        try:
            record = await self.publisher.publish(
                info.topic, info.partition, options.key, value, options.headers, options.timestamp
            )
        except SURELY_NOT_PUBLISHED as error:
            span.end(str(error))
            await self.voids.make(state, nonce)
            raise
        except Exception as error:
            span.end(str(error) or "the outcome is unknown")
            raise OutcomeUnknown(
                f"{error}; the proxy looks for the s3_key {info.blob_key} in {info.topic}, partition "
                f"{info.partition}, and does not publish it again: ask for this upload again by HEAD"
            ) from error
        span.set({"messaging.kafka.offset": record.offset})
        span.end()
        self.metrics.publish(self.clock.seconds() - started)
        await self._published(state, found, record)
        return record

    async def _intend(
        self, state: UploadState, fence: Fence, intent: dict[str, Any]
    ) -> tuple[Found, Fence] | None:
        """Create the next intent; None where that is ours, else what others have made of the upload."""
        for _ in range(INTENT_TRIES):
            async with self._void_on_error(state, intent["nonce"]):
                if await state.create_json(fence.next_intent, intent):
                    return None
            try:
                now = await state.find()
            except UploadNotFound as error:
                raise UploadGone(f"the upload {state.id} is gone") from error
            fence = await state.must_be_alive(now)
            if fence.stand is not Stand.FREE:
                return now, fence
        raise StoreUnavailable(f"others could not publish the upload {state.id}: send it again")

    @asynccontextmanager
    async def _void_on_error(self, state: UploadState, nonce: str) -> AsyncIterator[None]:
        """An error means that nothing is published by that intent, which may be there, or land later."""
        try:
            yield
        except BaseException:
            self.voids.make_later(state, nonce)
            raise

    async def _others(self, state: UploadState, found: Found, fence: Fence) -> Published:
        if fence.stand is Stand.PUBLISHED:
            return await self._result(state)
        return await self._outcome(state, found, fence)

    async def _must_not_be_removed(self, state: UploadState, began: float) -> None:
        if await state.read("info") is None:
            # It was removed, fence and all, between our look and our intent.
            raise UploadGone(f"the upload {state.id} is gone")
        if self.clock.seconds() - began > START_SECONDS:
            # Another request may have given up its search for the record by the time that it is in the log.
            raise StoreUnavailable(f"the store was too slow to publish the upload {state.id}: send it again")

    async def _result(self, state: UploadState) -> Published:
        result = await state.read(RESULT)
        if result is None:
            raise UploadNotFound(f"there is no upload {state.id}")
        return _published(result)

    async def _published(self, state: UploadState, found: Found, record: Published) -> None:
        """Note it, once: then the upload counts, and what only its making needed goes."""
        info = found.info
        try:
            first = await state.create_json(RESULT, {"nonce": self.nonce(), **attrs.asdict(record)})
            if first:
                self._ended(info, offset=record.offset, size=found.mark.offset)
            await self._tidy(state, found)
        except LfsError as error:
            # The log has the record all the same, and is looked into when somebody asks.
            self._log.warn("the result of the upload {id} is not noted: {error}", id=info.id, error=error)

    async def _tidy(self, state: UploadState, found: Found) -> None:
        names = await state.names()
        for name in [*marks_of(names)[:-1], *(name for name in names if name.startswith("tail-"))]:
            await state.delete(name)
        if found.mark.multipart is not None:
            # One that was begun by a process which died before it could say so.
            await self.store.remove_parts(found.info.blob_key, blob=False)

    async def _outcome(self, state: UploadState, found: Found, fence: Fence) -> Published:
        """What came of another's intent: its result, else what the log has."""
        info, intent = found.info, fence.intent or {}
        listed = {one.key: one.age for one in await self.store.list_objects(state.key(fence.name))}
        left = self.publisher.publish_seconds + GRACE_SECONDS - listed.get(state.key(fence.name), 0.0)
        deadline = self.clock.seconds() + left
        looked = False
        while True:
            over = self.clock.seconds() >= deadline
            if over or not looked:
                looked = True
                record = await self.publisher.find(
                    info.topic, info.partition, intent["value"].encode("utf-8"), intent["first"]
                )
                if record is not None:
                    await self._published(state, found, record)
                    return record
            names = await state.names()
            if RESULT in names:
                return await self._result(state)
            if void_name(intent["nonce"]) in names:
                raise BrokerUnavailable(f"the upload {info.id} could not be published: send it again")
            if over:
                await self._unknown(state, found)
            await deferLater(self.clock, min(POLL_SECONDS, max(0.0, deadline - self.clock.seconds())))

    async def _unknown(self, state: UploadState, found: Found) -> None:
        """Say so, for good; count it once. Always raises."""
        info = found.info
        why = (
            f"the process that was publishing the upload {info.id} died, and {info.topic}, partition "
            f"{info.partition}, does not show its s3_key {info.blob_key}"
        )
        if await state.create_json(UNKNOWN, {"nonce": self.nonce(), "why": why}):
            self.metrics.orphan("unknown_outcome")
            self._ended(info, result="broker_error", reason=why, size=found.mark.offset)
            self._log.warn(
                "{why}: the blob stays: {bucket}/{key}", why=why, bucket=self.store.bucket, key=info.blob_key
            )
        raise OutcomeStaysUnknown(f"{why}; it is not published again")

    def _ended(self, info: Info, **how: Any) -> None:
        """Count and log the end of an upload."""
        seconds = max(0.0, self.clock.seconds() - info.created)
        end = UploadEnd(
            door=PATH,
            topic=info.topic,
            partition=info.partition,
            key=info.blob_key,
            seconds=seconds,
            **how,
        )
        upload_ended(self.metrics, end)

    async def give_up(
        self, state: UploadState, found: Found, why: str, error: LfsError | None = None
    ) -> None:
        """End an upload: its bytes go unless it was published, and its state but for the fence.

        ``error`` is why, for the metrics; else it is a cancelled one. Raises UploadBusy while it is being
        published, or a store error.
        """
        info = found.info
        for _ in range(INTENT_TRIES):
            names = await state.names()
            fence = await self._not_ours(state, await state.fence(names))
            if fence.stand is Stand.TAKEN:
                raise UploadBusy(f"the upload {info.id} is being published")
            if fence.stand is not Stand.FREE:
                break
            if await state.create_json(fence.next_intent, {"nonce": self.nonce(), "given_up": why}):
                result = error.result if error else "cancelled"
                self._ended(info, result=result, reason=why, size=found.mark.offset)
                if isinstance(error, ChecksumMismatch):
                    self.metrics.checksum_mismatch(PATH)
        else:
            raise StoreUnavailable(f"the upload {info.id} could not be ended: send it again")
        # The blob goes before ``info``: where that is gone, so is the blob, or the upload was published.
        given_up = fence.stand is Stand.GIVEN_UP and "info" in names
        await self._remove(state, info.blob_key, blob=given_up)

    async def _remove(self, state: UploadState, blob_key: str, blob: bool) -> None:
        """Delete what an upload left, in an order that any replica can go on with; ``blob``: that too."""
        await self.store.remove_parts(blob_key, blob=blob)
        # Without ``info`` nobody finds it. The fence stays for FENCE_SECONDS, for requests that are late.
        for name in sorted(await state.names(), key=lambda name: name != "info"):
            if not is_fence(name):
                await state.delete(name)


def _published(document: dict[str, Any]) -> Published:
    return Published(document["topic"], document["partition"], document["offset"], document["timestamp"])
