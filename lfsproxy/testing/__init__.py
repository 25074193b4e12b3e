"""In-memory doubles of the store, the publisher and the metrics, for tests of code that uses them.

MemoryStore (lfsproxy.testing.store) is a whole bucket. The doubles keep the
same contracts as the real ones: tests/store_contract.py and its like hold both to one suite.
Nothing here needs a reactor, and every call is done at once unless a fault says otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from lfsproxy.checksums import Buffer, Checksum
from lfsproxy.errors import BadRequest, LfsError, StoreRefused, StoreUnavailable, UnknownTopic
from lfsproxy.interfaces import (
    Header,
    IBlobStore,
    IBlobUpload,
    IEnvelopePublisher,
    IMetrics,
    IPartMemory,
    Published,
    StoredBlob,
)
from lfsproxy.settings import DEFAULTS


@attrs.frozen
class MemoryBlob:
    """A blob in a MemoryBlobStore. ``written`` is when, in seconds of the store's clock."""

    data: bytes
    content_type: str
    metadata: Mapping[str, str]
    written: float = attrs.field(default=0.0, eq=False)


class Faults:
    """Errors to come and calls held back, by the name of the call."""

    def __init__(self) -> None:
        self._errors: dict[str, deque[LfsError]] = {}
        self._held: dict[str, list[Deferred[None]]] = {}

    def fail_next(self, call: str, error: LfsError) -> None:
        """The next ``call`` fails with ``error``; several are used in their order."""
        self._errors.setdefault(call, deque()).append(error)

    def hold(self, call: str) -> None:
        """From now on, ``call`` does not get done until ``let_go``."""
        self._held.setdefault(call, [])

    def let_go(self, call: str) -> None:
        """Let the calls that were held, and those to come, get done."""
        for held in self._held.pop(call, []):
            if not held.called:
                held.callback(None)

    def let_go_one(self, call: str, place: int = 0) -> None:
        """Let one call get done of those that are held, by its place among them; -1 is the last one."""
        waiting = [held for held in self._held[call] if not held.called]
        waiting[place].callback(None)

    def held(self, call: str) -> int:
        """How many calls are held."""
        return sum(not held.called for held in self._held.get(call, []))

    def _raise_next(self, call: str) -> None:
        errors = self._errors.get(call)
        if errors:
            raise errors.popleft()

    def _wait(self, call: str) -> Deferred[None] | None:
        if call not in self._held:
            return None
        held: Deferred[None] = Deferred()
        self._held[call].append(held)
        return held

    async def _pass(self, call: str) -> None:
        held = self._wait(call)
        if held is not None:
            await held
        self._raise_next(call)


@attrs.frozen(eq=False)
class MemoryMultipart:
    """An upload of several parts that has not ended. ``abort`` takes it away from its uploader."""

    key: str
    begun: float
    abort: Callable[[], None]


@implementer(IBlobStore)
class MemoryBlobStore(Faults):
    """A store in a dictionary. Calls that can be failed or held: begin (failed only), write, seal, commit,
    read_back, delete, check.

    ``blobs`` are the visible ones; ``open_uploads`` counts uploads that were begun and neither committed nor
    aborted: a test that ends with one has leaked it. ``multipart`` are those of them that have outgrown one
    part, by id, as a bucket lists them. ``most_held`` is the most bytes that uploads held. ``now`` gives the
    store's time in seconds.
    """

    def __init__(
        self,
        bucket: str = DEFAULTS.s3_bucket,
        part_size: int = DEFAULTS.s3_part_size,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__()
        self.bucket = bucket
        self.part_size = part_size
        self.now = now
        self.blobs: dict[str, MemoryBlob] = {}
        self.multipart: dict[str, MemoryMultipart] = {}
        self.open_uploads = 0
        self.held_bytes = 0
        self.most_held = 0

    def first_part(self, length: int | None) -> int:
        return self.part_size if length is None else min(length, self.part_size)

    def begin(
        self,
        key: str,
        content_type: str,
        metadata: Mapping[str, str],
        checksum: Checksum,
        length: int | None,
        memory: IPartMemory,
    ) -> IBlobUpload:
        self._raise_next("begin")
        return _MemoryUpload(self, key, content_type, metadata, checksum)

    async def read_back(self, key: str, length: int, checksums: Sequence[Checksum]) -> None:
        await self._pass("read_back")
        blob = self.blobs.get(key)
        if blob is None or len(blob.data) != length:
            raise StoreUnavailable(f"{key} has not {length} bytes")
        for checksum in checksums:
            checksum.update(blob.data)

    async def delete(self, key: str) -> None:
        await self._pass("delete")
        self.blobs.pop(key, None)

    async def check(self) -> None:
        await self._pass("check")


@implementer(IBlobUpload)
class _MemoryUpload:
    def __init__(
        self,
        store: MemoryBlobStore,
        key: str,
        content_type: str,
        metadata: Mapping[str, str],
        checksum: Checksum,
    ) -> None:
        self._store = store
        self._key = key
        self._content_type = content_type
        self._metadata = metadata
        self._checksum = checksum
        self._data = bytearray()
        self._state = "gathering"
        self._error: LfsError | None = None
        self._id = f"memory-{id(self):x}"
        store.open_uploads += 1

    def write(self, data: Buffer) -> Deferred[None] | None:
        self._must_be("gathering")
        try:
            self._store._raise_next("write")
        except LfsError as error:
            self._error = error
            raise
        self._checksum.update(data)
        self._data += data
        self._store.held_bytes += len(data)
        if len(self._data) > self._store.part_size and self._id not in self._store.multipart:
            begun = MemoryMultipart(self._key, self._store.now(), self._taken_away)
            self._store.multipart[self._id] = begun
        self._store.most_held = max(self._store.most_held, self._store.held_bytes)
        return self._store._wait("write")

    async def seal(self) -> None:
        self._must_be("gathering")
        self._state = "sealed"
        try:
            await self._store._pass("seal")
        except LfsError as error:
            self._error = error
            raise
        self._must_be("sealed")

    async def commit(self, metadata: Mapping[str, str]) -> StoredBlob:
        self._must_be("sealed")
        await self._store._pass("commit")
        self._must_be("sealed")
        if self._key in self._store.blobs:
            raise StoreRefused(f"there is another object at {self._store.bucket}/{self._key}")
        small = len(self._data) <= self._store.part_size
        every = {**self._metadata, **(metadata if small else {})}
        self._store.blobs[self._key] = MemoryBlob(
            bytes(self._data), self._content_type, every, self._store.now()
        )
        length = len(self._data)
        self._end("committed")
        return StoredBlob(self._store.bucket, self._key, length)

    async def abort(self) -> None:
        if self._state not in ("committed", "aborted"):
            self._end("aborted")

    def _must_be(self, state: str) -> None:
        if self._error is not None:
            raise self._error
        if self._state == "aborted":
            raise CancelledError()
        if self._state != state:
            raise RuntimeError(f"not possible when {self._state}")

    def _taken_away(self) -> None:
        self._store.multipart.pop(self._id, None)
        self._error = StoreUnavailable(f"the upload to {self._key} has to be sent again: it was aborted")

    def _end(self, state: str) -> None:
        self._state = state
        self._store.multipart.pop(self._id, None)
        self._store.open_uploads -= 1
        self._store.held_bytes -= len(self._data)
        self._data = bytearray()


@attrs.frozen
class MemoryRecord:
    """A record that a MemoryPublisher was given."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    timestamp: int


@implementer(IEnvelopePublisher)
class MemoryPublisher(Faults):
    """A cluster in a list. Calls that can be failed or held: choose_partition, publish, log_end, find, check.

    ``topics`` maps a topic to its number of partitions. A record without a partition goes to partition 0,
    one with a key to the sum of the key's bytes modulo the partitions.
    """

    publish_seconds = 45.0

    def __init__(self, topics: Mapping[str, int] | None = None, now: Callable[[], int] = lambda: 0) -> None:
        super().__init__()
        self.topics = dict(topics or {"demo-topic": 1})
        self.records: list[MemoryRecord] = []
        self._now = now

    async def choose_partition(self, topic: str, key: bytes | None, partition: int | None) -> int:
        await self._pass("choose_partition")
        count = self.topics.get(topic)
        if count is None:
            raise UnknownTopic(f"the topic {topic} does not exist")
        if partition is None:
            return sum(key or b"") % count
        if not 0 <= partition < count:
            raise BadRequest(f"partition {partition} of {topic} does not exist, it has {count}")
        return partition

    async def next_offset(self, topic: str, partition: int) -> int:
        return sum((record.topic, record.partition) == (topic, partition) for record in self.records)

    async def publish(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[Header],
        timestamp: int | None,
    ) -> Published:
        await self._pass("publish")
        offset = await self.next_offset(topic, partition)
        when = self._now() if timestamp is None else timestamp
        self.records.append(MemoryRecord(topic, partition, offset, key, value, tuple(headers), when))
        return Published(topic, partition, offset, when)

    async def log_end(self, topic: str, partition: int) -> int:
        await self._pass("log_end")
        return await self.next_offset(topic, partition)

    async def find(self, topic: str, partition: int, value: bytes, first: int) -> Published | None:
        await self._pass("find")
        for record in self.records:
            place = (record.topic, record.partition) == (topic, partition) and record.offset >= first
            if place and record.value == value:
                return Published(topic, partition, record.offset, record.timestamp)
        return None

    async def check(self) -> None:
        await self._pass("check")


@implementer(IMetrics)
@attrs.define
class MemoryMetrics:
    """Records every call as (name, arguments), in order."""

    calls: list[tuple[str, tuple[object, ...]]] = attrs.Factory(list)

    def of(self, name: str) -> list[tuple[object, ...]]:
        """The arguments of each call of that name."""
        return [arguments for called, arguments in self.calls if called == name]

    def upload(self, path: str, topic: str, result: str, size: int, seconds: float) -> None:
        self.calls.append(("upload", (path, topic, result, size, seconds)))

    def download(self, topic: str, result: str, size: int, seconds: float) -> None:
        self.calls.append(("download", (topic, result, size, seconds)))

    def hydration(self, topic: str | None, result: str, size: int) -> None:
        self.calls.append(("hydration", (topic, result, size)))

    def hydration_time(self, seconds: float) -> None:
        self.calls.append(("hydration_time", (seconds,)))

    def publish(self, seconds: float) -> None:
        self.calls.append(("publish", (seconds,)))

    def s3_operation(self, operation: str, result: str, seconds: float) -> None:
        self.calls.append(("s3_operation", (operation, result, seconds)))

    def s3_retry(self, operation: str) -> None:
        self.calls.append(("s3_retry", (operation,)))

    def kafka_connection(self, change: int) -> None:
        self.calls.append(("kafka_connection", (change,)))

    def kafka_request(self, api: str, seconds: float | None) -> None:
        self.calls.append(("kafka_request", (api, seconds)))

    def kafka_closed(self, reason: str) -> None:
        self.calls.append(("kafka_closed", (reason,)))

    def refused(self, door: str, reason: str) -> None:
        self.calls.append(("refused", (door, reason)))

    def http_connection(self, change: int) -> None:
        self.calls.append(("http_connection", (change,)))

    def http_closed(self, reason: str) -> None:
        self.calls.append(("http_closed", (reason,)))

    def http_request(self, route: str, method: str, status: int) -> None:
        self.calls.append(("http_request", (route, method, status)))

    def checksum_mismatch(self, path: str) -> None:
        self.calls.append(("checksum_mismatch", (path,)))

    def orphan(self, reason: str) -> None:
        self.calls.append(("orphan", (reason,)))

    def memory(self, gauge: Callable[[], int], limit: int) -> None:
        self.calls.append(("memory", (gauge, limit)))
