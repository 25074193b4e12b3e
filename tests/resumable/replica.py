"""A replica of the proxy whose store and log are a World: see tests.resumable.world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from lfsproxy.budget import MemoryBudget
from lfsproxy.checksums import Buffer, Checksum
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.errors import (
    ClientGone,
    LfsError,
    StoreRefused,
)
from lfsproxy.interfaces import (
    Header,
    IEnvelopePublisher,
    IResumableStore,
    ListedObject,
    Published,
    StoredPart,
)
from lfsproxy.resumable.errors import OtherBytes
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics
from tests.resumable.scene import (
    BLOB,
    BYTES,
    EXPIRY,
    ID,
    OTHER_BYTES,
    PUBLISH_SECONDS,
    Asked,
)

if TYPE_CHECKING:
    from tests.resumable.world import World


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
        self.uploads.supported = True
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
        self, key: str, upload_id: str, parts: Sequence[StoredPart], length: int, part_size: int
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
