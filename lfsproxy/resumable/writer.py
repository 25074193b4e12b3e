"""Turns the bytes of one request into parts behind those that an upload has, several at once.

Memory: the caller's lease is one part's; more is tried for and given back as in lfsproxy.s3.upload. At the
request's end what does not fill a part is left in ``rest``.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, DeferredLock

from lfsproxy.checksums import Buffer
from lfsproxy.gathered import Gathered
from lfsproxy.interfaces import IPartMemory, IResumableStore, StoredPart
from lfsproxy.resumable.state import Info, Mark


class PartWriter:
    """Writes behind ``mark``. One coroutine at a time may write, flush or wait.

    ``new_parts`` are those that are stored without a gap behind the mark's.
    """

    def __init__(self, store: IResumableStore, info: Info, mark: Mark, memory: IPartMemory) -> None:
        self.multipart = mark.multipart
        self.new_parts: list[StoredPart] = []
        self.rest = Gathered()
        self._store = store
        self._info = info
        self._memory = memory
        self._stored: dict[int, StoredPart] = {}
        self._next = self._sent = len(mark.parts)
        self._in_flight = 0
        self._slots = 1
        self._beginning = DeferredLock()
        self._error: BaseException | None = None
        self._waiting: Deferred[None] | None = None
        self._tasks: set[Deferred[None]] = set()

    async def write(self, data: Buffer) -> None:
        """Take ``data``; returns when there is memory for more. Raises what made a part fail."""
        self._raise_error()
        self.rest.add(data)
        while self.rest.size >= self._info.part_size:
            await self._room()
            self._send(self._info.part_size)
        await self._room()

    async def flush(self) -> None:
        """Send what is left as the upload's last part."""
        if self.rest.size:
            await self._room()
            self._send(self.rest.size)
        await self.settle()
        self._raise_error()

    async def settle(self) -> BaseException | None:
        """Wait until nothing is in flight; what made a part fail, if any."""
        while self._in_flight:
            await self._changed()
        return self._error

    def forget(self) -> None:
        """Nothing more is sent: let go of what is left."""
        self.rest.clear()

    async def cancel(self) -> None:
        """Give up what is in flight."""
        self.forget()
        for task in list(self._tasks):
            task.cancel()
        await self.settle()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def _room(self) -> None:
        """Wait until the part that gathers has memory besides those in flight."""
        while self._in_flight >= self._slots:
            self._raise_error()
            if self._slots < self._store.concurrency and self._memory.try_take(self._info.part_size):
                self._slots += 1
            else:
                await self._changed()
        self._raise_error()

    def _changed(self) -> Deferred[None]:
        self._waiting = Deferred()
        return self._waiting

    def _send(self, size: int) -> None:
        self._sent += 1
        self._in_flight += 1
        task = Deferred.fromCoroutine(self._put(self._sent, self.rest.take_first(size)))
        self._tasks.add(task)
        task.addBoth(self._over, task)

    async def _put(self, number: int, buffers: list[Buffer]) -> None:
        info = self._info
        try:
            async with self._beginning:
                if self.multipart is None:
                    self.multipart = await self._store.begin_parts(
                        info.blob_key, info.options.content_type, blob_metadata(info)
                    )
            part = await self._store.put_part(info.blob_key, self.multipart, number, buffers)
            self._stored[number] = part
            while (ready := self._stored.pop(self._next + 1, None)) is not None:
                self._next += 1
                self.new_parts.append(ready)
        except Exception as error:
            self._error = self._error or error
        finally:
            buffers.clear()

    def _over(self, result: object, task: Deferred[None]) -> None:
        self._tasks.discard(task)
        self._in_flight -= 1
        while self._slots > max(1, self._in_flight + 1):
            self._slots -= 1
            self._memory.give_back(self._info.part_size)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)


def blob_metadata(info: Info) -> dict[str, str]:
    """The user metadata of the upload's blob."""
    return {"lfs-topic": info.topic, "lfs-partition": str(info.partition)}
