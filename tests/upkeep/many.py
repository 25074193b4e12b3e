"""gc over very many made-up blobs: ``python -m tests.upkeep.many 1000000`` prints what it found, and took.

Blobs and batches are made as they are asked for, so that the memory is that of gc. Every hundredth blob is an
orphan; each of the others is named twice, by an original and a copy.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from lfsproxy.interfaces import FoundTopic, FoundTopics, ListedObject, LogBounds
from lfsproxy.upkeep.orphans.book import Book
from lfsproxy.upkeep.orphans.listing import Listing
from lfsproxy.upkeep.orphans.search import Asked, Search
from lfsproxy.upkeep.orphans.topics import TopicReading
from lfsproxy.wire.unpack import readable
from lfsproxy.wire.walk import LIMITS
from tests.memory import PEAK, resident
from tests.wire.helpers import batch_of, raw_records

PAGE = 1000
PARTITIONS = 10
TOPIC = "clips"


def key_of(number: int) -> str:
    """The key of a blob, whose uuid looks random."""
    hex = blake2b(b"%d" % number, digest_size=16).hexdigest()
    uuid = f"{hex[:8]}-{hex[8:12]}-{hex[12:16]}-{hex[16:20]}-{hex[20:]}"
    return f"lfs/default/{TOPIC}/{number % PARTITIONS}/{number}-{uuid}.bin"


class ManyBlobs:
    """An index of ``count`` blobs of a KiB."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def prefixes(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        if prefix == "lfs/default/":
            yield [f"{prefix}{TOPIC}/"]
        else:
            yield [f"{prefix}{number}/" for number in range(PARTITIONS)]

    async def objects(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        if not prefix.startswith("lfs/"):
            return
        numbers = range(int(prefix.split("/")[3]), self.count, PARTITIONS)
        for first in range(0, len(numbers), PAGE):
            yield [ListedObject(key_of(number), 1024, 1e6) for number in numbers[first : first + PAGE]]

    async def uploads(self, prefix: str) -> AsyncIterator[Sequence[Any]]:
        yield []


class ManyRecords:
    """Two topics of one partition each, whose records name each blob but every hundredth."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def topics(self, globs: Sequence[str]) -> FoundTopics:
        return FoundTopics([FoundTopic(name, name, [0]) for name in (TOPIC, "copies")])

    async def bounds(self, topic: str, partition: int) -> LogBounds:
        return LogBounds(0, self.count, self.count)

    async def look(
        self,
        topic: str,
        partition: int,
        first: int,
        end: int,
        look: Callable[..., Iterator[Any]],
        *options: Any,
    ) -> AsyncIterator[tuple[int, Any]]:
        for base in range(first, end, PAGE):
            numbers = [number for number in range(base, min(base + PAGE, end)) if number % 100]
            for step in look(readable(_batch(numbers), ()).batches):
                yield base + PAGE, step


def _batch(numbers: Sequence[int]) -> bytes:
    """One record with all of them: a row that names many."""
    return batch_of(raw_records([(None, json.dumps([key_of(number) for number in numbers]).encode(), [])]), 1)


def main(count: int) -> None:
    started = time.monotonic()
    book = Book("", "many")
    listing = Listing(ManyBlobs(count), None, "default", 3600.0, book)  # type: ignore[arg-type]
    topics = TopicReading(ManyRecords(count), LIMITS, book)  # type: ignore[arg-type]
    results: list[Any] = []
    search = Search(book, listing, topics, maybeDeferred)
    Deferred.fromCoroutine(search.run(Asked(["*"]))).addBoth(results.append)
    [report] = results
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "blobs": report.blobs.count,
                "referenced": report.referenced,
                "orphans": report.orphans.count,
                "seconds": round(time.monotonic() - started, 1),
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
                "MiB": resident("self", PEAK) // 2**20,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
