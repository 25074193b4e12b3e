"""A batch being written anew while the envelopes of its offloaded records are being made.

Records are given in their order; what stands behind one whose envelope is not made yet waits for it, so that
uploads may overlap. How many of one request may is the size of ``uploads``: a place there is taken before a
claim is begun, so that many small records cost no more than few. Used for batches that are held (``held``)
and for those that are streamed (``streamed``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lfsproxy.claimcheck import Claim, Payload
from lfsproxy.envelope import Envelope
from lfsproxy.errors import LfsError, TooLarge
from lfsproxy.gathered import Gathered
from lfsproxy.interfaces import IPartMemory
from lfsproxy.log.trail import follow
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.produce.spans import begin_trail, trace_headers
from lfsproxy.wakeups import Condition, Semaphore, all_of
from lfsproxy.wire.batch import BatchHeader
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.fields import Header
from lfsproxy.wire.marks import LfsMark
from lfsproxy.wire.records import RecordStart
from lfsproxy.wire.rewrite import BatchWriter
from lfsproxy.wire.scan import RecordPlan


@attrs.define(eq=False)
class Offloaded:
    """A record whose envelope is being made. ``mark`` is None while its headers have not been read."""

    record: RecordPlan | RecordStart
    claim: Claim
    published: Sequence[Header] = ()
    envelope: Envelope | None = None


class Rewriter:
    """Writes one batch anew. ``hint`` is the offset hint of its first record.

    Every method that raises an LfsError has named the record at fault in ``batch.bad_record``.
    """

    def __init__(
        self,
        shared: Shared,
        batch: Batch,
        header: BatchHeader,
        xerial: bool,
        hint: int,
        uploads: Semaphore,
    ) -> None:
        self._shared = shared
        self._batch = batch
        self._hint = hint
        self._uploads = uploads
        self._max_size = shared.settings.max_passthrough_size
        self._writer = BatchWriter(header, xerial=xerial, max_size=self._max_size)
        self._items: deque[Gathered | Offloaded] = deque()
        self._waiting_size = 0
        self._places = 0
        self._finishing: set[Deferred[None]] = set()
        self._one_finished = Condition(shared.reactor)
        self.error: LfsError | None = None
        self.storing = 0
        """Bytes of the values that were given to ``finish`` and are not stored yet."""

    @property
    def size(self) -> int:
        """Bytes of the batch so far, what waits to be written among them."""
        return self._writer.size + self._waiting_size

    def keep(self, data: Piece) -> None:
        """Records, or parts of one, that stay as they are."""
        if not self._items:
            self._writer.keep(data)
            return
        self._waiting_size += len(data)
        if self.size > self._max_size:
            raise TooLarge(
                f"the records that are not offloaded are more than LFS_MAX_PASSTHROUGH_SIZE allows "
                f"({self._max_size} bytes)"
            )
        last = self._items[-1]
        if not isinstance(last, Gathered):
            last = Gathered()
            self._items.append(last)
        last.add(data)

    async def begin(
        self, record: RecordPlan | RecordStart, mark: LfsMark | None, memory: IPartMemory
    ) -> Offloaded:
        """Begin a record's claim when there is a place for one more upload.

        ``mark`` None: what its headers say is told by ``describe``. Raises ``error`` where it is set by then.
        """
        await self._uploads.acquire()
        self._places += 1
        try:
            if self.error is not None:
                raise self.error
            return self._begin(record, mark, memory)
        except LfsError:
            self._leave_place()
            raise

    def _begin(
        self, record: RecordPlan | RecordStart, mark: LfsMark | None, memory: IPartMemory
    ) -> Offloaded:
        payload = Payload(
            path="kafka",
            topic=self._batch.topic,
            partition=self._batch.partition,
            offset_hint=self._hint + record.index,
            length=record.value_length,
            index=record.index,
        )
        if mark is not None:
            payload = attrs.evolve(
                payload,
                content_type=mark.content_type,
                algorithm=mark.algorithm,
                expected=mark.expected,
            )
        claims = self._shared.claims
        trail = begin_trail(claims.tracer, self._batch, mark.published if mark is not None else ())
        with _Naming(self._batch, record.index), follow(trail):
            claim = claims.begin(payload, memory)
        self._batch.claims.append(claim)
        return Offloaded(record, claim, mark.published if mark is not None else ())

    def describe(self, offloaded: Offloaded, mark: LfsMark) -> None:
        """Tell what the headers of a record say that was begun before they were read."""
        with _Naming(self._batch, offloaded.record.index):
            offloaded.claim.describe(mark.content_type, mark.algorithm, mark.expected)
        offloaded.published = mark.published
        if self._shared.claims.tracer.on:
            offloaded.claim.belongs_to(trace_headers(mark.published))

    async def write(self, offloaded: Offloaded, data: Piece) -> None:
        """Write some of a record's value."""
        with _Naming(self._batch, offloaded.record.index):
            waiting = offloaded.claim.write(data)
            if waiting is not None:
                await waiting

    def finish(self, offloaded: Offloaded) -> Deferred[None]:
        """The value is complete: its envelope takes the record's place. Fires when the blob is stored.

        A failure is noted in ``error``, and raised by ``end`` too.
        """
        self._items.append(offloaded)
        self.storing += offloaded.record.value_length
        finishing = Deferred.fromCoroutine(self._finish(offloaded))
        self._finishing.add(finishing)

        def over(result: object) -> object:
            self.storing -= offloaded.record.value_length
            self._leave_place()
            if not isinstance(result, Failure):
                self._finishing.discard(finishing)
            self._one_finished.wake()
            return result

        finishing.addBoth(over)
        return finishing

    def discard(self, offloaded: Offloaded) -> None:
        """It is not to be offloaded after all: leave nothing of it in the store."""
        self._batch.claims.remove(offloaded.claim)
        self._shared.clean_up(offloaded.claim.discard())
        if self._batch.bad_record == offloaded.record.index:
            self._batch.bad_record = None
        self._leave_place()

    def _leave_place(self) -> None:
        if self._places:
            self._places -= 1
            self._uploads.release()

    async def _finish(self, offloaded: Offloaded) -> None:
        try:
            with _Naming(self._batch, offloaded.record.index):
                offloaded.envelope = await offloaded.claim.finish()
            self._write_out()
        except LfsError as error:
            self.error = self.error or error
            raise

    async def one_finished(self) -> None:
        """Wait until a blob is stored. Raises ``error`` where one cannot be."""
        if self.error is None:
            await self._one_finished.wait()
        if self.error is not None:
            raise self.error

    def _write_out(self) -> None:
        """Write what waits for nothing any more."""
        while self._items:
            item = self._items[0]
            if isinstance(item, Offloaded):
                if item.envelope is None:
                    return
                record = item.record
                self._writer.record(
                    record.attributes,
                    record.timestamp_delta,
                    record.offset_delta,
                    record.key,
                    item.envelope.to_bytes(),
                    item.published,
                )
            else:
                self._waiting_size -= item.size
                for piece in item.take():
                    self._writer.keep(piece)
            self._items.popleft()

    async def end(self) -> list[Piece]:
        """Wait for every envelope; the whole batch in pieces. Raises the first error."""
        await all_of(list(self._finishing))
        self._write_out()
        return self._writer.finish()

    def cancel(self) -> None:
        """Give up what is still being stored; the claims are the batch's to abort."""
        for finishing in list(self._finishing):
            finishing.addErrback(lambda _: None)
            finishing.cancel()
        while self._places:
            self._leave_place()


class _Naming:
    """Notes in the batch which record an error is about; the first one stands."""

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch = batch
        self._index = index

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LfsError) and self._batch.bad_record is None:
            self._batch.bad_record = self._index
