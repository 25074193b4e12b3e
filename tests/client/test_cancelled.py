"""Streams of event loops: a read that is cancelled at any moment loses no byte, and ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import Resolution, aio, tx
from lfsproxy.client.threaded import ThreadedReader
from lfsproxy.errors import LfsError, ReadInterrupted, StoreUnavailable
from tests.client.doubles import Dropped, FakeStore, Raised, reader, refused, stored

DATA = b"0123456789" * 300_000


class Later:
    """Threads that run when they are told to."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def submit(self, work: Callable[[], None]) -> None:
        self.work.append(work)

    def run(self) -> None:
        self.work.pop(0)()

    def shutdown(self, wait: bool) -> None:
        """There is nothing to shut."""


class AtOnce(tx._Twisted):
    """Whose calls from threads come at once."""

    def from_thread(self, call: Callable[[], object]) -> None:
        call()


class Held:
    """A reader of a store whose threads run when told to, and what its hook was told."""

    def __init__(self, store: FakeStore, framework: Any) -> None:
        self.told: list[Resolution] = []
        self.threads = Later()
        self.reader = ThreadedReader(framework, reader(store, on_resolve=self.told.append))
        self.reader._threads._pool = self.threads  # type: ignore[assignment]  # a double


class TwistedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store, self.value = stored(DATA)
        self.held = Held(self.store, AtOnce(None))
        self.run_next = self.held.threads.run

    def opened(self) -> Any:
        future = self.held.reader.open(self.value)
        self.run_next()
        return self.successResultOf(future).stream

    def test_bytes_of_a_cancelled_read_are_the_next_ones(self) -> None:
        stream = self.opened()
        cancelled = stream.read(600_000)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.run_next()
        self.assertEqual(self.successResultOf(stream.read(100)), DATA[:100])
        rest = stream.read(-1)
        self.run_next()
        self.assertEqual(self.successResultOf(rest), DATA[100:])
        self.assertEqual(self.successResultOf(stream.read()), b"")
        self.assertEqual([one.result for one in self.held.told], ["ok"])

    def test_a_read_after_a_cancelled_one_is_whole(self) -> None:
        stream = self.opened()
        self.cancel(stream.read(1000))
        later = stream.read(600_000)
        self.run_next()
        self.assertNoResult(later)
        self.run_next()
        self.assertEqual(self.successResultOf(later), DATA[:600_000])

    def cancel(self, future: Deferred[Any]) -> None:
        future.cancel()
        self.failureResultOf(future, CancelledError)

    def test_one_read_at_a_time(self) -> None:
        stream = self.opened()
        first = stream.read(10)
        self.failureResultOf(stream.read(10), RuntimeError)
        self.run_next()
        self.assertEqual(self.successResultOf(first), DATA[:10])

    def test_a_failure_that_nobody_waited_for_is_told_to_the_next_read(self) -> None:
        self.store.faults = [Dropped(1000), *[refused()] * 10]
        stream = self.opened()
        self.cancel(stream.read(600_000))
        self.run_next()
        for _ in range(2):
            again = stream.read(10)
            self.run_next()
            self.failureResultOf(again, StoreUnavailable)

    def test_what_ends_a_thread_is_no_end(self) -> None:
        for error in (SystemExit(), KeyboardInterrupt()):
            self.store.faults = [Raised(500_000, error)]
            stream = self.opened()
            for _ in range(2):
                read = stream.read(-1)
                self.run_next()
                self.failureResultOf(read, ReadInterrupted)

    def test_an_exception_on_the_way_to_its_future_is_no_end(self) -> None:
        class HandlerRaised(BaseException):
            """What a signal handler raises."""

        def handler(*arguments: Any) -> None:
            raise HandlerRaised

        for place in ("resolve", "_hold", "_serve"):
            stream = self.opened()
            waiting = stream.read(1000)
            with mock.patch.object(stream._framework if place == "resolve" else stream, place, handler):
                self.assertRaises(HandlerRaised, self.run_next)
            self.failureResultOf(stream.read(1000), ReadInterrupted)
            self.cancel(waiting)
            for _ in range(2):
                self.failureResultOf(stream.read(1000), ReadInterrupted)

    def test_a_callback_may_read_on(self) -> None:
        stream = self.opened()
        received: list[bytes] = []

        def read_on(data: bytes) -> Any:
            received.append(data)
            return stream.read(600_000).addCallback(read_on) if data else None

        done = stream.read(700_000).addCallback(read_on)
        while self.held.threads.work:
            self.run_next()
        self.successResultOf(done)
        self.assertEqual(b"".join(received), DATA)

    def test_a_stream_that_nobody_waits_for_is_closed(self) -> None:
        class Late(AtOnce):
            calls: list[Callable[[], object]] = []

            def from_thread(self, call: Callable[[], object]) -> None:
                self.calls.append(call)

        held = Held(self.store, Late(None))
        future = held.reader.open(self.value)
        held.threads.run()
        self.cancel(future)
        Late.calls.pop()()
        held.threads.run()
        self.assertEqual([one.result for one in held.told], ["cancelled"])

    def test_a_fetch_that_is_cancelled_before_its_turn_asks_nothing(self) -> None:
        self.cancel(self.held.reader.fetch(self.value))
        self.run_next()
        self.assertEqual(self.store.asked, [])

    def test_a_fetch_that_is_cancelled_is_not_tried_again(self) -> None:
        class Cancelling(FakeStore):
            def urlopen(self, *args: Any, **arguments: Any) -> Any:
                test.cancel(future)
                return super().urlopen(*args, **arguments)

        test = self
        store = Cancelling(self.store.objects, [503, 503])
        held = Held(store, AtOnce(None))
        future = held.reader.fetch(self.value)
        held.threads.run()
        self.assertEqual(len(store.asked), 1)
        self.assertEqual([(one.result, one.error) for one in held.told], [("cancelled", None)])

    def test_closing_ends_a_read_that_is_waited_for(self) -> None:
        self.store.faults = [Dropped(0)] * 3
        stream = self.opened()
        waiting = stream.read(10)
        closing = stream.close()
        self.run_next()
        self.failureResultOf(waiting, ReadInterrupted)
        self.run_next()
        self.successResultOf(closing)
        self.assertEqual([one.result for one in self.held.told], ["closed"])
        self.failureResultOf(stream.read(10), ValueError)

    def test_what_comes_after_closing_is_not_read_on(self) -> None:
        stream = self.opened()
        self.cancel(stream.read(1000))
        self.run_next()
        self.cancel(stream.read(2000))
        read = self.held.threads.work.pop()
        stream.close()
        read()
        self.failureResultOf(stream.read(10), ValueError)


class AsyncioTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store, self.value = stored(DATA)

    async def opened(self) -> tuple[Any, Later]:
        held = Held(self.store, aio._Asyncio(asyncio.get_running_loop()))
        future = held.reader.open(self.value)
        held.threads.run()
        return await future, held.threads

    def test_a_timeout_loses_nothing(self) -> None:
        async def main() -> bytes:
            stream, threads = await self.opened()
            for _ in range(3):
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(stream.read(600_000), 0)
            threads.run()
            received: bytes = await stream.read(600_000)
            self.assertEqual(len(received), 600_000)
            rest = stream.read(-1)
            threads.run()
            left: bytes = await rest
            return received + left

        self.assertEqual(asyncio.run(main()), DATA)

    def test_cancelled_between_its_bytes_and_its_turn(self) -> None:
        async def main() -> None:
            stream, threads = await self.opened()
            task = asyncio.ensure_future(self.read(stream, 10))
            await asyncio.sleep(0)
            threads.run()
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.wait([task])
            self.assertTrue(task.cancelled())
            self.assertEqual(await stream.read(10), DATA[:10])

        asyncio.run(main())

    async def read(self, stream: Any, size: int) -> bytes:
        data: bytes = await stream.read(size)
        return data

    def test_bytes_are_given_once(self) -> None:
        async def main() -> None:
            stream, threads = await self.opened()
            first = stream.read(10)
            threads.run()
            await asyncio.wait([first])
            second = stream.read(10)
            self.assertRaises(ReadInterrupted, first.result)
            self.assertEqual(await second, DATA[:10])

        asyncio.run(main())

    def test_a_read_that_is_shielded_is_still_waited_for(self) -> None:
        async def main() -> None:
            stream, threads = await self.opened()
            shielded = asyncio.shield(stream.read(10))
            shielded.cancel()
            with self.assertRaises(RuntimeError):
                await stream.read(10)
            threads.run()
            await asyncio.sleep(0)
            self.assertEqual(await stream.read(10), DATA[:10])

        asyncio.run(main())

    def test_nothing_runs_in_the_loops_own_executor(self) -> None:
        async def main() -> Any:
            made = aio.BlobReader("kafscale")
            made._reader = reader(self.store)
            data = await made.fetch(self.value)
            return data, asyncio.get_running_loop()._default_executor  # type: ignore[attr-defined]  # of asyncio

        self.assertEqual(asyncio.run(main()), (DATA, None))

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("read"), st.sampled_from([0, 1, 1000, 600_000, 2_000_000, -1])),
                st.tuples(st.sampled_from(["run", "cancel", "turn", "run, cancel", "wait_for"]), st.just(0)),
            ),
            max_size=40,
        ),
        st.sampled_from(
            [[], [Dropped(700_000)], [Dropped(700_000), *[refused()] * 10], [Raised(9, MemoryError())]]
        ),
    )
    def test_a_clean_end_only_after_all_of_it(self, steps: list[tuple[str, int]], faults: list[Any]) -> None:
        self.store.faults = list(faults)
        asyncio.run(self.follow(steps))

    async def follow(self, steps: list[tuple[str, int]]) -> None:
        stream, threads = await self.opened()
        received = b""
        task: asyncio.Task[bytes] | None = None
        size, ended = 0, False

        async def settle(task: asyncio.Task[bytes]) -> bytes:
            nonlocal ended
            try:
                data = await task
            except (asyncio.CancelledError, TimeoutError, RuntimeError):
                return b""
            except (LfsError, MemoryError):
                ended = True
                return b""
            if (size != 0 and len(data) < size) or size < 0 or (size and not data):
                self.assertEqual(len(received) + len(data), len(DATA))
            return data

        for name, number in [*steps, *[("read", 1_000_000), ("run", 0), ("turn", 0)] * 8]:
            if name in ("read", "wait_for") and task is None:
                size = number or 1000
                read = self.read(stream, size)
                task = asyncio.ensure_future(read if name == "read" else asyncio.wait_for(read, 0))
                await asyncio.sleep(0)
            if name.startswith("run") and threads.work:
                threads.run()
            if name.endswith("cancel") and task is not None:
                asyncio.get_running_loop().call_soon(task.cancel)
            for _ in range(3):
                await asyncio.sleep(0)
            if task is not None and task.done():
                received += await settle(task)
                task = None
        if task is not None:
            while threads.work:
                threads.run()
                await asyncio.sleep(0)
            received += await settle(task)
        self.assertTrue(DATA.startswith(received))
        self.assertTrue(ended or received == DATA)
