"""The blobs of a poll's records, ahead and in order: with asyncio and with Twisted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.client import Resolution, aio, tx
from lfsproxy.errors import BlobMissing
from tests.client.doubles import FakeStore, own_source, reader
from tests.client.polls import SECONDS, Contract, Held, Pausing, Record, SlowFirst, blobs, hook, seen


class AsyncioTests(Contract, SynchronousTestCase):
    def made(self, blocking: Any) -> aio.BlobReader:
        found = aio.BlobReader("kafscale")
        found._reader = blocking
        return found

    def read(
        self,
        store: FakeStore,
        records: Iterable[Any],
        then: Callable[[Any], None] = lambda value: None,
        told: list[Resolution] | None = None,
        **options: Any,
    ) -> list[Any]:
        into = []

        async def main() -> None:
            blobs = self.made(reader(store, on_resolve=hook(told)))
            async with aclosing(aio.resolve_records(blobs, records, **options)) as given:
                async for each in given:
                    into.append(seen(each))
                    then(into[-1])

        asyncio.run(main())
        return into

    def leave(self, store: Held, records: Sequence[Record], told: list[Resolution]) -> None:
        pausing = Pausing(store, told)

        async def main() -> None:
            blobs = self.made(pausing.reader)
            async with aclosing(aio.resolve_records(blobs, records, concurrency=4)) as given:
                await anext(given)
                waiting = asyncio.ensure_future(anext(given))
                await asyncio.to_thread(store.full.wait, SECONDS)
                waiting.cancel()
                await asyncio.wait([waiting])

        asyncio.run(main())
        pausing.wait(4)

    def consumed(self, consumer: Consumer) -> tuple[list[Any], BaseException | None]:
        into: list[Any] = []
        keep = into.append

        async def main() -> None:
            blobs = self.made(reader(FakeStore(consumer.objects)))
            async with aclosing(aio.resolve_records(blobs, consumer.records())) as given:
                async for each in given:
                    keep(each.value)

        try:
            asyncio.run(main())
        except RuntimeError as error:
            return into, error
        return into, None

    def test_a_consumer_that_fails_does_so_after_what_it_gave(self) -> None:
        objects, records = blobs(3)
        into, error = self.consumed(Consumer(objects, records, RuntimeError("of the consumer")))
        self.assertEqual((into, str(error)), ([b"blob 0", b"blob 1", b"blob 2"], "of the consumer"))

    def test_a_consumer_that_waits_keeps_nothing_back(self) -> None:
        objects, records = blobs(2)

        async def main() -> list[Any]:
            blobs = self.made(reader(FakeStore(objects)))
            consumer = Consumer(objects, records, waits=True)
            async with aclosing(aio.resolve_records(blobs, consumer.records())) as given:
                return [(await anext(given)).value for _ in records]

        self.assertEqual(asyncio.run(main()), [b"blob 0", b"blob 1"])

    def test_an_endless_consumer_is_not_followed_for_ever(self) -> None:
        async def main() -> int:
            consumer = Consumer({}, [Record(b"ordinary")] * 100_000)
            blobs = self.made(reader(FakeStore()))
            async with aclosing(aio.resolve_records(blobs, consumer.records())) as given:
                await anext(given)
            return consumer.taken

        self.assertLess(asyncio.run(main()), 2000)


@attrs.define
class Consumer:
    """Gives its records, then ends, fails with ``error``, or waits; counts what was taken."""

    objects: dict[tuple[str, str], bytes]
    given: Sequence[Record]
    error: Exception | None = None
    waits: bool = False
    taken: int = 0

    async def records(self) -> AsyncIterator[Record]:
        for record in self.given:
            self.taken += 1
            yield record
        if self.error is not None:
            raise self.error
        if self.waits:
            await asyncio.Event().wait()


class TwistedTests(TestCase):
    """The contract's asynchronous half is asyncio's; here what Deferreds do otherwise."""

    timeout = SECONDS

    def made(self, store: FakeStore) -> tx.BlobReader:
        found = tx.BlobReader("kafscale")
        found._reader = reader(store, source=own_source())
        return found

    async def test_in_order_though_the_first_takes_longest(self) -> None:
        objects, records = blobs(4)
        given = tx.resolve_records(self.made(SlowFirst(objects, 3)), records)
        self.assertEqual([each.value async for each in given], list(objects.values()))

    async def test_errors_in_their_place(self) -> None:
        objects, records = blobs(3)
        del objects["kafscale", "lfs/1"]
        given = tx.resolve_records(self.made(FakeStore(objects)), records)
        self.assertEqual([seen(each) async for each in given], [b"blob 0", BlobMissing, b"blob 2"])

    async def test_a_consumer_of_deferreds(self) -> None:
        objects, records = blobs(2)
        waiting: Deferred[None] = Deferred()

        async def consume() -> AsyncIterator[Record]:
            yield records[0]
            await waiting
            yield records[1]

        into: list[Any] = []

        async def read() -> None:
            async for each in tx.resolve_records(self.made(FakeStore(objects)), consume()):
                into.append(each.value)
                if not waiting.called:
                    waiting.callback(None)

        await ensureDeferred(read())
        self.assertEqual(into, [b"blob 0", b"blob 1"])
