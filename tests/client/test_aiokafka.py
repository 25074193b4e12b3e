"""Records with their blobs for aiokafka: order, how far ahead, and where errors are raised."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import aio
from lfsproxy.client.aiokafka import resolve_records
from lfsproxy.errors import BlobMissing
from tests.client.doubles import FakeStore, envelope_of, reader


@attrs.frozen
class Record:
    """What the helper needs of aiokafka's."""

    value: bytes | None


@attrs.define
class Consumer:
    """Gives its records, then ends, or fails with ``error``; counts what was taken."""

    values: Iterable[bytes | None]
    error: Exception | None = None
    taken: int = 0

    async def records(self) -> AsyncIterator[Record]:
        for value in self.values:
            self.taken += 1
            yield Record(value)
        if self.error is not None:
            raise self.error


class SlowFirst(FakeStore):
    """Answers for the first key only when the others were asked for."""

    def __init__(self, objects: Any, others: int) -> None:
        super().__init__(objects)
        self.others = threading.Semaphore(0)
        self.wanted = others

    def urlopen(self, method: str, path: str, headers: Any, **arguments: Any) -> Any:
        if path.endswith("/0"):
            for _ in range(self.wanted):
                self.others.acquire()
        else:
            self.others.release()
        return super().urlopen(method, path, headers, **arguments)


def blobs(count: int) -> tuple[dict[tuple[str, str], bytes], list[bytes]]:
    data = [f"blob {number}".encode() for number in range(count)]
    keys = [f"lfs/{number}" for number in range(count)]
    values = [envelope_of(blob, s3_key=key).to_bytes() for blob, key in zip(data, keys, strict=True)]
    return {("kafscale", key): blob for key, blob in zip(keys, data, strict=True)}, values


def made(store: FakeStore) -> aio.BlobReader:
    found = aio.BlobReader("kafscale")
    found._reader = reader(store)
    return found


async def read(consumer: Consumer, store: FakeStore, into: list[Any], **options: Any) -> None:
    async with aclosing(resolve_records(consumer.records(), made(store), **options)) as records:
        async for _, resolved in records:
            into.append(resolved.value)


class ResolveRecordsTests(SynchronousTestCase):
    def read(self, consumer: Consumer, store: FakeStore, **options: Any) -> list[Any]:
        into: list[Any] = []
        asyncio.run(read(consumer, store, into, **options))
        return into

    def test_in_order_though_the_first_takes_longest(self) -> None:
        objects, values = blobs(4)
        store = SlowFirst(objects, others=3)
        self.assertEqual(self.read(Consumer(values), store, prefetch=4), list(objects.values()))

    def test_ordinary_and_null_values_keep_their_place(self) -> None:
        objects, values = blobs(1)
        consumer = Consumer([b"a", None, *values, b"b"])
        self.assertEqual(self.read(consumer, FakeStore(objects)), [b"a", None, b"blob 0", b"b"])

    def test_no_further_ahead_than_asked(self) -> None:
        objects, values = blobs(10)

        async def main() -> list[int]:
            consumer, ahead = Consumer(values), []
            async with aclosing(resolve_records(consumer.records(), made(FakeStore(objects)), 2)) as records:
                number = 0
                async for _ in records:
                    number += 1
                    ahead.append(consumer.taken - number)
            return ahead

        ahead = asyncio.run(main())
        self.assertEqual(len(ahead), 10)
        self.assertLessEqual(max(ahead), 3)

    def test_an_error_is_raised_at_its_record(self) -> None:
        objects, values = blobs(4)
        del objects["kafscale", "lfs/2"]
        into: list[Any] = []
        self.assertRaises(BlobMissing, asyncio.run, read(Consumer(values), FakeStore(objects), into))
        self.assertEqual(into, [b"blob 0", b"blob 1"])

    def test_a_consumer_that_fails_does_so_after_what_it_gave(self) -> None:
        objects, values = blobs(3)
        into: list[Any] = []
        consumer = Consumer(values, RuntimeError("of the consumer"))
        self.assertRaises(RuntimeError, asyncio.run, read(consumer, FakeStore(objects), into))
        self.assertEqual(into, [b"blob 0", b"blob 1", b"blob 2"])

    def test_leaving_early_stops_reading_ahead(self) -> None:
        objects, values = blobs(50)

        async def main() -> int:
            consumer = Consumer(values)
            async with aclosing(resolve_records(consumer.records(), made(FakeStore(objects)))) as records:
                await anext(records)
            return consumer.taken

        self.assertLess(asyncio.run(main()), 10)

    def test_at_least_one_ahead(self) -> None:
        self.assertRaises(ValueError, asyncio.run, read(Consumer([]), FakeStore(), [], prefetch=0))
