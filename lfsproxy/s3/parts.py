"""The parts of one multipart upload, sent side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.checksums import Buffer
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.multipart import Part
from lfsproxy.s3.requests import S3Refused, S3Unavailable
from lfsproxy.wakeups import Condition


class PartSender:
    """Creates the multipart upload with the first part, and sends each part that it is given.

    ``digest`` gives the CRC-32C of a part's buffers (None where checksums are off). ``ended`` is called when
    a part is no longer in flight, with the error that it failed with, if any; its buffers are emptied then.
    ``whole``: the store keeps, and compares, the CRC-32C of the whole object.
    """

    def __init__(
        self,
        clock: IReactorTime,
        client: S3Client,
        key: str,
        headers: Mapping[str, str],
        digest: Callable[[list[Buffer]], Awaitable[int | None]],
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self.upload_id: str | None = None
        self.whole = False
        self.in_flight = 0
        self.stored = 0
        self.cut_parts = False
        self.unknown_uploads = False
        self._client = client
        self._key = key
        self._headers = headers
        self._digest = digest
        self._ended = ended
        self._sent = 0
        self._parts: list[Part] = []
        self._tasks: set[Deferred[BaseException | None]] = set()
        self._creating = False
        self._create_error: Exception | None = None
        self._changed = Condition(clock)

    @property
    def started(self) -> bool:
        """Whether there is a multipart upload, or one is being created."""
        return self._sent > 0

    @property
    def sent(self) -> int:
        """How many parts were given to be sent."""
        return self._sent

    @property
    def parts(self) -> list[Part]:
        """The parts that S3 has, in their order."""
        return sorted(self._parts, key=lambda part: part.number)

    def send(self, buffers: list[Buffer]) -> None:
        """Send the next part."""
        self._sent += 1
        if self._sent == 1:
            self._creating = True
            Deferred.fromCoroutine(self._create())
        self.in_flight += 1
        task = Deferred.fromCoroutine(self._send(self._sent, buffers))
        self._tasks.add(task)
        task.addBoth(self._over, task)

    def cancel(self) -> None:
        """Stop the parts in flight. An upload that is being created is waited for: its id has to be known."""
        for task in list(self._tasks):
            task.cancel()

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        while self.in_flight or self._creating:
            await self._changed.wait()

    async def _create(self) -> None:
        try:
            begun = await self._client.create_multipart_upload(self._key, self._headers)
            self.upload_id, self.unknown_uploads, self.whole = begun.upload_id, begun.doubtful, begun.whole
        except Exception as error:
            self.unknown_uploads = _may_have_worked(error)
            self._create_error = error
        self._creating = False
        self._changed.wake()

    async def _send(self, number: int, buffers: list[Buffer]) -> BaseException | None:
        size = sum(map(len, buffers))
        try:
            crc = await self._digest(buffers)
            while self.upload_id is None:
                if self._create_error is not None:
                    raise self._create_error
                await self._changed.wait()
            part = await self._client.upload_part(self._key, self.upload_id, number, buffers, crc)
        except Exception as error:
            self.cut_parts = self.cut_parts or _may_have_worked(error)
            return error
        finally:
            buffers.clear()
        self._parts.append(part)
        self.stored += size
        return None

    def _over(self, error: BaseException | None, task: Deferred[BaseException | None]) -> None:
        self._tasks.discard(task)
        self.in_flight -= 1
        self._ended(error)
        self._changed.wake()


def _may_have_worked(error: Exception) -> bool:
    """Whether S3 may have done what failed here."""
    return isinstance(error, CancelledError) or (
        isinstance(error, S3Unavailable | S3Refused) and error.doubtful
    )
