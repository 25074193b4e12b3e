"""gc ends at each of its awaits in turn, and is begun again with its file: nothing is lost by that."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from lfsproxy.errors import LfsError, StoreUnavailable
from lfsproxy.resumable.state import Info, UploadOptions
from lfsproxy.testing import Faults
from lfsproxy.upkeep.orphans.removal import Removal
from lfsproxy.upkeep.orphans.search import Asked
from tests.upkeep.bucket import MIN_AGE, OrphansTestCase, key_of

Calls = list[Deferred[None]]


class EachAwaitTests(OrphansTestCase):
    """A search and a removal, of which every call of the store and of Kafka is held once."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.mktemp()
        self.calls = 0
        self.stop_at = -1
        self.stopped: Calls = []
        self.patch(Faults, "_pass", self.counted())
        self.kept = sorted(self.put(f"kept {number}") for number in range(5))
        for number in range(5):
            self.put(f"orphan {number}")
        self.name(*self.kept[:2])
        self.name(self.kept[2], log=self.kafka.create("copies", 2)[1])
        self.name(self.kept[3])
        info = Info("1" * 32, "clips", 0, self.kept[4], 5, "", UploadOptions(), 1.0)
        self.store.resumable.objects[f"lfs-uploads/{info.id}/info"] = (info.to_bytes(), 0.0)
        begun: Deferred[str] = Deferred.fromCoroutine(
            self.store.resumable.begin_parts(key_of("lost"), "", {})
        )
        self.store.resumable.begun[self.successResultOf(begun)] = self.clock.seconds() - 2 * MIN_AGE
        self.before = dict(self.store.blobs.blobs), dict(self.store.resumable.uploads)

    def counted(self) -> Callable[..., Any]:
        passes = Faults._pass

        async def counting(faults: Faults, call: str) -> None:
            self.calls += 1
            if self.calls == self.stop_at:
                self.stopped.append(Deferred())
                await self.stopped[-1]
            await passes(faults, call)

        return counting

    async def run_gc(self) -> None:
        await self.search_steps().run(Asked(("*",)))
        await Removal(self.store.index, self.namespace, MIN_AGE, self.book).run()

    def attempt(self, stop_at: int, end: Callable[[Deferred[None]], None]) -> None:
        """Begin it, and end it at a call; at the end of all it has nothing to be ended."""
        self.calls, self.stop_at, self.stopped = 0, stop_at, []
        self.book.close()
        self.book = type(self.book)(self.path, "test")
        running: Deferred[None] = Deferred.fromCoroutine(self.run_gc())
        if self.stopped:
            end(running)
            self.failureResultOf(running)
        else:
            self.successResultOf(running)

    def each(self, end: Callable[[Deferred[None]], None]) -> None:
        self.attempt(-1, end)
        count = self.calls
        self.assertGreater(count, 20)
        for first in range(1, count + 1):
            self.store.blobs.blobs.clear()
            self.store.blobs.blobs.update(self.before[0])
            self.store.resumable.uploads.clear()
            self.store.resumable.uploads.update(self.before[1])
            self.book.close()
            os.remove(self.path)
            for stop_at in (first, first // 2 + 1, -1):
                self.attempt(stop_at, end)
                self.assertEqual(set(self.kept) - set(self.keys), set(), first)
            self.assertEqual(self.keys, self.kept, first)

    def test_cancelled(self) -> None:
        self.each(lambda running: running.cancel())

    def test_failed(self) -> None:
        error: LfsError = StoreUnavailable("away")
        self.each(lambda running: self.stopped[-1].errback(error))
