"""What a streamed request costs, as Python's allocator sees it: the same, whatever is in it."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import gc
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from twisted.internet.defer import Deferred
from zope.interface import implementer

from lfsproxy.checksums import Buffer, Checksum
from lfsproxy.interfaces import IBlobStore, IBlobUpload, IPartMemory, StoredBlob
from lfsproxy.testing import MemoryBlobStore
from tests.relay.records import batch, lfs, produce, record
from tests.relay.rig import KIB, MEMORY, PART, PASSTHROUGH, RelayTestCase
from tests.wire.helpers import Record

SEGMENT = 64 * KIB
SLACK = 1024 * KIB
"""For what is read ahead, copied while it moves, and the interpreter's own."""


@implementer(IBlobStore)
class PartStore(MemoryBlobStore):
    """A store that holds a part of each upload, and no blob."""

    def begin(
        self,
        key: str,
        content_type: str,
        metadata: Mapping[str, str],
        checksum: Checksum,
        length: int | None,
        memory: IPartMemory,
    ) -> IBlobUpload:
        return _PartUpload(self, key)


@implementer(IBlobUpload)
class _PartUpload:
    def __init__(self, store: PartStore, key: str) -> None:
        self._store = store
        self._key = key
        self._parts: deque[Buffer] = deque()
        self._size = self._length = 0
        store.open_uploads += 1

    def write(self, data: Buffer) -> Deferred[None] | None:
        self._parts.append(data)
        self._size += len(data)
        self._length += len(data)
        if self._size >= self._store.part_size:
            self._parts.clear()
            self._size = 0
        return None

    async def seal(self) -> None:
        await self._store._pass("seal")

    async def commit(self, metadata: Mapping[str, str]) -> StoredBlob:
        self._parts.clear()
        self._store.open_uploads -= 1
        return StoredBlob(self._store.bucket, self._key, self._length)

    async def abort(self) -> None:
        if self._parts is not None:
            self._parts.clear()
            self._store.open_uploads -= 1


class PeakTests(RelayTestCase):
    store_type = PartStore
    keeps_log = False

    @contextmanager
    def traced(self) -> Iterator[Callable[[], int]]:
        """Yields what tells, afterwards, the most bytes in use at once beyond those before."""
        peak = 0
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            yield lambda: peak - before
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    def send(self, frame: bytes, each: int = SEGMENT) -> None:
        """Send a request over a connection of its own, ``each`` bytes at a time."""
        client = self.client()
        for start in range(0, len(frame), each):
            client.wire.arrive(frame[start : start + each])
            self.net.flow()

    def assert_bounded(self, data: bytes, code: int, each: int = SEGMENT) -> None:
        """Within part and passthrough size."""
        frame = produce(1, data)
        with self.traced() as peak:
            self.send(frame, each)
        self.assertLess(peak(), PART + PASSTHROUGH + SLACK)
        self.assertEqual(self.budget.used, 0)
        self.assertEqual(self.clients[-1].code(1), code)

    def test_one_huge_value(self) -> None:
        self.assert_bounded(batch(lfs(bytes(8192 * KIB))), 0)

    def test_one_huge_value_that_is_not_to_be_offloaded(self) -> None:
        self.assert_bounded(batch(record(bytes(8192 * KIB))), 10)

    def test_many_values_of_up_to_a_part(self) -> None:
        self.assert_bounded(batch(*[lfs(bytes(200 * KIB))] * 100), 0)

    def test_many_small_values(self) -> None:
        self.assert_bounded(batch(*[lfs(bytes(4000))] * 500), 0)

    def test_more_envelopes_than_may_be_passed_on(self) -> None:
        self.assert_bounded(batch(lfs(bytes(PASSTHROUGH)), *[lfs(bytes(50))] * 5000), 10)

    def test_small_records_behind_some_that_are_not_stored_yet(self) -> None:
        self.store.hold("seal")
        small: list[Record] = [record(bytes(10), key=None)] * 5000
        frame = produce(1, batch(*[lfs(bytes(120 * KIB))] * 2, *small, *[lfs(bytes(200 * KIB))] * 2))
        with self.traced() as peak:
            self.send(frame)
        self.assertEqual(self.store.held("seal"), 2)
        self.assertLess(peak(), PART + PASSTHROUGH + SLACK)
        self.let_go("seal")
        self.assertEqual(self.clients[-1].code(1), 0)

    def test_a_value_in_tiny_pieces(self) -> None:
        self.assert_bounded(batch(lfs(bytes(600 * KIB))), 0, each=40)

    def test_a_large_key_and_large_headers(self) -> None:
        headers = [(b"h", bytes(10 * KIB)), (b"i" * 5 * KIB, b"")]
        self.assert_bounded(batch(lfs(bytes(600 * KIB), *headers, key=bytes(15 * KIB))), 0)

    def test_headers_that_are_too_large(self) -> None:
        self.assert_bounded(batch(lfs(bytes(600 * KIB), (b"h", bytes(PASSTHROUGH - KIB)))), 10)

    def test_a_key_that_is_too_large(self) -> None:
        self.assert_bounded(batch(record(b"", key=bytes(900 * KIB))), 10)

    def test_several_connections_stay_within_the_budget(self) -> None:
        frame = produce(1, batch(lfs(bytes(4096 * KIB))))
        clients = [self.client() for _ in range(8)]
        with self.traced() as peak:
            for start in range(0, len(frame), SEGMENT):
                for client in clients:
                    client.wire.arrive(frame[start : start + SEGMENT])
                self.net.flow()
        unread = 4 * 4096 * KIB  # Of those that wait for memory the wire holds what a socket would refuse.
        self.assertLess(peak() - unread, MEMORY + 8 * 512 * KIB)
        self.assertLessEqual(self.budget.peak, MEMORY)
        self.assertEqual([client.code(1) for client in clients], [0] * 8)


class ManyRecordsTests(RelayTestCase):
    """Each record to be offloaded needs more than its few bytes, so that a request cannot have any number."""

    def test_more_than_there_is_memory_for_are_too_large(self) -> None:
        client = self.client()
        many = batch(*[lfs(b"", mark=b"none")] * 400)
        client.send(produce(1, *[many] * 4))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [87, 87, 10, 10])
        self.assertIn("LFS_MAX_PASSTHROUGH_SIZE", client.verdicts(1)[3].error_message or "")
        client.send(produce(2, batch(lfs(b"one"))))
        self.assertEqual(client.code(2), 0)

    def test_as_many_as_there_is_memory_for_are_offloaded(self) -> None:
        client = self.client()
        client.send(produce(1, *[batch(*[lfs(b"x")] * 300) for _ in range(3)]))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 0, 0])
        self.assertEqual(len(self.blobs), 900)
