"""One blob on its way into S3: chunks gather to parts, parts go out side by side, memory stays bounded.

Memory: an upload holds slots of one part each. The first one is the caller's lease; more are tried for, up
to ``concurrency``, and given back as soon as they are empty. Every byte is in the part that gathers or
in one that is in flight, so that an upload never holds more than its slots and one chunk.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum

import attrs
from crc32c import crc32c
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from lfsproxy.checksums import Buffer, Checksum
from lfsproxy.errors import LfsError, TooLarge
from lfsproxy.gathered import Gathered
from lfsproxy.interfaces import IBlobUpload, IPartMemory, StoredBlob
from lfsproxy.log.trail import TRAIL, follow
from lfsproxy.logs import Logger
from lfsproxy.s3 import explain
from lfsproxy.s3.answers import Answer
from lfsproxy.s3.cleanup import Cleanup, Leftover
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.crc import CHECKSUM, encode_crc
from lfsproxy.s3.digest import INLINE_BYTES
from lfsproxy.s3.multipart import MAX_PARTS, crcs_of
from lfsproxy.s3.objects import meta
from lfsproxy.s3.parts import PartSender
from lfsproxy.s3.requests import S3Refused, S3Unavailable
from lfsproxy.wakeups import Condition, Semaphore, to_its_end
from lfsproxy.words import error_text


class State(Enum):
    """What may happen to an upload."""

    GATHERING = "bytes may come"
    SEALED = "all bytes have come"
    COMMITTED = "the blob is visible"
    FAILED = "a part could not be stored"
    ABORTED = "given up"


@attrs.frozen
class UploadPlan:
    """How an upload is cut: bytes of a part, and how many parts are in flight at most."""

    part_size: int
    concurrency: int


@implementer(IBlobUpload)
class S3Upload:
    """See IBlobUpload. ``headers`` are the object's; ``length`` is in bytes where it is known."""

    _log = Logger()

    def __init__(
        self,
        client: S3Client,
        cleanup: Cleanup,
        reactor: ReactorBase,
        key: str,
        headers: Mapping[str, str],
        checksum: Checksum,
        length: int | None,
        memory: IPartMemory,
        plan: UploadPlan,
    ) -> None:
        self.state = State.GATHERING
        self._client = client
        self._cleanup = cleanup
        self._reactor = reactor
        self._key = key
        self._headers = headers
        self._checksum = checksum
        self._length = length
        self._memory = memory
        self._plan = plan
        # Parts are sent from callbacks too, whose context is anybody's.
        self._trail = TRAIL.get()
        self._error: BaseException | None = None
        self._received = 0
        self._gathered = Gathered()
        self._slots = 1
        self._writers = Condition(reactor)
        self._hashing = Semaphore(reactor, 1)
        self._sender = PartSender(reactor, client, key, headers, self._digest, self._part_ended)
        self._single_crc: int | None = None
        self._doubtful = False
        self._committing: Deferred[StoredBlob] | None = None

    @property
    def parts_in_flight(self) -> int:
        """How many parts are being sent."""
        return self._sender.in_flight

    @property
    def held_bytes(self) -> int:
        """Bytes in memory, at most: what gathers, and as many whole parts as are being sent."""
        return self._gathered.size + self._sender.in_flight * self._plan.part_size

    def write(self, data: Buffer) -> Deferred[None] | None:
        self._must_be(State.GATHERING)
        if data:
            self._gathered.add(data)
            self._received += len(data)
        self._send_full_parts()
        self._must_be(State.GATHERING)
        return None if self._has_room() else self._writers.wait()

    async def seal(self) -> None:
        self._must_be(State.GATHERING)
        self.state = State.SEALED
        if self._sender.started:
            self._send_full_parts()
            while self._gathered.size or self._sender.in_flight:
                await self._sender.idle()
        else:
            self._single_crc = await self._digest(self._gathered.pieces())
        self._must_be(State.SEALED)

    async def commit(self, metadata: Mapping[str, str]) -> StoredBlob:
        self._must_be(State.SEALED)
        with follow(self._trail):
            self._committing = Deferred.fromCoroutine(self._commit(metadata))
        return await self._committing

    async def abort(self) -> None:
        if self.state is State.ABORTED:
            return
        self.state = State.ABORTED
        # The waiter may be cancelled; what was begun is finished all the same.
        with follow(self._trail):
            aborted = to_its_end(self._abort())
        await aborted

    def _must_be(self, state: State) -> None:
        if self._error is not None:
            raise self._error
        if self.state is State.ABORTED:
            raise CancelledError()
        if self.state is not state:
            raise RuntimeError(f"not possible when {self.state.value}")

    # Parts and memory

    def _has_slot(self) -> bool:
        """Whether the part that gathers has memory besides the parts in flight."""
        if self._sender.in_flight < self._slots:
            return True
        if self._slots < self._plan.concurrency and self._memory.try_take(self._plan.part_size):
            self._slots += 1
            return True
        return False

    def _has_room(self) -> bool:
        if self._received == self._length:
            return True
        full = self._gathered.size >= self._plan.part_size
        return not (full and self._sender.in_flight >= self._plan.concurrency) and self._has_slot()

    def _send_full_parts(self) -> None:
        """Send what is full and surely not the whole blob: a blob of one part is one PUT."""
        size = self._plan.part_size
        while self._gathered.size and self._sender.in_flight < self._plan.concurrency:
            more = self._length is not None and self._received < self._length
            last = self.state is State.SEALED and self._sender.started
            full = self._gathered.size > size or (self._gathered.size == size and more)
            if not (full or last) or not self._has_slot():
                return
            if self._sender.sent == MAX_PARTS:
                self._fail(
                    TooLarge(
                        f"an upload of unknown length can have {MAX_PARTS} parts of LFS_S3_PART_SIZE "
                        f"({size} bytes)"
                    )
                )
                return
            with follow(self._trail):
                self._sender.send(self._gathered.take_first(min(size, self._gathered.size)))

    def _part_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error)
        if self.state in (State.GATHERING, State.SEALED):
            self._send_full_parts()
        if self.state is State.GATHERING and self._has_room():
            self._writers.wake()
        gathers = self.state is State.GATHERING or self._gathered.size > 0
        spare = max(0, self._slots - max(1, self._sender.in_flight + gathers))
        self._slots -= spare
        if spare:
            self._memory.give_back(spare * self._plan.part_size)

    def _fail(self, error: BaseException) -> None:
        """The first failure is the upload's; nothing in flight is of use any more."""
        if self.state in (State.GATHERING, State.SEALED):
            if not isinstance(error, (LfsError, CancelledError)):
                self._log.error("an upload of {key} failed: {error}", key=self._key, error=error_text(error))
            self.state = State.FAILED
            self._error = error
            self._forget()
            self._sender.cancel()
            self._writers.fail(error)

    def _forget(self) -> None:
        self._gathered.clear()

    async def _digest(self, buffers: Sequence[Buffer]) -> int | None:
        """Bring the checksum forward, part after part, and compute the part's CRC-32C where it is wanted."""
        with_crc = self._client.checksums
        async with self._hashing:
            if sum(map(len, buffers)) < INLINE_BYTES:
                return _digest(self._checksum, buffers, with_crc)
            pool = self._reactor.getThreadPool()
            return await deferToThreadPool(self._reactor, pool, _digest, self._checksum, buffers, with_crc)

    # The end

    async def _commit(self, metadata: Mapping[str, str]) -> StoredBlob:
        self._doubtful = True
        try:
            answer, checksums = await (
                self._complete() if self._sender.started else self._put({**self._headers, **meta(metadata)})
            )
            await self._settle(answer, checksums)
        except LfsError as error:
            self._doubtful = isinstance(error, (S3Unavailable, S3Refused)) and error.doubtful
            raise
        self.state = State.COMMITTED
        self._forget()
        if self._sender.unknown_uploads:
            self._cleanup.remove_later(Leftover(self._key, unknown_uploads=True))
        return StoredBlob(self._client.location.bucket, self._key, self._received)

    async def _put(self, headers: Mapping[str, str]) -> tuple[Answer, Collection[str]]:
        crc = self._single_crc
        body = self._gathered.pieces()
        try:
            answer = await self._client.put_object(self._key, headers, body, crc)
        finally:
            # An exception keeps the frames that it came through, and with them their arguments.
            body.clear()
        return answer, () if crc is None else (encode_crc(crc),)

    async def _complete(self) -> tuple[Answer, Collection[str]]:
        parts = self._sender.parts
        if self._sender.stored != self._received:
            raise RuntimeError(f"{self._received} bytes came, {self._sender.stored} are stored")
        checksums = crcs_of(parts)
        whole = checksums[0] if checksums and self._sender.whole else None
        answer = await self._client.complete_multipart_upload(
            self._key, self._sender.upload_id or "", parts, whole
        )
        return answer, checksums

    async def _settle(self, answer: Answer, checksums: Collection[str]) -> None:
        """Make sure that the blob is there. An answer that it is there already, or that its upload is gone,
        mostly means that an earlier try worked, ours or of somebody between us and the store. Nobody else
        writes to the key, which is new for every upload: an object of this length there has its bytes.

        It has its storage class and tags, too, as whoever wrote it was asked for them. Whether it is
        encrypted only an answer tells: of parts there was one for each, of a PUT it is this one."""
        if not answer.is_error:
            return
        if answer.status == 412 or answer.code == "NoSuchUpload":
            head = await self._client.head_object(self._key)
            if head is not None and is_same(head, self._received, checksums):
                if not self._sender.started:
                    self._client.must_be_kept(head)
                return
        if answer.status == 412:
            place = f"{self._client.location.bucket}/{self._key} of {self._client.location.named}"
            raise S3Refused(f"there is another object at {place}")
        if answer.status == 409 or answer.code == "NoSuchUpload":
            raise S3Unavailable(f"the upload to {self._key} has to be sent again: {answer}", answer.doubtful)
        said = explain.refused(self._client.location, answer)
        raise S3Refused(f"the upload to {self._key} failed: {said}", answer.doubtful)

    async def _abort(self) -> None:
        try:
            await self._remove()
        except Exception:
            self._log.failure("aborting {key}", key=self._key)

    async def _remove(self) -> None:
        self._forget()
        if self._committing is not None and not self._committing.called:
            self._committing.cancel()
        self._sender.cancel()
        self._writers.wake()
        await self._sender.idle()
        sender = self._sender
        leftover = Leftover(
            self._key, sender.upload_id, sender.cut_parts, sender.unknown_uploads, self._doubtful
        )
        if leftover != Leftover(self._key, cut_parts=sender.cut_parts):
            await self._cleanup.remove(leftover)


def _digest(checksum: Checksum, buffers: Sequence[Buffer], with_crc: bool) -> int | None:
    crc = 0
    for buffer in buffers:
        checksum.update(buffer)
        if with_crc:
            crc = crc32c(buffer, crc)
    return crc if with_crc else None


def is_same(head: Answer, length: int, checksums: Collection[str]) -> bool:
    """Whether an object has the length, and one of the checksums where S3 tells it."""
    stored = head.headers.get(CHECKSUM)
    return head.headers.get("content-length") == str(length) and (
        not checksums or stored is None or stored in checksums
    )
