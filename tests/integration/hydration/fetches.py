"""A Kafka client of raw Fetch frames, of every version from 4 to 15.

The layouts are those of https://kafka.apache.org/protocol#The_Messages_Fetch. Records are read by
kafka-python's own reader. Written without the code under test. Everything blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import confluent_kafka.admin
from confluent_kafka import TopicCollection
from kafka.record.memory_records import MemoryRecords

from tests.integration.frames import frame, head
from tests.integration.hydration.model import Part, Seen, digest_of
from tests.integration.hydration.readers.programs import DEFAULT, Limits
from tests.integration.raw import RawClient

FETCH: Final = 1
OLDEST, NEWEST = 4, 15
FLEXIBLE: Final = 12
BY_ID: Final = 13
NO_SESSION = (0, -1)


@attrs.frozen
class Fetched:
    """What an answer has of a partition. ``aborted`` are producer ids and first offsets."""

    part: Part
    error: int
    high_watermark: int
    last_stable: int
    aborted: Sequence[tuple[int, int]]
    records: bytes

    def batches(self) -> Iterator[Any]:
        """Its complete batches, as kafka-python reads them; a wrong CRC-32C is an AssertionError."""
        records = MemoryRecords(self.records)
        while (batch := records.next_batch()) is not None:
            assert batch.validate_crc(), f"the CRC of {self.part} at {batch.base_offset} is wrong"
            yield batch


@attrs.frozen
class Answer:
    """A whole answer. ``session`` is its session id."""

    error: int
    session: int
    parts: Sequence[Fetched]


class Reading:
    """Takes the fields of an answer one after the other."""

    def __init__(self, data: bytes, flexible: bool) -> None:
        self._data = data
        self._at = 0
        self._flexible = flexible

    def take(self, layout: str) -> Any:
        """The one field of that ``struct`` layout."""
        (found,) = struct.unpack_from(f">{layout}", self._data, self._at)
        self._at += struct.calcsize(f">{layout}")
        return found

    def raw(self, size: int) -> bytes:
        """So many bytes."""
        assert len(self._data) - self._at >= size, "the answer is cut"
        self._at += size
        return self._data[self._at - size : self._at]

    def varint(self) -> int:
        """An unsigned varint."""
        value = shift = 0
        while True:
            byte = int(self.take("B"))
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def count(self) -> int:
        """How many an array has, -1 where it is null."""
        return self.varint() - 1 if self._flexible else int(self.take("i"))

    def text(self) -> str:
        """A string."""
        return self.raw(self.varint() - 1 if self._flexible else self.take("h")).decode()

    def data(self) -> bytes:
        """Records: bytes or null."""
        return self.raw(max(self.count(), 0))

    def tags(self) -> None:
        """Skip the tagged fields."""
        if self._flexible:
            for _ in range(self.varint()):
                self.varint()
                self.raw(self.varint())

    @property
    def at_end(self) -> bool:
        """Whether all was read."""
        return self._at == len(self._data)


def topic_ids(bootstrap: str, names: Sequence[str]) -> dict[str, bytes]:
    """The ids of topics, by name."""
    # Its stubs do not export what its documentation imports.
    api: Any = confluent_kafka.admin
    admin = api.AdminClient({"bootstrap.servers": bootstrap, "broker.address.family": "v4"})
    asked = admin.describe_topics(TopicCollection(list(names)))
    found = {name: future.result(30).topic_id for name, future in asked.items()}
    return {
        name: struct.pack(">qq", each.get_most_significant_bits(), each.get_least_significant_bits())
        for name, each in found.items()
    }


class Fetcher:
    """One connection. ``ids`` has the topics' ids by name."""

    def __init__(self, bootstrap: str, ids: Mapping[str, bytes], receive_buffer: int | None = None) -> None:
        self.client = RawClient(bootstrap, receive_buffer)
        self._ids = ids
        self._names = {each: name for name, each in ids.items()}
        self._number = 0

    def close(self) -> None:
        """Hang up."""
        self.client.socket.close()

    def fetch(self, version: int, positions: Mapping[Part, int], **options: Any) -> Answer:
        """Ask and read the answer; ``options`` are those of ``send``. AssertionError where it hangs up."""
        self.send(version, positions, **options)
        return self.receive(version)

    def send(
        self,
        version: int,
        positions: Mapping[Part, int],
        *,
        limits: Limits = DEFAULT,
        committed: bool = False,
        max_wait: int = 500,
        session: tuple[int, int] = NO_SESSION,
    ) -> None:
        """Ask for the partitions from their offsets on, in the order of ``positions``."""
        self._number += 1
        flexible = version >= FLEXIBLE

        def count(size: int) -> bytes:
            return _varint(size + 1) if flexible else struct.pack(">i", size)

        tags = b"\0" if flexible else b""
        start = head(FETCH, version, self._number, b"fetcher") + tags
        body = struct.pack(">i", -1) if version < 15 else b""
        body += struct.pack(">iiib", max_wait, 1, limits.max_bytes, committed)
        body += struct.pack(">ii", *session) if version >= 7 else b""
        topics: dict[str, list[tuple[int, int]]] = {}
        for (topic, partition), offset in positions.items():
            topics.setdefault(topic, []).append((partition, offset))
        body += count(len(topics))
        for topic, parts in topics.items():
            body += self._topic(topic, version) + count(len(parts))
            for partition, offset in parts:
                body += struct.pack(">i", partition) + (struct.pack(">i", -1) if version >= 9 else b"")
                body += struct.pack(">q", offset) + (struct.pack(">i", -1) if flexible else b"")
                body += struct.pack(">q", -1) if version >= 5 else b""
                body += struct.pack(">i", limits.partition_max_bytes) + tags
            body += tags
        body += count(0) if version >= 7 else b""
        body += (_varint(1) if flexible else struct.pack(">h", 0)) if version >= 11 else b""
        assert self.client.send(frame(start + body + tags)), "hung up"

    def _topic(self, topic: str, version: int) -> bytes:
        if version >= BY_ID:
            return self._ids[topic]
        name = topic.encode()
        return (_varint(len(name) + 1) if version >= FLEXIBLE else struct.pack(">h", len(name))) + name

    def receive(self, version: int) -> Answer:
        """The answer to the oldest question that has none."""
        data = self.client.answer()
        assert data is not None, "hung up"
        answer = Reading(data, version >= FLEXIBLE)
        assert answer.take("i") <= self._number
        answer.tags()
        answer.take("i")
        error, session = (answer.take("h"), answer.take("i")) if version >= 7 else (0, 0)
        parts = []
        for _ in range(answer.count()):
            topic = self._names[answer.raw(16)] if version >= BY_ID else answer.text()
            parts += [self._partition(answer, topic, version) for _ in range(answer.count())]
            answer.tags()
        answer.tags()
        assert answer.at_end, "the answer has more than its fields"
        return Answer(error, session, parts)

    def _partition(self, answer: Reading, topic: str, version: int) -> Fetched:
        partition, error, high, stable = (answer.take(each) for each in "ihqq")
        if version >= 5:
            answer.take("q")
        aborted = []
        for _ in range(answer.count()):
            aborted.append((answer.take("q"), answer.take("q")))
            answer.tags()
        if version >= 11:
            answer.take("i")
        records = answer.data()
        answer.tags()
        return Fetched((topic, partition), error, high, stable, aborted, records)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def seen_of(part: Part, record: Any) -> Seen:
    """A record of kafka-python's."""
    length, digest = digest_of(record.value)
    headers = tuple((name, value) for name, value in record.headers)
    place = *part, record.offset, record.key, record.timestamp, record.timestamp_type
    return Seen(*place, headers, length, digest)
