"""A Kafka client of raw frames that writes batches exactly as they are planned, in transactions or not.

Written without the code under test. The layouts are those of https://kafka.apache.org/protocol. Every method
blocks, and raises AssertionError for an answer that it does not want.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Collection
from typing import Any, Final

import attrs
from crc32c import crc32c

from tests.integration.frames import frame, head
from tests.integration.hydration.model import LOG_APPEND_TIME
from tests.integration.hydration.plans import Batch, Item
from tests.integration.raw import RawClient
from tests.wire.helpers import compressed, varint

CODECS: Final = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PRODUCE, LIST_OFFSETS, FIND_COORDINATOR, INIT_PRODUCER_ID, ADD_PARTITIONS, END_TXN = 0, 2, 10, 22, 24, 26
LOADING: Final = (14, 15, 16, 51)
"""Codes of a coordinator that is not ready, or has not ended the transaction before."""
TIMEOUT_MS: Final = 900_000
"""The longest that a broker lets a transaction be open, unless it is told otherwise."""
PATIENCE: Final = 30.0
LATEST: Final = -1


@attrs.define
class Producer:
    """A producer id. ``sequences`` has the next one of each partition."""

    transactional_id: str
    id: int
    epoch: int
    sequence: int = 0
    in_transaction: bool = False


def text(value: str | None) -> bytes:
    """A string of the older versions."""
    if value is None:
        return struct.pack(">h", -1)
    return struct.pack(">h", len(value.encode())) + value.encode()


def record(item: Item, value: bytes | None, index: int, base: int) -> bytes:
    """A record of format 2."""

    def sized(data: bytes | None) -> bytes:
        return varint(-1) if data is None else varint(len(data)) + data

    headers = [sized(name.encode()) + sized(data) for name, data in item.headers]
    parts = [b"\0", varint(item.timestamp - base), varint(index), sized(item.key), sized(value)]
    body = b"".join([*parts, varint(len(headers)), *headers])
    return varint(len(body)) + body


def batch_bytes(
    batch: Batch, values: list[bytes | None], producer: Producer | None, xerial: bool = False
) -> bytes:
    """The batch with ``values`` in place of its items' own."""
    base = batch.items[0].timestamp
    area = b"".join(
        record(item, value, index, base)
        for index, (item, value) in enumerate(zip(batch.items, values, strict=True))
    )
    attributes = CODECS[batch.codec] | (0x10 if batch.producer is not None else 0)
    last = len(values) - 1
    newest = max(item.timestamp for item in batch.items)
    place = (-1, -1, -1) if producer is None else (producer.id, producer.epoch, producer.sequence)
    signed = struct.pack(">hiqqqhii", attributes, last, base, newest, *place, last + 1)
    signed += compressed(CODECS[batch.codec], area, xerial=xerial)
    return struct.pack(">qiibI", 0, len(signed) + 9, -1, 2, crc32c(signed)) + signed


class Requests:
    """One connection to a broker that does everything for one client."""

    def __init__(self, bootstrap: str) -> None:
        self._client = RawClient(bootstrap)
        self._number = 0

    def close(self) -> None:
        """Hang up."""
        self._client.socket.close()

    def _ask(self, key: int, version: int, body: bytes) -> bytes:
        self._number += 1
        assert self._client.send(frame(head(key, version, self._number, b"writer") + body)), "hung up"
        answer = self._client.answer()
        assert answer is not None, "hung up"
        assert struct.unpack_from(">i", answer)[0] == self._number
        return answer[4:]

    def _until_ready(self, key: int, version: int, body: bytes, layout: str) -> tuple[Any, ...]:
        """Ask until the error, the second field of ``layout``, is none."""
        deadline = time.monotonic() + PATIENCE
        while True:
            fields = struct.unpack_from(layout, self._ask(key, version, body))
            if fields[1] == 0:
                return fields
            assert fields[1] in LOADING, f"API {key} is answered by error {fields[1]}"
            assert time.monotonic() < deadline, f"API {key} is still answered by error {fields[1]}"
            time.sleep(0.05)

    def producer(self, transactional_id: str | None) -> Producer:
        """A new producer id, for transactions where it has an id of its own."""
        if transactional_id is not None:
            self._until_ready(FIND_COORDINATOR, 1, text(transactional_id) + b"\x01", ">ih")
        body = text(transactional_id) + struct.pack(">i", TIMEOUT_MS)
        _, _, number, epoch = self._until_ready(INIT_PRODUCER_ID, 1, body, ">ihqh")
        return Producer(transactional_id or "", number, epoch)

    def begin(self, producer: Producer, topic: str, partition: int) -> None:
        """Take the partition into a new transaction."""
        place = struct.pack(">qhi", producer.id, producer.epoch, 1) + text(topic)
        body = text(producer.transactional_id) + place + struct.pack(">ii", 1, partition)
        skipped = 4 + len(text(topic)) + 4 + 4
        self._until_ready(ADD_PARTITIONS, 1, body, f">i{skipped}xh")
        producer.in_transaction = True

    def end(self, producer: Producer, commit: bool) -> None:
        """Commit or abort. The marker is in the log a moment later."""
        body = text(producer.transactional_id) + struct.pack(">qh?", producer.id, producer.epoch, commit)
        self._until_ready(END_TXN, 1, body, ">ih")
        producer.in_transaction = False

    def append(
        self, topic: str, partition: int, records: bytes, producer: Producer | None = None
    ) -> tuple[int, int]:
        """Write a batch; its base offset, and the time that the broker gave it, or -1."""
        name = producer.transactional_id if producer is not None and producer.transactional_id else None
        start = text(name) + struct.pack(">hii", -1, 30_000, 1) + text(topic)
        body = start + struct.pack(">iii", 1, partition, len(records)) + records
        answer = self._ask(PRODUCE, 7, body)
        skipped = 4 + len(text(topic)) + 4
        _, error, offset, time_given = struct.unpack_from(f">{skipped}xihqq", answer)
        assert error == 0, f"a batch was answered by error {error}"
        return offset, time_given

    def end_offset(self, topic: str, partition: int, *, committed: bool = False) -> int:
        """The high watermark, or the last stable offset."""
        body = struct.pack(">ibi", -1, committed, 1) + text(topic) + struct.pack(">iiq", 1, partition, LATEST)
        answer = self._ask(LIST_OFFSETS, 2, body)
        skipped = 4 + 4 + len(text(topic)) + 4
        _, error, _, offset = struct.unpack_from(f">{skipped}xihqq", answer)
        assert error == 0, f"ListOffsets is answered by error {error}"
        return int(offset)

    def wait_for_end(self, topic: str, partition: int, end: int) -> None:
        """Return when the partition has so many offsets."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.end_offset(topic, partition)) != end:
            assert time.monotonic() < deadline, f"{topic} ends at {found}, not {end}"
            time.sleep(0.02)


def timestamps_of(items: Collection[Item], given: int) -> list[tuple[int, int]]:
    """Timestamp and its type of each record, ``given`` being what the broker has answered."""
    if given >= 0:
        return [(given, LOG_APPEND_TIME)] * len(items)
    return [(item.timestamp, 0) for item in items]
