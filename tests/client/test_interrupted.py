"""Reads that are broken off by what no reader raises, at any point: no later read takes it for the end."""

from __future__ import annotations

import dis
import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import Resolution, download, fetch, file, policy, stream, verify
from lfsproxy.client import reader as reader_module
from lfsproxy.errors import LfsError, ReadInterrupted
from tests.client.doubles import FakeStore, Raised, RaisingBody, reader, stored

DATA = b"".join(b"line %07d " % number * 100 + b"\n" for number in range(750))
BUFFERED = 256 * 1024


class HandlerRaised(BaseException):
    """What a signal handler raises."""


READS: dict[str, Callable[[io.BufferedIOBase], bytes]] = {
    "read": lambda blob: blob.read(600_000),
    "read all": lambda blob: blob.read(),
    "read1": lambda blob: blob.read1(100_000),
    "readline": lambda blob: blob.readline(),
    "readlines": lambda blob: b"".join(blob.readlines(300_000)),
    "next": lambda blob: next(blob, b""),
    "readinto": lambda blob: into(blob, blob.readinto),
    "readinto1": lambda blob: into(blob, blob.readinto1),
}


def into(blob: io.BufferedIOBase, read: Callable[[Any], int]) -> bytes:
    buffer = bytearray(300_000)
    return bytes(buffer[: read(buffer)])


class InterruptedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[Resolution] = []

    def open(self, store: FakeStore, value: bytes) -> io.BufferedIOBase:
        blob = reader(store, on_resolve=self.told.append).open(value).stream
        assert blob is not None
        self.addCleanup(blob.close)
        return blob

    def read_on(self, blob: io.BufferedIOBase, read: Callable[[io.BufferedIOBase], bytes]) -> bytes:
        """What is read until the end, with every exception of the handler passed over."""
        received = b""
        while True:
            try:
                data = read(blob)
            except HandlerRaised:
                continue
            if not data:
                return received
            received += data

    def test_no_read_after_it_ends_cleanly(self) -> None:
        for name, read in READS.items():
            store, value = stored(DATA)
            store.faults = [Raised(BUFFERED * 2, HandlerRaised())]
            blob = self.open(store, value)
            self.assertRaises(ReadInterrupted, self.read_on, blob, read)
            for again in READS.values():
                self.assertRaises(ReadInterrupted, again, blob)
            self.assertEqual([one.result for one in self.told], ["read-interrupted"], name)
            self.told.clear()

    def test_the_error_says_what_broke_the_read_off(self) -> None:
        store, value = stored(DATA)
        store.faults = [Raised(BUFFERED, HandlerRaised())]
        blob = self.open(store, value)
        self.assertRaises(HandlerRaised, blob.read)
        error = self.assertRaises(ReadInterrupted, blob.read)
        self.assertIn("kafscale/lfs/k cannot be read on: HandlerRaised broke off a read", str(error))
        self.assertIsInstance(error.__cause__, HandlerRaised)

    def test_neither_does_what_is_wrapped_around_it(self) -> None:
        for wrap in (io.TextIOWrapper, io.BufferedReader):
            store, value = stored(DATA)
            store.faults = [Raised(BUFFERED * 2, HandlerRaised())]
            wrapped: Any = wrap(self.open(store, value))
            self.assertRaises(HandlerRaised, wrapped.read, 600_000)
            self.assertRaises(ReadInterrupted, wrapped.read, 600_000)

    def test_a_hook_that_ends_the_process_takes_the_last_bytes_with_it(self) -> None:
        def leave(resolution: Resolution) -> None:
            raise SystemExit

        store, value = stored(DATA)
        blob = reader(store, on_resolve=leave).open(value).stream
        assert blob is not None
        self.assertRaises(SystemExit, blob.read)
        self.assertRaises(ReadInterrupted, blob.read)

    def test_memory_that_is_not_there_is_no_end(self) -> None:
        store, value = stored(DATA)
        store.faults = [Raised(BUFFERED, MemoryError())]
        blob = self.open(store, value)
        self.assertRaises(MemoryError, blob.read)
        self.assertRaises(ReadInterrupted, blob.read)

    def test_a_request_that_is_broken_off_is_told_too(self) -> None:
        store, value = stored(DATA)
        store.faults = [HandlerRaised()]
        self.assertRaises(HandlerRaised, self.open, store, value)
        self.assertEqual([one.result for one in self.told], ["read-interrupted"])

    def test_what_is_buffered_cannot_be_left_behind(self) -> None:
        self.assertRaises(io.UnsupportedOperation, self.open(*stored(DATA)).detach)

    def test_a_handler_that_reads_itself(self) -> None:
        store, value = stored(DATA)
        raised: list[BaseException] = []

        class Reading(RaisingBody):
            def read(self, size: int | None = -1, /) -> bytes:
                began = self.tell() > 0
                data = super().read(size)
                if began and not raised:
                    raised.append(HandlerRaised())
                    raised.append(test.assertRaises(LfsError, blob.read, 1))
                return data

        test = self
        with mock.patch("tests.client.doubles.RaisingBody", Reading):
            store.faults = [Raised(len(DATA) + 1, HandlerRaised())]
            blob = self.open(store, value)
            self.assertRaises(ReadInterrupted, blob.read)
            self.assertRaises(ReadInterrupted, blob.read)

    def test_one_thread_at_a_time(self) -> None:
        store, value = stored(DATA)
        reading, go_on = threading.Event(), threading.Event()

        class Slow(RaisingBody):
            def read(self, size: int | None = -1, /) -> bytes:
                reading.set()
                go_on.wait()
                return super().read(size)

        received: list[bytes] = []
        with mock.patch("tests.client.doubles.RaisingBody", Slow):
            store.faults = [Raised(len(DATA) + 1, HandlerRaised())]
            blob = self.open(store, value)
        thread = threading.Thread(target=lambda: received.append(blob.read()))
        thread.start()
        reading.wait()
        self.assertRaises(RuntimeError, blob.read, 1)
        go_on.set()
        thread.join()
        self.assertEqual(received, [DATA])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.integers(0, len(DATA)), max_size=4),
        st.lists(st.sampled_from(sorted(READS)), min_size=1, max_size=5),
        st.data(),
    )
    def test_a_clean_end_only_after_all_of_it(self, faults: list[int], names: list[str], draw: Any) -> None:
        at = sorted(faults)

        class Interrupted(RaisingBody):
            def read(self, size: int | None = -1, /) -> bytes:
                early = at and self.tell() >= at[0]
                if early and draw.draw(st.booleans(), "before the bytes"):
                    at.pop(0)
                    raise HandlerRaised
                data = super().read(size)
                if early:
                    at.pop(0)
                    raise HandlerRaised
                return data

        store, value = stored(DATA)
        with mock.patch("tests.client.doubles.RaisingBody", Interrupted):
            store.faults = [Raised(len(DATA) + 1, HandlerRaised())]
            try:
                blob = self.open(store, value)
            except HandlerRaised:
                return
        received, turn = b"", 0
        while True:
            turn += 1
            try:
                data = READS[names[turn % len(names)]](blob)
            except HandlerRaised:
                continue
            except ReadInterrupted:
                break
            if not data:
                self.assertEqual(len(received), len(DATA))
                break
            received += data
        self.assertTrue(DATA.startswith(received))


class EveryPointTests(SynchronousTestCase):
    """Raises wherever Python looks for signals: at a function's begin, after a call, at a loop's turn."""

    FILES = {module.__file__ for module in (download, fetch, file, policy, stream, verify, reader_module)}
    data = b"0123456789abcdef" * 64

    def checks(self, frame: FrameType, before: int | None) -> bool:
        if before is None:
            return False
        name = dis.opname[frame.f_code.co_code[before]]
        # From one Python function Python returns to another without a look.
        returned = frame.f_code.co_filename == file.__file__ and frame.f_code.co_name not in (
            "_whole",
            "_lines",
        )
        return name.startswith(("RESUME", "JUMP_BACKWARD")) or (name.startswith("CALL") and not returned)

    @contextmanager
    def raising_at(self, wanted: int) -> Iterator[list[int]]:
        """Raises at the point of this number; counts the points."""
        counted = [0]
        before: dict[FrameType, int] = {}

        def local(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "opcode":
                if self.checks(frame, before.get(frame)):
                    counted[0] += 1
                    if counted[0] == wanted:
                        raise HandlerRaised
                before[frame] = frame.f_lasti
            return local

        def calls(frame: FrameType, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename not in self.FILES:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return local

        found = sys.gettrace()
        sys.settrace(calls)
        try:
            yield counted
        finally:
            sys.settrace(found)

    def run_once(self, wanted: int, name: str) -> int:
        store, value = stored(self.data)
        received = b""
        blobs = reader(store, on_resolve=lambda resolution: None)
        with mock.patch.object(file, "BUFFER_BYTES", 300), self.raising_at(wanted) as counted:
            try:
                blob = blobs.open(value).stream
                assert blob is not None
                self.addCleanup(blob.close)
                while True:
                    try:
                        data = (
                            blob.read(400) if name == "read" else blob.read1(100) if name == "read1" else b""
                        )
                        data = data or (blob.readline(400) if name == "readline" else b"")
                    except HandlerRaised:
                        continue
                    except ReadInterrupted:
                        break
                    if not data:
                        self.assertEqual(len(received), len(self.data), f"{name} at {wanted}")
                        break
                    received += data
            except HandlerRaised:
                return counted[0]
        self.assertTrue(self.data.startswith(received), f"{name} at {wanted}")
        return counted[0]

    def test_no_point_is_taken_for_the_end(self) -> None:
        for name in ("read", "read1", "readline"):
            wanted = 1
            while self.run_once(wanted, name) >= wanted:
                wanted += 1
            self.assertGreater(wanted, 100)
