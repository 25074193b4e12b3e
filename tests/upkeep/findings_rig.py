"""A look over topics and a store in memory: real batches, and a clock that the test turns."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import attrs
from crc32c import crc32c
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.envelope import Envelope, object_key
from lfsproxy.following import Places
from lfsproxy.testing import MemoryBlob
from lfsproxy.testing.reading import MemoryReading
from lfsproxy.testing.store import MemoryStore
from lfsproxy.upkeep.findings.found import Finding
from lfsproxy.upkeep.findings.fsck import Fsck, Watcher
from lfsproxy.upkeep.findings.plan import Wanted
from lfsproxy.upkeep.findings.positions import State
from lfsproxy.wire.walk import LIMITS
from tests.wire.helpers import batch_of, compressed, raw_records

T = TypeVar("T")
BUCKET = "kafscale"
TIME = 1000
"""The timestamp of a batch's first record; each next one's is one more."""
PARTITIONS = 3


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

    def append(
        self, topic: str, *values: bytes | None, partition: int = 0, codec: int = 0, time: int = TIME
    ) -> None:
        """Write a batch of records, each with the key k and its number."""
        records = raw_records([(b"k%d" % index, value, []) for index, value in enumerate(values)])
        records = compressed(codec, records) if codec else records
        batch = bytearray(batch_of(records, len(values), codec=codec))
        # Of the first record, and of the last one.
        struct.pack_into(">qq", batch, 27, time, time + len(values) - 1)
        struct.pack_into(">I", batch, 17, crc32c(batch[21:]))
        if topic not in self.log.logs:
            self.log.create(topic, PARTITIONS)
        self.log.logs[topic][partition].append(bytes(batch))

    def damage(self, topic: str, batch: int) -> bytes:
        """Change a byte of a batch of partition 0; how it was."""
        log = self.log.logs[topic][0]
        whole, log.batches[batch] = log.batches[batch], log.batches[batch][:-1] + b"?"
        return whole

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
