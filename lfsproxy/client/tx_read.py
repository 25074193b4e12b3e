"""Blobs read and verified on Twisted's reactor, from sources that ask over HTTP.

What ``client/reader.py`` and ``client/stream.py`` do by blocking calls. What they decide is shared: what an
answer means (client/download.py), whether the bytes are right (client/verify.py), what is allowed and told
(client/policy.py).
"""

from __future__ import annotations

import io
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, succeed

from lfsproxy.client.download import Download
from lfsproxy.client.policy import Reading
from lfsproxy.client.reader import BlobReader
from lfsproxy.client.recognise import as_bytes, recognise
from lfsproxy.client.results import Progress, RecordCoordinates, Resolved, Value
from lfsproxy.client.sources import HTTPSource
from lfsproxy.client.threads import raisable
from lfsproxy.client.tx_fetch import TreqBytes, TreqGets
from lfsproxy.client.tx_stop import Stop
from lfsproxy.client.verify import Verification, room_for
from lfsproxy.envelope import Envelope
from lfsproxy.errors import BlobMissing, LfsError

T = TypeVar("T")

_log = logging.getLogger(__name__)


class TreqBlob:
    """One blob's bytes, verified on the way: the last ones are given only after all were right.

    After a failure every read fails with the same error. ``ended`` is called as BlobStream's is.
    """

    def __init__(
        self,
        envelope: Envelope,
        source: TreqBytes,
        stop: Stop,
        ended: Callable[[int, bool, LfsError | None], None],
        on_progress: Progress | None,
    ) -> None:
        self._verification = Verification(envelope)
        self._source = source
        self._stop = stop
        self._ended = ended
        self._on_progress = on_progress
        self._error: LfsError | None = None

    async def start(self) -> None:
        """Send the GET. Raises as ``BlobBytes.start`` does, and what a source of the caller's raises."""
        try:
            await self._source.start()
        except LfsError as error:
            self._fail(error)
            raise
        except BaseException as error:
            self._fail(self._source.download.broken_off(error))
            raise

    async def read(self, size: int) -> bytes:
        """The next ``size`` bytes (below 0: all), fewer only at the verified end. One read at a time."""
        if self._error is not None:
            raise self._error
        try:
            return await self._gathered(size)
        except LfsError as error:
            self._fail(error)
            raise
        except BaseException as error:
            self._fail(self._source.download.interrupted(error))
            raise

    async def _gathered(self, size: int) -> bytes:
        verification = self._verification
        wanted = verification.left if size < 0 else min(size, verification.left)
        held = room_for(wanted if self._source.download.length_confirmed else 0)
        while not verification.verified and (not verification.left or held.tell() < wanted):
            data = await self._source.read(wanted - held.tell()) if verification.left else b""
            verification.add(data)
            if not verification.left:
                verification.end(await self._source.read(1))
                self._finish(None)
            held.write(data)
            self._tell()
        return held.getvalue()

    def _tell(self) -> None:
        if self._on_progress is not None:
            try:
                self._on_progress(self._verification.received)
            except Exception:
                _log.exception("on_progress has failed")

    def _fail(self, error: LfsError) -> None:
        self._error = self._error or error
        self._finish(error)

    def _finish(self, error: LfsError | None) -> None:
        self._source.close()
        self._ended(self._verification.received, self._verification.verified, error)

    def close(self) -> None:
        """Let go of the connection, and end a read that waits; also before the end."""
        self._stop.stop("closed")
        self._finish(None)


@attrs.frozen
class TreqFeed:
    """The feed of a blob's stream."""

    blob: TreqBlob

    def read(self, size: int, came: Callable[[bytes], None], failed: Callable[[Exception], None]) -> None:
        reading = Deferred.fromCoroutine(self.blob.read(size))
        reading.addCallbacks(came, lambda failure: failed(raisable(failure.value)))

    def close(self) -> Deferred[None]:
        self.blob.close()
        return succeed(None)


@attrs.frozen
class HeldFeed:
    """The feed of a value that is there already."""

    file: io.BytesIO

    def read(self, size: int, came: Callable[[bytes], None], failed: Callable[[Exception], None]) -> None:
        came(self.file.read(size))

    def close(self) -> Deferred[None]:
        self.file.close()
        return succeed(None)


@attrs.frozen
class Opened:
    """What ``open`` found: a feed for the stream (None: a null value, or a blob that was skipped)."""

    feed: TreqFeed | HeldFeed | None
    envelope: Envelope | None = None
    missing: bool = False


class TreqReader:
    """Does for ``reader`` on the reactor what it would do by blocking calls; with its source, which asks
    over HTTP. At most ``most`` calls run at a time, others wait for their turn."""

    def __init__(
        self,
        reader: BlobReader,
        source: HTTPSource,
        gets: TreqGets,
        reactor: Any,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
        most: int,
    ) -> None:
        self._reader = reader
        self._source = source
        self._gets = gets
        self._reactor = reactor
        self._in_thread = in_thread
        self._retry = attrs.evolve(reader._retry, clock=reactor.seconds)
        self._places = DeferredSemaphore(most)

    async def resolve(
        self, value: Value | None, record: RecordCoordinates | None, on_progress: Progress | None, stop: Stop
    ) -> Resolved:
        """See ``lfsproxy.client.BlobReader.resolve``."""
        given = as_bytes(value)
        envelope = recognise(given)
        if envelope is None:
            return Resolved(given)
        found = envelope

        async def whole() -> bytes:
            blob = await self._begun(found, record, on_progress, stop, whole=True)
            return await blob.read(-1)

        try:
            return Resolved(await self._in_turn(whole, stop), envelope)
        except BlobMissing as error:
            return Resolved(self._reader._policy.in_place_of(given, error), envelope, missing=True)

    async def open(
        self, value: Value | None, record: RecordCoordinates | None, on_progress: Progress | None, stop: Stop
    ) -> Opened:
        """See ``lfsproxy.client.BlobReader.open``."""
        given = as_bytes(value)
        envelope = recognise(given)
        if envelope is None:
            return Opened(None if given is None else HeldFeed(io.BytesIO(given)))
        found = envelope
        try:
            blob = await self._in_turn(
                lambda: self._begun(found, record, on_progress, stop, whole=False), stop
            )
        except BlobMissing as error:
            held = self._reader._policy.in_place_of(given, error)
            return Opened(None if held is None else HeldFeed(io.BytesIO(held)), envelope, missing=True)
        return Opened(TreqFeed(blob), envelope)

    def future(
        self, call: Callable[[Stop], Coroutine[Any, Any, Any]], create: Callable[..., Any] = Deferred
    ) -> Any:
        """A Deferred of what ``call`` returns. To cancel it stops the call: its connection is let go of."""
        stop = Stop()
        future = create(lambda cancelled: stop.stop())

        def came(result: Any) -> None:
            if stop.given_up is None:
                future.callback(result)

        def failed(error: BaseException) -> None:
            if stop.given_up is None:
                future.errback(raisable(error))

        Deferred.fromCoroutine(call(stop)).addCallbacks(came, lambda failure: failed(failure.value))
        return future

    def close(self) -> Deferred[None]:
        """Close the connections that are kept for reuse."""
        return self._gets.close()

    async def _begun(
        self,
        envelope: Envelope,
        record: RecordCoordinates | None,
        on_progress: Progress | None,
        stop: Stop,
        whole: bool,
    ) -> TreqBlob:
        reader = self._reader
        reading = Reading(reader._policy, self._reactor.seconds, envelope, record)
        download = Download(self._reader._source.name, self._retry, envelope, record)

        def ended(size: int, verified: bool, error: LfsError | None) -> None:
            reading.ended(size, download.tries, verified, error, stop.given_up)

        try:
            reader._policy.check(envelope, whole)
        except LfsError as error:
            ended(0, False, error)
            raise
        source = TreqBytes(
            self._source, reader._http, self._gets, download, stop, self._reactor, self._in_thread
        )
        blob = TreqBlob(envelope, source, stop, ended, on_progress)
        await blob.start()
        return blob

    async def _in_turn(self, work: Callable[[], Awaitable[T]], stop: Stop) -> T:
        await stop.over(self._places.acquire())
        try:
            return await work()
        finally:
            if self._places.waiting:
                # Not from here: of a thousand that fail at once, each would be called from within another.
                self._reactor.callLater(0, self._places.release)
            else:
                self._places.release()
