"""A look over topics and a store in memory: real batches, and a clock that the test turns."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lfsproxy.envelope import Envelope, object_key
from lfsproxy.following import Places
from lfsproxy.interfaces import FoundTopic, FoundTopics, Gap, ILogReading, LogBounds
from lfsproxy.names import is_chosen
from lfsproxy.testing import Faults, MemoryBlob
from lfsproxy.testing.store import MemoryStore
from lfsproxy.upkeep.findings.found import Finding
from lfsproxy.upkeep.findings.fsck import Fsck, Watcher
from lfsproxy.upkeep.findings.plan import Wanted
from lfsproxy.upkeep.findings.positions import State
from lfsproxy.wire.unpack import UnpackedRecord, readable
from lfsproxy.wire.walk import LIMITS, FetchedBatch
from tests.wire.helpers import batch_of, compressed, raw_records

T = TypeVar("T")
BUCKET = "kafscale"
TIME = 1000
"""The timestamp of a batch's first record, as ``batch_of`` writes it; each next one's is one more."""


@attrs.define
class MemoryPartition:
    """Batches by their base offset. ``trouble`` is raised where it is read at that offset or behind."""

    batches: dict[int, bytes] = attrs.Factory(dict)
    first: int = 0
    end: int = 0
    trouble: tuple[int, Exception] | None = None
    times: dict[int, int] = attrs.Factory(dict)
    """First offsets of times, for ``offset_at``."""


@implementer(ILogReading)
class MemoryReading(Faults):
    """Topics in memory. Calls that can be failed or held: topics, bounds, look (before each batch)."""

    def __init__(self) -> None:
        super().__init__()
        self.partitions: dict[tuple[str, int], MemoryPartition] = {}
        self.ids: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.looks = 0

    def append(self, topic: str, *values: bytes | None, partition: int = 0, codec: int = 0) -> int:
        """Write a batch of records, each with the key k and its number. The first one's offset."""
        records = raw_records([(b"k%d" % index, value, []) for index, value in enumerate(values)])
        data = batch_of(compressed(codec, records) if codec else records, len(values), codec=codec)
        self.ids.setdefault(topic, f"id-{topic}")
        log = self.partitions.setdefault((topic, partition), MemoryPartition())
        base, log.end = log.end, log.end + len(values)
        log.batches[base] = struct.pack(">q", base) + data[8:]
        return base

    async def topics(self, globs: Sequence[str]) -> FoundTopics:
        await self._pass("topics")
        names = sorted(name for name in self.ids if is_chosen(name, globs))
        return FoundTopics(
            [
                FoundTopic(name, self.ids[name], sorted(n for topic, n in self.partitions if topic == name))
                for name in names
            ],
            {name: why for name, why in self.refused.items() if is_chosen(name, globs)},
            [name for name in globs if name not in names and "*" not in name and name not in self.refused],
        )

    async def bounds(self, topic: str, partition: int) -> LogBounds:
        await self._pass("bounds")
        log = self.partitions[topic, partition]
        return LogBounds(log.first, log.end, log.end)

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        return self.partitions[topic, partition].times.get(time)

    async def look(
        self,
        topic: str,
        partition: int,
        first: int,
        end: int,
        look: Callable[[Sequence[FetchedBatch]], Iterator[T]],
        committed: bool = True,
        gap: Gap = lambda first, next_one: None,
    ) -> AsyncIterator[tuple[int, T]]:
        assert committed
        self.looks += 1
        log = self.partitions[topic, partition]
        place = max(first, log.first)
        while place < end:
            await self._pass("look")
            if log.trouble is not None and place >= log.trouble[0]:
                raise log.trouble[1]
            bases = [
                base
                for base, data in log.batches.items()
                if base + struct.unpack_from(">i", data, 23)[0] >= place
            ]
            if not bases:
                return
            found = readable(log.batches[min(bases)], ())
            assert found.next_offset is not None
            for step in look(found.batches):
                yield found.next_offset, step
            place = found.next_offset

    async def records(self, *args: Any, **options: Any) -> AsyncIterator[Sequence[UnpackedRecord]]:
        raise NotImplementedError
        yield ()


class FindingsTestCase(SynchronousTestCase):
    """``self.log`` and ``self.store`` are what is looked at, ``self.told`` the findings."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.log = MemoryReading()
        self.store = MemoryStore(self.clock, BUCKET)
        self.told: list[Finding] = []
        self.notes: list[str] = []
        self.passed: list[int] = []
        self.total = 0
        self._number = 0

    @property
    def blobs(self) -> dict[str, MemoryBlob]:
        return self.store.blobs.blobs

    def envelope(self, topic: str, data: bytes = b"data", **changes: Any) -> Envelope:
        """A new envelope of a topic, with its blob in the store."""
        self._number += 1
        key = object_key("default", topic, 0, self._number, UUID(int=self._number))
        made = Envelope(BUCKET, key, "text/plain", len(data), "sha256", hashlib.sha256(data).hexdigest())
        made = attrs.evolve(made, **changes)
        self.put(made, data)
        return made

    def put(self, envelope: Envelope, data: bytes) -> None:
        self.blobs[envelope.s3_key] = MemoryBlob(data, "text/plain", {})

    def older(self, key: str, data: bytes = b"data") -> bytes:
        """KafScale's envelope, with its blob in the store."""
        self.blobs[key] = MemoryBlob(data, "text/plain", {})
        fields = {"kfs_lfs": 1, "bucket": BUCKET, "key": key, "size": len(data)}
        return json.dumps({**fields, "sha256": hashlib.sha256(data).hexdigest()}).encode()

    def fsck(
        self,
        verify: bool = False,
        prefixes: tuple[str, ...] = (),
        resume: Path | None = None,
        options: dict[str, Any] | None = None,
        report: Callable[[Finding], None] | None = None,
        **wanted: Any,
    ) -> Fsck:
        def begin(total: int) -> None:
            self.total = total

        watcher = Watcher(report or self.told.append, self.notes.append, begin, self.passed.append)
        return Fsck(
            self.clock,
            self.log,
            self.store,
            LIMITS,
            Places(BUCKET, "default", prefixes),
            Wanted(**wanted),
            options or {"--topics": "*"},
            verify,
            resume,
            watcher,
        )

    def begin(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Start it, and let it go on until nothing is due at once."""
        going = Deferred.fromCoroutine(work)
        self.go_on()
        return going

    def go_on(self) -> None:
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def look(self, **options: Any) -> State:
        """A whole look."""
        return self.successResultOf(self.begin(self.fsck(**options).run()))

    def kinds(self) -> list[tuple[str, int | None, str]]:
        """Topic, offset and kind of each finding that was told."""
        return [(each.topic, each.offset, each.kind) for each in self.told]
