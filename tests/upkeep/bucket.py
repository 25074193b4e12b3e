"""A bucket and topics for tests of gc: blobs of any age, and records that name them or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.envelope import Envelope, object_key
from lfsproxy.testing import MemoryBlob
from lfsproxy.testing.reading import MemoryPartition, MemoryReading
from lfsproxy.testing.store import MemoryStore
from lfsproxy.upkeep.orphans.book import Book
from lfsproxy.upkeep.orphans.listing import Listing
from lfsproxy.upkeep.orphans.removal import Removal, Removed
from lfsproxy.upkeep.orphans.report import Report
from lfsproxy.upkeep.orphans.search import Asked, Search
from lfsproxy.upkeep.orphans.topics import TopicReading
from lfsproxy.wire.walk import LIMITS
from tests.wire.helpers import batch_of, compressed, raw_records

HOUR = 3600.0
MIN_AGE = 24 * HOUR
_SPACE = UUID(int=0)


def key_of(name: str, topic: str = "clips", namespace: str = "default") -> str:
    """The key of a blob, the same for the same name."""
    return object_key(namespace, topic, 0, 7, uuid5(_SPACE, name))


def envelope_of(key: str) -> bytes:
    return Envelope("kafscale", key, "text/plain", 4, "sha256", "0" * 64).to_bytes()


def batch(
    *values: bytes | None,
    codec: int = 0,
    attributes: int = 0,
    key: bytes | None = None,
    headers: Sequence[tuple[bytes, bytes | None]] = (),
) -> bytes:
    records = raw_records([(key, value, list(headers)) for value in values])
    data = compressed(codec, records) if codec else records
    return batch_of(data, len(values), codec=codec, attributes=attributes)


class OrphansTestCase(SynchronousTestCase):
    """``put`` blobs, write records, and ``search``. The topic ``clips`` has a partition, ``log``."""

    namespace = "default"

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.store = MemoryStore(self.clock, page=3)
        self.kafka = MemoryReading()
        self.log: MemoryPartition = self.kafka.create("clips")[0]
        self.notes: list[str] = []
        self.book = Book("", "test")
        self.addCleanup(lambda: self.book.close())

    def put(self, name: str, topic: str = "clips", age: float = 2 * MIN_AGE, key: str = "") -> str:
        """A blob of four bytes; its key."""
        key = key or key_of(name, topic)
        written = self.clock.seconds() - age
        self.store.blobs.blobs[key] = MemoryBlob(b"blob", "text/plain", {}, written)
        return key

    def begin_upload(self, key: str, age: float = 2 * MIN_AGE) -> str:
        """An unfinished upload; its id."""
        begun: Deferred[str] = Deferred.fromCoroutine(self.store.resumable.begin_parts(key, "", {}))
        upload_id = self.successResultOf(begun)
        self.store.resumable.begun[upload_id] = self.clock.seconds() - age
        return upload_id

    def name(self, *keys: str, log: MemoryPartition | None = None, **options: Any) -> None:
        """Write a batch of records that name these blobs."""
        (log or self.log).append(batch(*map(envelope_of, keys), **options))

    def search_steps(self) -> Search:
        listing = Listing(self.store.index, self.store.resumable, self.namespace, MIN_AGE, self.book)
        topics = TopicReading(self.kafka, LIMITS, self.book)
        return Search(self.book, listing, topics, maybeDeferred, self.notes.append)

    def begin(self, *topics: str, gone: Sequence[str] = ()) -> Deferred[Report]:
        asked = Asked(topics or ("*",), gone)
        return Deferred.fromCoroutine(self.search_steps().run(asked))

    def search(self, *topics: str, gone: Sequence[str] = ()) -> Report:
        return self.successResultOf(self.begin(*topics, gone=gone))

    def orphans(self, *topics: str, gone: Sequence[str] = ()) -> list[str]:
        """Search; the keys of what was found."""
        self.search(*topics, gone=gone)
        return list(self.book.orphans_between("", "\U0010ffff"))

    def remove(self) -> Removed:
        removal = Removal(self.store.index, self.namespace, MIN_AGE, self.book)
        return self.successResultOf(Deferred.fromCoroutine(removal.run()))

    @property
    def keys(self) -> list[str]:
        """The blobs that are left."""
        return sorted(self.store.blobs.blobs)


@attrs.frozen
class Counts:
    """What of a report tests compare most."""

    blobs: int
    referenced: int
    orphans: int
    young: int = 0
    held: int = 0
    unread: int = 0

    @classmethod
    def of(cls, report: Report) -> Counts:
        return cls(
            report.blobs.count,
            report.referenced,
            report.orphans.count,
            report.young.count,
            report.held.count,
            report.unread_blobs,
        )
