"""A store, a log and replicas of the proxy, stepped by hand: what may happen next is asked for, and chosen.

The replicas run the product's own lfsproxy.resumable; only what they ask of S3 and of Kafka is made up here.
Every request that a replica sends waits until a choice says what becomes of it:

    ok       carried out and answered
    late     the replica is told that the store is in trouble; the request lands at any later time, or never
    again    carried out and answered; an earlier try of it lands a second time, at any later time, or never
    refused  (publish) the broker says no
    lost     (publish) the outcome is unknown to the replica; the record lands at any later time, or never

How the upload begins is said by signs in front of a script: with all bytes stored, else (~) with none; with a
multipart upload that is to be completed (+); with parts so small (%) that there are two; with a checksum (!)
that is not that of its bytes; and (*) the requests that created it may land once more.

A replica may crash between any two steps: what it asked last then lands late or never. Time passes by choice:
seconds, the time after which nobody who publishes is still at work, or the time after which nothing is late.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from lfsproxy.budget import MemoryBudget
from lfsproxy.checksums import Buffer, Checksum
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.errors import (
    BrokerRefused,
    ClientGone,
    LfsError,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
)
from lfsproxy.interfaces import (
    Header,
    IEnvelopePublisher,
    IResumableStore,
    ListedObject,
    OtherBytes,
    Published,
    StoredPart,
)
from lfsproxy.resumable.fence import FENCE_SECONDS
from lfsproxy.resumable.state import Info, Mark, UploadOptions
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics

ID = "0" * 32
STATE = f"lfs-uploads/{ID}/"
BLOB = "lfs/default/t/0/0-00000000-0000-4000-8000-000000000000.bin"
BYTES = b"blob"
OTHER_BYTES = b"BLOB"
SIGNS = "~%+!*"
EXPIRY = 7200.0
PUBLISH_SECONDS = 45.0
TICK = 2.0
JUMP = 100.0
"""More than PUBLISH_SECONDS and the grace behind it."""

LONG = EXPIRY + FENCE_SECONDS

Choice = tuple[Any, ...]


@attrs.define
class Asked:
    """A request that waits for its fate. ``land`` carries it out; ``changes``: whether that can be seen."""

    replica: int
    what: str
    changes: bool
    land: Callable[[], Any]
    answer: Deferred[Any]


class BrokenPromise(AssertionError):
    """One of the two promises does not hold; the message has the steps that led here."""


class World:
    """``scripts`` has what each replica is asked for, one after the other: finish, end or expire; patch or
    patch2 to send what is missing, or other bytes; half or cut to send half of it, and end or be cut off.

    ``signs`` say how the upload begins. ``spans`` are the times that may pass at once, in seconds.
    """

    def __init__(
        self,
        scripts: Sequence[Sequence[str]],
        signs: str = "",
        spans: Sequence[float] = (TICK, JUMP, LONG),
    ) -> None:
        self._spans = spans
        self.seconds = 0.0
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.blob: bytes | None = None
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.begun = 0
        self.log: list[bytes] = []
        self.asked: list[Asked] = []
        self.late: list[tuple[str, Callable[[], Any]]] = []
        self.steps: list[Choice] = []
        self._begin_state(signs)
        self.replicas = [Replica(self, number, script) for number, script in enumerate(scripts)]
        for replica in self.replicas:
            replica.go_on()

    def _begin_state(self, signs: str) -> None:
        options = UploadOptions(checksum="0" * 64 if "!" in signs else None)
        info = Info(ID, "t", 0, BLOB, 2 if "%" in signs else 1000, "", options, 0.0)
        mark = Mark(1, "m", len(BYTES))
        if "~" not in signs:
            mark = attrs.evolve(mark, offset=len(BYTES), checksum=sha256(BYTES).hexdigest())
            if "+" in signs:
                part = self.put_part(self.begin_parts(), 1, BYTES)
                assert part is not None
                mark = attrs.evolve(mark, multipart="u1", parts=(part,))
            else:
                self.blob = BYTES
        for name, data in (("info", info.to_bytes()), ("mark-00000001", mark.to_bytes())):
            key = f"{STATE}{name}"
            self.create(key, data)
            if "*" in signs:
                self.late.append((f"create {key}", partial(self.create, key, data)))

    def create(self, key: str, data: bytes) -> bool:
        """PutObject with If-None-Match: *; whether the object now has these bytes."""
        return self.objects.setdefault(key, (data, self.seconds))[0] == data

    def put_blob(self, data: bytes) -> bool:
        """PutObject of the blob; whether it has these bytes now."""
        self.blob = data if self.blob is None else self.blob
        return self.blob == data

    def begin_parts(self) -> str:
        """CreateMultipartUpload."""
        self.begun += 1
        self.uploads[f"u{self.begun}"] = {}
        return f"u{self.begun}"

    def put_part(self, upload_id: str, number: int, data: bytes) -> StoredPart | None:
        """UploadPart; None where there is no such upload."""
        if upload_id not in self.uploads:
            return None
        self.uploads[upload_id][number] = data
        return StoredPart(number, sha256(data).hexdigest(), None)

    def complete(self, upload_id: str, parts: Sequence[StoredPart]) -> bool | None:
        """CompleteMultipartUpload; None where there is no such upload, False where a part is another."""
        stored = self.uploads.get(upload_id)
        if stored is None or self.blob is not None:
            return None
        pieces = [stored.get(part.number, b"") for part in parts]
        if [sha256(piece).hexdigest() for piece in pieces] != [part.etag for part in parts]:
            return False
        self.blob = b"".join(pieces)
        del self.uploads[upload_id]
        return True

    def abort_parts(self) -> None:
        """AbortMultipartUpload, of all."""
        self.uploads.clear()

    def remove_blob(self) -> None:
        """DeleteObject of the blob."""
        self.blob = None

    def append(self, value: bytes) -> Published:
        """Produce."""
        if f"{STATE}unknown" in self.objects:
            raise BrokenPromise(f"published what nobody was to publish any more: {self.steps}")
        self.log.append(value)
        return Published("t", 0, len(self.log) - 1, 0)

    # What may happen

    def choices(self, faults: int, jumps: int) -> list[Choice]:
        """What may happen next, with so many faults and so much time left."""
        found: list[Choice] = []
        for at, asked in enumerate(self.asked):
            found.append((at, "ok"))
            if asked.what.startswith("publish"):
                found.append((at, "refused"))
            if faults:
                found.append((at, "lost" if asked.what.startswith("publish") else "late"))
                if asked.changes and not asked.what.startswith("publish"):
                    found.append((at, "again"))
        if faults:
            found += [
                (replica.number, "crash")
                for replica in self.replicas
                if any(asked.changes and asked.replica == replica.number for asked in self.asked)
            ]
        found += [(at, "land") for at in range(len(self.late))]
        if jumps:
            waiting = any(replica.clock.getDelayedCalls() for replica in self.replicas)
            publishing = any(asked.what.startswith("publish") for asked in self.asked)
            found += [(span, "time") for span in self._spans if (waiting if span < JUMP else not publishing)]
        return found

    def choose(self, choice: Choice) -> tuple[int, int]:
        """Let it happen; the faults and the time that it took."""
        self.steps.append(choice)
        which, fate = choice
        faults, jumps = 0, 0
        if fate == "land":
            _, land = self.late.pop(which)
            land()
        elif fate == "time":
            jumps = 1
            self._pass(which)
        elif fate == "crash":
            faults = 1
            self.replicas[which].crash()
        else:
            faults = fate not in ("ok", "refused")
            self._decide(self.asked.pop(which), fate)
        self._check()
        return faults, jumps

    def _pass(self, seconds: float) -> None:
        """What is late lands within its time or never."""
        if seconds >= JUMP:
            self.late = [(what, land) for what, land in self.late if not what.startswith("publish")]
        if seconds >= LONG:
            self.late = []
        self.seconds += seconds
        for replica in self.replicas:
            replica.clock.advance(seconds)
            replica.go_on()

    def _decide(self, asked: Asked, fate: str) -> None:
        if fate in ("ok", "again"):
            result = asked.land()
            if fate == "again":
                self.late.append((asked.what, asked.land))
            self._answer(asked, result)
        elif fate == "refused":
            self._answer(asked, BrokerRefused(10, "refused"))
        else:
            if asked.changes:
                self.late.append((asked.what, asked.land))
            quiet = asked.what.startswith("remove")
            error = OutcomeUnknown("lost") if fate == "lost" else StoreUnavailable("trouble")
            self._answer(asked, None if quiet else error)

    def _answer(self, asked: Asked, result: Any) -> None:
        replica = self.replicas[asked.replica]
        replica.see(asked.what, repr(result))
        if isinstance(result, Exception):
            asked.answer.errback(result)
        else:
            asked.answer.callback(result)
        replica.go_on()

    def _check(self) -> None:
        if len(self.log) > 1:
            raise BrokenPromise(f"published {len(self.log)} times: {self.steps}")
        if self.log and self.blob is None:
            raise BrokenPromise(f"the blob of a record is gone: {self.steps}")
        if self.log and json.loads(self.log[0])["checksum"] != sha256(self.blob or b"").hexdigest():
            raise BrokenPromise(f"the blob of a record has other bytes: {self.steps}")
        for replica in self.replicas:
            if replica.acknowledged and not self.log:
                raise BrokenPromise(f"acknowledged what is not in the log: {self.steps}")

    def fingerprint(self) -> int:
        """Two worlds of one fingerprint go on alike."""
        return hash(
            (
                tuple(sorted(self.objects.items())),
                self.blob,
                repr(self.uploads),
                tuple(self.log),
                tuple(sorted((asked.replica, asked.what) for asked in self.asked)),
                tuple(sorted(what for what, _ in self.late)),
                tuple(replica.seen for replica in self.replicas),
                self.seconds,
                tuple(
                    tuple(call.getTime() for call in replica.clock.getDelayedCalls())
                    for replica in self.replicas
                ),
            )
        )


class Replica:
    """One process. ``seen`` stands for all that it was ever told, and when: that makes what it does next."""

    def __init__(self, world: World, number: int, script: Sequence[str]) -> None:
        self.number = number
        self.acknowledged = False
        self.seen = 0
        self._world = world
        self._script = list(script)
        self._nonces = 0
        self._boot()

    def _boot(self) -> None:
        world = self._world
        self._running: Deferred[Any] | None = None
        self.clock = Clock()
        self.clock.advance(world.seconds)
        publisher = WorldPublisher(world, self)
        claims = ClaimCheck(MemoryBlobStore(), MemoryMetrics(), self.clock)
        budget = MemoryBudget(self.clock, 2**22, 2**20, 30.0)
        self.uploads = ResumableUploads(
            WorldStore(world, self), claims, publisher, budget, EXPIRY, self._nonce
        )

    def _nonce(self) -> str:
        self._nonces += 1
        return f"{self.number}.{self._nonces}"

    def see(self, what: str, result: str) -> None:
        """It is told that."""
        self.seen = hash((self.seen, what, result, self._world.seconds))

    def go_on(self) -> None:
        """Begin what the script says next, where nothing is being done."""
        while self._script and (self._running is None or self._running.called):
            self._running = Deferred.fromCoroutine(self._do(self._script.pop(0)))

    async def _do(self, what: str) -> None:
        try:
            if what in ("half", "cut"):
                await self._patch(BYTES[:2], what == "cut")
            elif what.startswith("patch"):
                await self._patch(OTHER_BYTES if what == "patch2" else BYTES)
            else:
                await {"finish": self._finish, "end": self._end, "expire": self._expire}[what]()
        except LfsError as error:
            self.see(what, str(error))

    async def _finish(self) -> None:
        state, found = await self.uploads.find("t", ID)
        self.acknowledged = await self.uploads.result(state, found) is not None

    async def _patch(self, data: bytes, is_cut: bool = False) -> None:
        with self.uploads.at_work(ID):
            state, found = await self.uploads.find("t", ID)
            if not found.mark.complete:
                lease = await self.uploads.lease(found, len(data))
                session = self.uploads.session(state, found, found.mark.length, lease, None)
                try:
                    await session.start()
                    await session.write(data[found.mark.offset :])
                    if is_cut:
                        raise ClientGone("cut")
                    mark = await session.end()
                except LfsError:
                    await session.keep()
                    raise
                finally:
                    self.uploads.remember(session, ID)
                    lease.release()
                found = self.uploads.with_mark(found, mark)
            if found.mark.complete:
                await self.uploads.finish(state, found)
                self.acknowledged = True

    async def _end(self) -> None:
        with self.uploads.at_work(ID):
            state, found = await self.uploads.find("t", ID)
            await self.uploads.terminate(state, found)

    async def _expire(self) -> None:
        self.uploads._supported = True
        await self.uploads.sweep()

    def crash(self) -> None:
        """Die, and come back with nothing remembered. What was asked lands late or never."""
        world = self._world
        for asked in [asked for asked in world.asked if asked.replica == self.number]:
            world.asked.remove(asked)
            if asked.changes:
                world.late.append((asked.what, asked.land))
        self.see("crash", "")
        self._boot()
        self.go_on()


class _Asking:
    """Asks the world for a replica."""

    def __init__(self, world: World, replica: Replica) -> None:
        self.world = world
        self._replica = replica

    async def ask(self, what: str, land: Callable[[], Any], changes: bool = False) -> Any:
        answer: Deferred[Any] = Deferred()
        self.world.asked.append(Asked(self._replica.number, what, changes, land, answer))
        return await answer


@implementer(IResumableStore)
class WorldStore(_Asking):
    """The bucket, with one upload and one blob in it."""

    bucket = "kafscale"
    concurrency = 1
    most_parts = 10_000

    def part_size(self, length: int | None) -> int:
        return 1000

    async def create_object(self, key: str, buffers: Sequence[Buffer]) -> bool:
        data = b"".join(buffers)
        land = partial(self.world.create, key, data)
        created: bool = await self.ask(f"create {key} {data!r}", land, True)
        return created

    async def read_object(self, key: str, start: int = 0, size: int | None = None) -> bytes | None:
        def land() -> bytes | None:
            return self.world.blob if key == BLOB else self.world.objects.get(key, (None, 0.0))[0]

        read: bytes | None = await self.ask(f"read {key}", land)
        return read

    async def list_objects(self, prefix: str) -> Sequence[ListedObject]:
        def land() -> list[ListedObject]:
            found = sorted(self.world.objects.items())
            return [
                ListedObject(key, len(data), self.world.seconds - written)
                for key, (data, written) in found
                if key.startswith(prefix)
            ]

        listed: list[ListedObject] = await self.ask(f"list {prefix}", land)
        return listed

    async def list_pages(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        yield await self.list_objects(prefix)

    async def delete_object(self, key: str) -> None:
        await self.ask(f"delete {key}", lambda: self.world.objects.pop(key, None) and None, True)

    async def digest(self, checksums: Sequence[Checksum], data: Buffer) -> None:
        for checksum in checksums:
            checksum.update(data)

    async def put_blob(
        self, key: str, content_type: str, metadata: Mapping[str, str], buffers: Sequence[Buffer]
    ) -> None:
        data = b"".join(buffers)
        if not await self.ask(f"put {data!r}", partial(self.world.put_blob, data), True):
            raise OtherBytes("there is another object")

    async def begin_parts(self, key: str, content_type: str, metadata: Mapping[str, str]) -> str:
        begun: str = await self.ask("begin parts", self.world.begin_parts, True)
        return begun

    async def put_part(self, key: str, upload_id: str, number: int, buffers: Sequence[Buffer]) -> StoredPart:
        data = b"".join(buffers)
        what = f"put part {upload_id} {number} {data!r}"
        part: StoredPart | None = await self.ask(
            what, partial(self.world.put_part, upload_id, number, data), True
        )
        if part is None:
            raise StoreRefused(f"there is no upload {upload_id}")
        return part

    async def complete_parts(
        self, key: str, upload_id: str, parts: Sequence[StoredPart], length: int
    ) -> bool:
        what = f"complete {upload_id} {[part.etag for part in parts]}"
        completed = await self.ask(what, partial(self.world.complete, upload_id, parts), True)
        if completed is False:
            raise StoreRefused("a part is another")
        if completed is None and await self.ask("head", lambda: len(self.world.blob or b"")) != length:
            raise StoreRefused("there is no such upload")
        return completed is True

    async def remove_parts(self, key: str, blob: bool) -> None:
        await self.ask("remove parts", self.world.abort_parts, bool(self.world.uploads))
        if blob:
            await self.ask("remove blob", self.world.remove_blob, True)


@implementer(IEnvelopePublisher)
class WorldPublisher(_Asking):
    """The one partition."""

    publish_seconds = PUBLISH_SECONDS

    async def choose_partition(self, topic: str, key: bytes | None, partition: int | None) -> int:
        return 0

    async def next_offset(self, topic: str, partition: int) -> int:
        return 0

    async def publish(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[Header],
        timestamp: int | None,
    ) -> Published:
        what = f"publish {self._replica.number}"
        published: Published = await self.ask(what, partial(self.world.append, value), True)
        return published

    async def log_end(self, topic: str, partition: int) -> int:
        end: int = await self.ask("log end", lambda: 0)
        return end

    async def find(self, topic: str, partition: int, value: bytes, first: int) -> Published | None:
        def land() -> Published | None:
            return Published(topic, partition, 0, 0) if value in self.world.log else None

        found: Published | None = await self.ask("find", land)
        return found

    async def check(self) -> None:
        raise NotImplementedError
