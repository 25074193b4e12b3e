"""From a mark that is complete to a published record, at most once whatever dies on the way.

    complete ─▶ blob whole ─▶ checksum right ─▶ ``publishing`` created ─▶ published ─▶ ``result``
                                                          │ by another
                                                          └─▶ wait for ``result``, look into the log

Only who creates ``publishing`` may produce. Its end is created in the same place: an upload that is given up
gets a ``publishing`` that says so, and then nobody may produce any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lfsproxy.budget import MemoryBudget
from lfsproxy.checksums import new_checksum
from lfsproxy.claimcheck import SURELY_NOT_PUBLISHED
from lfsproxy.envelope import Envelope
from lfsproxy.errors import BrokerUnavailable, ChecksumMismatch, LfsError, OutcomeUnknown, StoreUnavailable
from lfsproxy.interfaces import IEnvelopePublisher, IMetrics, IResumableStore, Published
from lfsproxy.logs import Logger
from lfsproxy.resumable.errors import OutcomeStaysUnknown, UploadBusy, UploadGone
from lfsproxy.resumable.readback import checksum_of_blob
from lfsproxy.resumable.state import Found, Info, UploadState

PATH = "tus"
GRACE_SECONDS = 30.0
POLL_SECONDS = 2.0


@attrs.frozen
class Publication:
    """Publishes complete uploads, and gives up others. ``clock`` tells seconds since the epoch."""

    store: IResumableStore
    publisher: IEnvelopePublisher
    budget: MemoryBudget
    metrics: IMetrics
    clock: IReactorTime
    nonce: Callable[[], str]
    _log = Logger()

    async def finish(self, state: UploadState, found: Found) -> Published:
        """Publish a complete upload, or find out how that went before.

        Raises ChecksumMismatch (the upload is gone then), the publisher's errors, OutcomeUnknown,
        OutcomeStaysUnknown, UploadGone, or a store error; after all but the first it may be asked again.
        """
        result = await state.read("result") if found.has("result") else None
        if result is not None:
            return _published(result)
        intent = await state.must_be_alive(found)
        if intent is not None:
            return await self._outcome(state, found, intent)
        envelope = await self._whole_blob(state, found)
        return await self._publish(state, found, envelope)

    async def _whole_blob(self, state: UploadState, found: Found) -> Envelope:
        info, mark = found.info, found.mark
        length = mark.offset
        if mark.multipart is not None:
            await self.store.complete_parts(info.blob_key, mark.multipart, mark.parts, length)
        options = info.options
        checksum = mark.checksum
        if checksum is None:
            running = new_checksum(options.algorithm)
            await checksum_of_blob(self.store, self.budget, info.blob_key, length, running)
            checksum = running.hexdigest()
        if options.checksum is not None and checksum != options.checksum:
            mismatch = ChecksumMismatch(options.algorithm, options.checksum, checksum)
            await self.give_up(state, found.info, str(mismatch), mismatch)
            raise mismatch
        return Envelope(
            s3_bucket=self.store.bucket,
            s3_key=info.blob_key,
            content_type=options.content_type,
            content_length=length,
            checksum_algo=options.algorithm,
            checksum=checksum,
        )

    async def _publish(self, state: UploadState, found: Found, envelope: Envelope) -> Published:
        info, options = found.info, found.info.options
        first = await self.publisher.log_end(info.topic, info.partition)
        value = envelope.to_bytes()
        intent = {"nonce": self.nonce(), "value": value.decode("utf-8"), "first": first}
        if not await state.create_json("publishing", intent):
            now = await state.find()
            other = await state.must_be_alive(now)
            if other is None:
                raise StoreUnavailable(
                    f"another request could not publish the upload {info.id}: send it again"
                )
            return await self._outcome(state, now, other)
        if await state.read("info") is None:
            # It was given up, blob and all, between our look and our intent.
            await state.delete("publishing")
            raise UploadGone(f"the upload {info.id} is gone")
        started = self.clock.seconds()
        try:
            record = await self.publisher.publish(
                info.topic, info.partition, options.key, value, options.headers, options.timestamp
            )
        except SURELY_NOT_PUBLISHED:
            await self._withdraw(state)
            raise
        except Exception as error:
            raise OutcomeUnknown(
                f"{error}; the proxy looks for the s3_key {info.blob_key} in {info.topic}, partition "
                f"{info.partition}, and does not publish it again: ask for this upload again by HEAD"
            ) from error
        self.metrics.publish(self.clock.seconds() - started)
        await self._published(state, found, record)
        return record

    async def _withdraw(self, state: UploadState) -> None:
        """Nothing was published: let others try. Where that fails the outcome stays unknown to them."""
        try:
            await state.delete("publishing")
        except LfsError as error:
            self._log.warn("the intent to publish {id} stays: {error}", id=state.id, error=error)

    async def _published(self, state: UploadState, found: Found, record: Published) -> None:
        """Note it, once: then the upload counts, and what only its making needed goes."""
        info = found.info
        try:
            first = await state.create_json("result", {"nonce": self.nonce(), **attrs.asdict(record)})
            if first:
                seconds = self._seconds(info)
                self.metrics.upload(PATH, info.topic, "ok", found.mark.offset, seconds)
            await self._tidy(state, found)
        except LfsError as error:
            # The log has the record all the same, and is looked into when somebody asks.
            self._log.warn("the result of the upload {id} is not noted: {error}", id=info.id, error=error)

    async def _tidy(self, state: UploadState, found: Found) -> None:
        names = [one.key.rpartition("/")[2] for one in await self.store.list_objects(state.key(""))]
        marks = sorted(name for name in names if name.startswith("mark-"))
        for name in [*marks[:-1], *(name for name in names if name.startswith("tail-"))]:
            await state.delete(name)
        if found.mark.multipart is not None:
            # One that was begun by a process which died before it could say so.
            await self.store.remove_parts(found.info.blob_key, blob=False)

    async def _outcome(self, state: UploadState, found: Found, intent: dict[str, Any]) -> Published:
        """What came of another's intent: its result, else what the log has."""
        info = found.info
        listed = {one.key: one.age for one in await self.store.list_objects(state.key("publishing"))}
        left = self.publisher.publish_seconds + GRACE_SECONDS - listed.get(state.key("publishing"), 0.0)
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
            result = await state.read("result")
            if result is not None:
                return _published(result)
            if over:
                await self._unknown(state, info)
            if await state.read("publishing") is None:
                raise BrokerUnavailable(f"the upload {info.id} could not be published: send it again")
            await deferLater(self.clock, min(POLL_SECONDS, max(0.0, deadline - self.clock.seconds())))

    async def _unknown(self, state: UploadState, info: Info) -> None:
        """Say so, for good; count it once. Always raises."""
        why = (
            f"whoever was publishing the upload {info.id} died, and {info.topic}, partition "
            f"{info.partition}, does not show its s3_key {info.blob_key}"
        )
        if await state.create_json("unknown", {"nonce": self.nonce(), "why": why}):
            self.metrics.orphan("unknown_outcome")
            self.metrics.upload(PATH, info.topic, "broker_error", 0, self._seconds(info))
            self._log.warn(
                "{why}: the blob stays: {bucket}/{key}", why=why, bucket=self.store.bucket, key=info.blob_key
            )
        raise OutcomeStaysUnknown(f"{why}; it is not published again")

    def _seconds(self, info: Info) -> float:
        return max(0.0, self.clock.seconds() - info.created)

    async def give_up(self, state: UploadState, info: Info, why: str, error: LfsError | None = None) -> None:
        """End an upload: its bytes go unless it was published, its state goes always.

        ``error`` is why, for the metrics; else it is a cancelled one. Raises UploadBusy while it is being
        published, or a store error.
        """
        if await state.create_json("publishing", {"nonce": self.nonce(), "given_up": why}):
            self.metrics.upload(
                PATH, info.topic, error.result if error else "cancelled", 0, self._seconds(info)
            )
            if isinstance(error, ChecksumMismatch):
                self.metrics.checksum_mismatch(PATH)
            given_up = True
        else:
            found = await state.find()
            intent = await state.read("publishing") or {}
            given_up = bool(intent.get("given_up"))
            if not given_up and not found.has("result") and not found.has("unknown"):
                raise UploadBusy(f"the upload {info.id} is being published")
        await self.remove(state, info.blob_key if given_up else None)

    async def remove(self, state: UploadState, blob_key: str | None) -> None:
        """Delete what an upload left, in an order that any replica can go on with; ``blob_key``: that too."""
        if blob_key is not None:
            await self.store.remove_parts(blob_key, blob=True)
        names = [one.key.rpartition("/")[2] for one in await self.store.list_objects(state.key(""))]
        # Without ``info`` nobody finds it; ``publishing`` keeps others from publishing until then.
        for name in sorted(names, key=lambda name: (name == "publishing") - (name == "info")):
            await state.delete(name)


def _published(document: dict[str, Any]) -> Published:
    return Published(document["topic"], document["partition"], document["offset"], document["timestamp"])
