"""Resumable uploads as a door uses them: create, find, receive, finish, give up; and the expiry of old ones.

Within this process one request at a time works on an upload (UploadBusy); across processes the marks in the
store decide (UploadMoved), see lfsproxy.resumable.state.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from lfsproxy.budget import Lease, MemoryBudget
from lfsproxy.checksums import Checksum, new_checksum
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.envelope import object_key
from lfsproxy.errors import BadRequest, LfsError, OutcomeUnknown, TooLarge
from lfsproxy.interfaces import IEnvelopePublisher, IResumableStore, ListedObject, Published
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.resumable.errors import (
    NO_CONDITIONAL_PUT,
    NotConditional,
    ResumableOff,
    UploadBusy,
    UploadGone,
    UploadNotFound,
    WrongOffset,
)
from lfsproxy.resumable.fence import FENCE_SECONDS, Stand, is_attempt
from lfsproxy.resumable.publication import Publication
from lfsproxy.resumable.session import UploadSession
from lfsproxy.resumable.state import (
    ROOT,
    Found,
    Info,
    Mark,
    UploadOptions,
    UploadState,
    idle_seconds,
    mark_name,
)
from lfsproxy.resumable.voids import Voids
from lfsproxy.words import error_text

KNOWN_CHECKSUMS = 1000
"""Running checksums that are remembered between the requests of one upload."""

LONGEST_SWEEP_SECONDS = 600.0
"""Between two looks for what has expired, at most: each costs a request for every 1000 objects."""

_ID = re.compile(r"[0-9a-f]{32}")


def check_id(id: str) -> None:
    """Raise UploadNotFound for what can be no upload's id."""
    if not _ID.fullmatch(id):
        raise UploadNotFound(f"there is no upload {quoted(id)}")


def _id_of(one: ListedObject) -> str:
    return one.key[len(ROOT) :].partition("/")[0]


def _is_whole(id: str, objects: Sequence[ListedObject]) -> bool:
    return any(one.key == f"{ROOT}{id}/info" for one in objects)


def _nonce() -> str:
    return uuid4().hex


class ResumableUploads:
    """``expiry`` is in seconds since an upload was last written to (LFS_TUS_EXPIRY)."""

    _log = Logger()

    def __init__(
        self,
        store: IResumableStore,
        claims: ClaimCheck,
        publisher: IEnvelopePublisher,
        budget: MemoryBudget,
        expiry: float,
        nonce: Callable[[], str] = _nonce,
    ) -> None:
        self.expiry = expiry
        self.max_size = claims.max_size
        self.default_algorithm = claims.default_algorithm
        self.clock = claims.clock
        self._store = store
        self._claims = claims
        self._publisher = publisher
        self._budget = budget
        self._nonce = nonce
        self._voids = Voids(claims.clock)
        self._publication = Publication(
            store, publisher, budget, claims.metrics, claims.clock, nonce, self._voids
        )
        self._busy: set[str] = set()
        self._running: OrderedDict[str, tuple[int, Checksum]] = OrderedDict()
        self.supported: bool | None = None
        """Whether the store can say which write was first; None until it was asked."""
        self._sweeping: Deferred[None] | None = None
        self._sweeps = LoopingCall(self._sweep)
        self._sweeps.clock = claims.clock

    # The store's abilities, and what is done by itself

    def start(self) -> None:
        """Probe the store, and remove what has expired, now and again and again."""
        self._sweeps.start(min(LONGEST_SWEEP_SECONDS, self.expiry / 2))

    def stop(self) -> None:
        """Remove no more, and make no more intents void."""
        self._voids.close()
        if self._sweeps.running:
            self._sweeps.stop()
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def must_be_supported(self) -> None:
        """Raises ResumableOff where the store cannot say which write was first; asks it once."""
        if self.supported is None:
            self.supported = await self._probe()
            if not self.supported:
                self._log.warn(NO_CONDITIONAL_PUT, bucket=self._store.bucket)
        if not self.supported:
            raise ResumableOff(
                "the store has no conditional PUT (If-None-Match), by which an envelope is published once "
                "only: upload by POST to /v1/topics/{topic}/records"
            )

    async def _probe(self) -> bool:
        key = f"{ROOT}probe-{self._nonce()}"
        try:
            first = await self._store.create_object(key, [b"first"])
            second = await self._store.create_object(key, [b"second"])
        except NotConditional:
            return False
        await self._store.delete_object(key)
        return first and not second

    def _sweep(self) -> Deferred[None]:
        self._sweeping = Deferred.fromCoroutine(self.sweep())
        self._sweeping.addErrback(
            lambda failure: self._log.info(
                "expired uploads stay for now: {why}", why=error_text(failure.value)
            )
        )
        return self._sweeping

    async def sweep(self) -> None:
        """Remove every upload that has expired. Raises a store error."""
        try:
            await self.must_be_supported()
        except ResumableOff:
            return
        async for id, objects in self._by_id():
            if not self._has_expired(id, objects):
                continue
            try:
                # Now it is asked for by itself: a list of many pages is old, and may have it in pieces.
                listed = await self._store.list_objects(f"{ROOT}{id}")
                objects = [one for one in listed if _id_of(one) == id]
                if self._has_expired(id, objects):
                    await self._remove(id, objects)
            except LfsError as error:
                self._log.info("the expired upload {id} stays for now: {error}", id=id, error=error)

    async def _by_id(self) -> AsyncIterator[tuple[str, list[ListedObject]]]:
        """What lies in the store, one upload after the other."""
        objects: list[ListedObject] = []
        async for page in self._store.list_pages(ROOT):
            for one in page:
                if objects and _id_of(one) != _id_of(objects[0]):
                    yield _id_of(objects[0]), objects
                    objects = []
                objects.append(one)
        if objects:
            yield _id_of(objects[0]), objects

    def _has_expired(self, id: str, objects: Sequence[ListedObject]) -> bool:
        if id in self._busy:
            return False
        if not _is_whole(id, objects):
            return idle_seconds(objects) >= FENCE_SECONDS
        written = [one for one in objects if not is_attempt(one.key.rpartition("/")[2])]
        return idle_seconds(written) >= self.expiry

    async def _remove(self, id: str, objects: Sequence[ListedObject]) -> None:
        if _is_whole(id, objects) and _ID.fullmatch(id):
            await self._expire(UploadState(self._store, id))
        else:
            # What is behind an upload that was removed, or that never came to be.
            for one in objects:
                await self._store.delete_object(one.key)

    async def _expire(self, state: UploadState) -> None:
        with self.at_work(state.id):
            found = await state.find()
            try:
                await self._publication.give_up(state, found, "it has expired")
            except UploadBusy:
                # Somebody publishes it, and may have written its last bytes since it was looked at.
                found = await state.find()
                if found.idle < self.expiry:
                    return
                try:
                    await self._publication.finish(state, found)
                except OutcomeUnknown as error:
                    self._log.debug("{error}", error=error)
                await self._publication.give_up(state, found, "it has expired")

    # What a door asks for

    async def create(
        self, topic: str, options: UploadOptions, metadata: str, length: int | None
    ) -> tuple[UploadState, Found]:
        """A new upload of ``length`` bytes (None: told later). Raises what its record cannot be: TooLarge,
        BadRequest, UnknownTopic, and the errors of store and broker."""
        await self.must_be_supported()
        if length is not None:
            self._claims.check_size(length)
        part_size = self._store.part_size(length)
        partition = await self._publisher.choose_partition(topic, options.key, options.partition)
        hint = await self._publisher.next_offset(topic, partition)
        id = self._claims.new_uuid().hex
        key = object_key(self._claims.namespace, topic, partition, hint, self._claims.new_uuid())
        now = self.clock.seconds()
        info = Info(id, topic, partition, key, part_size, metadata, options, now)
        state = UploadState(self._store, id)
        mark = Mark(1, self._nonce(), length)
        await state.create(info, mark)
        return state, Found(info, mark, frozenset({"info", mark_name(mark.number)}), 0.0)

    async def find(self, topic: str, id: str) -> tuple[UploadState, Found]:
        """An upload as it is. Raises UploadNotFound, or UploadGone where it was given up or has expired."""
        check_id(id)
        state = UploadState(self._store, id)
        found = await state.find(topic)
        fence = await state.must_be_alive(found)
        if found.idle >= self.expiry and fence.stand is Stand.FREE and id not in self._busy:
            await self._publication.give_up(state, found, "it has expired")
            raise UploadGone(f"the upload {id} was not written to for {self.expiry:g} s (LFS_TUS_EXPIRY)")
        return state, found

    @contextmanager
    def at_work(self, id: str) -> Iterator[None]:
        """Be the one request of this process that changes the upload. Raises UploadBusy."""
        if id in self._busy:
            raise UploadBusy(f"another request is at work on the upload {id}")
        self._busy.add(id)
        try:
            yield
        finally:
            self._busy.discard(id)

    def new_length(self, found: Found, offset: int, length: int | None) -> int | None:
        """The upload's length, told now or before. Raises WrongOffset, BadRequest or TooLarge."""
        mark = found.mark
        if offset != mark.offset:
            raise WrongOffset(f"the upload has {mark.offset} bytes, the request begins at {offset}")
        if length is None:
            return mark.length
        if mark.length is not None and mark.length != length:
            raise BadRequest(f"Upload-Length is {length}, it was {mark.length} before")
        if length < mark.offset:
            raise BadRequest(f"Upload-Length is {length}, the upload has {mark.offset} bytes already")
        self._claims.check_size(length)
        self._check_parts(found, length)
        return length

    def _check_parts(self, found: Found, size: int) -> None:
        most = self._store.most_parts * found.info.part_size
        if size > most:
            raise TooLarge(
                f"an upload whose length is not known at its creation can have {most} bytes: "
                f"{self._store.most_parts} parts of LFS_S3_PART_SIZE"
            )

    def check_received(self, found: Found, size: int) -> None:
        """Raise TooLarge where the upload may not have ``size`` bytes."""
        self._claims.check_size(size)
        self._check_parts(found, size)

    async def lease(self, found: Found, coming: int | None) -> Lease:
        """Memory for a request that brings ``coming`` bytes (None: not known)."""
        part_size = found.info.part_size
        tail = found.mark.offset - len(found.mark.parts) * part_size
        size = part_size if coming is None else min(part_size, tail + coming)
        if size > self._budget.limit - self._budget.limit // 4:
            raise TooLarge(f"a part of {size} bytes is more than LFS_UPLOAD_MEMORY has room for")
        return await self._budget.acquire(size)

    def session(
        self, state: UploadState, found: Found, length: int | None, lease: Lease, verify: Checksum | None
    ) -> UploadSession:
        """Receive one request's bytes. The caller is ``at_work``."""
        running: Checksum | None = None
        if found.mark.offset == 0:
            running = new_checksum(found.info.options.algorithm)
        else:
            number, known = self._running.pop(state.id, (0, None))
            if number == found.mark.number:
                running = known
        fresh = self.expiry / 4
        return UploadSession(state, found, length, lease, running, verify, self._nonce, self.clock, fresh)

    def remember(self, session: UploadSession, id: str) -> None:
        """A session is over: keep its running checksum for the next one."""
        if session.running is not None and not session.mark.complete:
            self._running[id] = (session.mark.number, session.running)
            if len(self._running) > KNOWN_CHECKSUMS:
                self._running.popitem(last=False)

    async def finish(self, state: UploadState, found: Found) -> Published:
        """See Publication.finish. The caller is ``at_work``."""
        return await self._publication.finish(state, found)

    async def terminate(self, state: UploadState, found: Found) -> None:
        """Give an upload up; of a published one only the state goes. The caller is ``at_work``."""
        self._running.pop(state.id, None)
        await self._publication.give_up(state, found, "it was terminated")

    async def result(self, state: UploadState, found: Found) -> Published | None:
        """The record that the upload became, None where it is not complete. Publishes it where nobody has."""
        if not found.mark.complete:
            return None
        with self.at_work(state.id):
            return await self._publication.finish(state, found)

    def with_mark(self, found: Found, mark: Mark) -> Found:
        """The upload after its next mark."""
        return attrs.evolve(found, mark=mark, objects=found.objects | {mark_name(mark.number)}, idle=0.0)
