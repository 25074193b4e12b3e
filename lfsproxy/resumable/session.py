"""One request's bytes for a resumable upload, from the stored offset on.

    started ──write──▶ receiving ──end──▶ stored, all of it: a new mark, which is complete with the last byte
                           └──────keep──▶ cut short: what came is stored as far as it may be

While bytes come, a mark follows every PROGRESS_PARTS parts, so that a process that is killed costs the
client no more than these. Bytes with a checksum of their own (``verify``) count only when it is right.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime

from lfsproxy.checksums import Buffer, Checksum, new_checksum
from lfsproxy.errors import LfsError, TooLarge
from lfsproxy.interfaces import IPartMemory
from lfsproxy.log.uploads import SENDER
from lfsproxy.logs import Logger
from lfsproxy.resumable.errors import UploadGone, UploadMoved
from lfsproxy.resumable.state import KEPT_MARKS, Found, Mark, UploadState, mark_name
from lfsproxy.resumable.writer import PartWriter, blob_metadata

PROGRESS_PARTS = 4
"""Parts between two marks: fewer would be more requests, more would be sent again after a crash."""
TAIL_READ = 1024 * 1024
"""Bytes of the tail that are read at once: an answer is collected whole."""


class UploadSession:
    """Receives behind what ``found`` has.

    ``running`` is the checksum of the stored bytes where this process has seen them all, else None;
    ``verify`` is brought forward with this request's bytes; ``nonce`` gives a word that nobody else has.
    After ``fresh`` seconds without a mark there is one, so that an upload that is worked on does not expire.
    """

    _log = Logger()

    def __init__(
        self,
        state: UploadState,
        found: Found,
        length: int | None,
        memory: IPartMemory,
        running: Checksum | None,
        verify: Checksum | None,
        nonce: Callable[[], str],
        clock: IReactorTime,
        fresh: float,
    ) -> None:
        self.mark = attrs.evolve(found.mark, length=length)
        self.running = running
        self._written = found.mark
        self._state = state
        self._store = state.store
        self._info = found.info
        self._verify = verify
        self._nonce = nonce
        self._clock = clock
        self._fresh = fresh
        self._marked_at = clock.seconds()
        self._received = 0
        self._start = found.mark.offset
        self._writer = PartWriter(self._store, found.info, found.mark, memory)
        self._first_parts = found.mark.parts
        self._marking = DeferredLock()
        self._noting = False
        self._moved: LfsError | None = None

    @property
    def offset(self) -> int:
        """Bytes of the upload that came, stored or not."""
        return self._start + self._received

    async def start(self) -> None:
        """Take up the bytes behind the last part."""
        tail = self.mark.tail
        at = 0
        while tail is not None:
            piece = await self._store.read_object(self._state.key(tail), at, TAIL_READ)
            if piece is None:
                raise UploadMoved(f"the bytes behind the parts of {self._info.id} are gone")
            at += len(piece)
            if piece:
                await self._writer.write(piece)
            if len(piece) < TAIL_READ:
                break
        if len(self.mark.parts) * self._info.part_size + at != self._start:
            raise UploadMoved(f"the bytes behind the parts of {self._info.id} are not those that were stored")

    async def write(self, data: Buffer) -> None:
        """Take bytes; returns when more may come. Raises TooLarge beyond the upload's length."""
        if self._moved is not None:
            raise self._moved
        length = self.mark.length
        if length is not None and self.offset + len(data) > length:
            raise TooLarge(f"the upload has {length} bytes (Upload-Length), more came")
        self._received += len(data)
        checksums = [checksum for checksum in (self.running, self._verify) if checksum is not None]
        if checksums:
            await self._store.digest(checksums, data)
        await self._writer.write(data)
        if not self._noting:
            self._note_progress()

    async def end(self) -> Mark:
        """Every byte of the request came: store them. Raises UploadMoved, UploadGone or a store error."""
        try:
            return await self._end()
        except LfsError:
            if self._moved is not None:
                # Then a part that is refused is only what came of it.
                raise self._moved from None
            raise

    async def _end(self) -> Mark:
        final = self.offset == self.mark.length
        if final and not self.mark.parts and not self._writer.new_parts and self._fits_one_put():
            return await self._put_whole()
        if final:
            await self._writer.flush()
        else:
            error = await self._writer.settle()
            if error is not None:
                raise error
        await self._progress_over()
        return await self._store_mark()

    async def keep(self) -> None:
        """The request was cut short: store what may be kept of it, as well as that goes. Never raises."""
        try:
            if self._verify is not None or self._moved is not None:
                await self._writer.cancel()
                self.running = None
                return
            if await self._writer.settle() is not None or self.offset == self.mark.length:
                # Behind a part that failed nothing can be kept. And the last bytes of all are stored by
                # ``end`` or not at all: they are no tail.
                self._writer.forget()
                self.running = None
                self._received = 0
            await self._progress_over()
            await self._store_mark()
        except Exception as error:
            self.running = None
            self._log.info(
                "bytes of the upload {id} behind {offset} are lost: {error}",
                id=self._info.id,
                offset=self._written.offset,
                error=error,
                peer=SENDER.get().peer,
            )
        finally:
            self._writer.forget()

    def _fits_one_put(self) -> bool:
        return self._writer.rest.size == self.mark.length and self._writer.rest.size <= self._info.part_size

    async def _put_whole(self) -> Mark:
        """All bytes are at hand: the blob is one PUT, with its checksum."""
        info, buffers = self._info, self._writer.rest.pieces()
        checksum = new_checksum(info.options.algorithm)
        for buffer in buffers:
            await self._store.digest([checksum], buffer)
        digest = checksum.hexdigest()
        metadata = {
            **blob_metadata(info),
            "lfs-checksum": digest,
            "lfs-checksum-algo": info.options.algorithm,
        }
        try:
            await self._store.put_blob(info.blob_key, info.options.content_type, metadata, buffers)
        finally:
            buffers.clear()
        self._writer.forget()
        return await self._write_mark(attrs.evolve(self.mark, offset=self.offset, tail=None, checksum=digest))

    async def _store_mark(self) -> Mark:
        """What is stored now, and what is left behind it, as the next mark."""
        parts = (*self._first_parts, *self._writer.new_parts)
        final = self.offset == self.mark.length
        if (
            not final
            and self.mark.length is not None
            and len(parts) * self._info.part_size > self.mark.length
        ):
            parts = parts[:-1]
        tail = None
        if self._writer.rest.size:
            if len(parts) == len(self._first_parts) and not self._received:
                if self.mark.length == self._written.length:
                    return self._written
                tail = self.mark.tail
            else:
                tail = f"tail-{self._nonce()}"
                await self._store.create_object(self._state.key(tail), self._writer.rest.pieces())
        size = self._info.part_size
        mark = attrs.evolve(
            self.mark,
            offset=self.offset if final else len(parts) * size + self._writer.rest.size,
            multipart=self._writer.multipart,
            parts=parts,
            tail=tail,
            checksum=self.running.hexdigest() if final and self.running is not None else None,
        )
        if attrs.evolve(mark, number=0, nonce="") == attrs.evolve(self._written, number=0, nonce=""):
            return self._written
        return await self._write_mark(mark)

    async def _write_mark(self, mark: Mark) -> Mark:
        async with self._marking:
            before = self._written
            mark = attrs.evolve(mark, number=before.number + 1, nonce=self._nonce())
            if not await self._state.write_mark(mark):
                self.running = None
                self._moved = UploadMoved(
                    f"another request has changed the upload {self._info.id}: ask for its offset"
                )
                if mark.tail is not None and mark.tail != before.tail:
                    await self._delete(mark.tail)
                raise self._moved
            if await self._state.read("info") is None:
                await self._leave(mark)
            self._marked_at = self._clock.seconds()
            self._written = mark
            self.mark = mark
            if before.tail is not None and before.tail != mark.tail:
                await self._delete(before.tail)
            if mark.number > KEPT_MARKS:
                await self._delete(mark_name(mark.number - KEPT_MARKS))
            return mark

    async def _leave(self, mark: Mark) -> None:
        """The upload was removed by another request: take our part of it away too. Always raises."""
        self.running = None
        self._moved = UploadGone(f"the upload {self._info.id} is gone")
        for name in (mark_name(mark.number), mark.tail):
            if name is not None:
                await self._delete(name)
        # Without its fence it may have been published before: then the blob stays.
        given_up = await self._state.is_given_up()
        await self._store.remove_parts(self._info.blob_key, blob=given_up)
        raise self._moved

    async def _delete(self, name: str) -> None:
        """What is not deleted now goes with the upload's end."""
        try:
            await self._state.delete(name)
        except LfsError as error:
            self._log.debug("{name} of {id} stays: {error}", name=name, id=self._info.id, error=error)

    def _note_progress(self) -> None:
        stored = len(self._first_parts) + len(self._writer.new_parts)
        enough = self._verify is None and stored - len(self._written.parts) >= PROGRESS_PARTS
        if enough or self._clock.seconds() - self._marked_at >= self._fresh:
            self._noting = True
            Deferred.fromCoroutine(self._mark_progress()).addErrback(
                lambda failure: self._log.failure("noting progress failed", failure)
            )

    async def _mark_progress(self) -> None:
        parts = (*self._first_parts, *self._writer.new_parts)
        mark = self._written
        if self._verify is None and len(parts) > len(mark.parts):
            mark = attrs.evolve(
                self.mark,
                offset=len(parts) * self._info.part_size,
                multipart=self._writer.multipart,
                parts=parts,
                tail=None,
            )
        try:
            await self._write_mark(mark)
        except LfsError as error:
            self._log.info(
                "progress of {id} is not noted: {error}",
                id=self._info.id,
                error=error,
                peer=SENDER.get().peer,
            )
        finally:
            self._noting = False

    async def _progress_over(self) -> None:
        """Marks are written one after the other."""
        async with self._marking:
            if self._moved is not None:
                raise self._moved
