"""Answers to ShareFetch and ShareAcknowledge, written by Kafka's message definitions, apart from the code
under test (ShareFetchResponse.json and ShareAcknowledgeResponse.json, in the kafka-clients jar).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import attrs

from lfsproxy.wire.apis import KafkaApi

Tags = Sequence[tuple[int, bytes]]


def uvarint(value: int) -> bytes:
    """An unsigned varint."""
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def sized(data: bytes | None) -> bytes:
    """Bytes or a text, which may be null, with a compact length."""
    return b"\0" if data is None else uvarint(len(data) + 1) + data


def array(items: Sequence[bytes]) -> bytes:
    return uvarint(len(items) + 1) + b"".join(items)


def tagged(tags: Tags) -> bytes:
    return uvarint(len(tags)) + b"".join(uvarint(number) + uvarint(len(data)) + data for number, data in tags)


@attrs.frozen
class Partition:
    """A partition of an answer; ``acquired`` are first and last offsets and delivery counts."""

    index: int = 0
    error: int = 0
    message: bytes | None = None
    leader: tuple[int, int] = (-1, -1)
    records: bytes | None = b""
    acquired: Sequence[tuple[int, int, int]] = ()
    tags: Tags = ()

    def encoded(self, api_key: int) -> bytes:
        out = struct.pack(">ih", self.index, self.error) + sized(self.message)
        if api_key == KafkaApi.SHARE_FETCH:
            out += struct.pack(">h", 0) + sized(None)
        out += struct.pack(">ii", *self.leader) + tagged(self.tags)
        if api_key == KafkaApi.SHARE_FETCH:
            out += sized(self.records)
            out += array([struct.pack(">qqh", *each) + tagged(self.tags) for each in self.acquired])
        return out + tagged(self.tags)


@attrs.frozen
class Endpoint:
    node: int
    host: bytes
    port: int
    rack: bytes | None = None
    tags: Tags = ()

    def encoded(self) -> bytes:
        place = struct.pack(">i", self.node) + sized(self.host) + struct.pack(">i", self.port)
        return place + sized(self.rack) + tagged(self.tags)


@attrs.frozen
class Answer:
    """An answer; ``topics`` has the partitions of each."""

    topics: Sequence[Sequence[Partition]] = ()
    endpoints: Sequence[Endpoint] = ()
    tags: Tags = ()
    message: bytes | None = None
    header_tags: Tags = ()

    def start(self, api_key: int, version: int) -> bytes:
        """From behind the correlation id up to the endpoints."""
        out = tagged(self.header_tags) + struct.pack(">ih", 7, 0) + sized(self.message)
        if api_key == KafkaApi.SHARE_FETCH or version >= 2:
            out += struct.pack(">i", 30_000)
        return out + array(
            [
                bytes(range(16)) + array([each.encoded(api_key) for each in topic]) + tagged(self.tags)
                for topic in self.topics
            ]
        )

    def end(self) -> bytes:
        """The endpoints and what follows them."""
        return array([each.encoded() for each in self.endpoints]) + tagged(self.tags)


def around_records(version: int, size: int) -> tuple[bytes, bytes]:
    """What stands before and behind so many bytes of records in an answer to ShareFetch, but for its end."""
    mark = b"the records"
    start = Answer([[Partition(records=mark, acquired=[(0, 9, 1)])]]).start(KafkaApi.SHARE_FETCH, version)
    before, after = start.split(sized(mark))
    return before + uvarint(size + 1), after
