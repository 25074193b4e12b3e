"""Produce requests: read as they arrive, and written anew around records that may be of any size.

The body of version 3 to 8, and of 9 to 12 (https://kafka.apache.org/protocol#The_Messages_Produce);
versions 0 to 2 have no transactional_id, version 13 names topics by id and is not spoken here::

    v3  transactional_id:nullable_string acks:int16 timeout_ms:int32
        [topic:string [partition:int32 size:int32 records]]
    v9  header_tags transactional_id:compact_nullable_string acks:int16 timeout_ms:int32
        [topic:compact_string [partition:int32 size+1:uvarint records tags] tags] tags

``ProduceReader`` never holds records: it hands them on as the slices they came in. Tagged fields that
are not known are kept as they came, on the events of what they belong to, so that they can be sent on.
The answers are in ``lfsproxy.wire.answers``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from struct import Struct
from typing import Final

import attrs

from lfsproxy.errors import FramingError, TooLarge
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.chunks import Chunks, Piece
from lfsproxy.wire.frames import MAX_FRAME
from lfsproxy.wire.primitives import INT32, Tag, put_count, put_string, put_tags, text

MAX_VERSION: Final = 12
"""From 13 on topics are named by id."""
FIRST_FLEXIBLE: Final = 9
MAX_PARTITIONS: Final = 16384
"""Of one request: each takes memory beside its records, and a broker has fewer."""
_ACKS_TIMEOUT = Struct(">hi")
_HEADER = Struct(">hhi")
_MAX_TAGS = 64 * 1024
"""Bytes of tagged fields of one request: they are kept, and no client sends any so far."""


@attrs.frozen
class ProduceInfo:
    """What stands before the topics. ``timeout_ms`` is in milliseconds; ``header_tags`` are header v2's."""

    transactional_id: str | None
    acks: int
    timeout_ms: int
    header_tags: Sequence[Tag] = ()


@attrs.frozen
class PartitionStart:
    """A partition's records begin. ``size`` is in bytes, -1 is null; ``offset`` is where in the body."""

    topic: str
    partition: int
    size: int
    offset: int


@attrs.define
class RecordsBytes:
    """Some of the partition's records, as they came."""

    data: Piece


@attrs.frozen
class PartitionEnd:
    """The partition's records are complete."""

    tags: Sequence[Tag] = ()


@attrs.frozen
class ProduceEnd:
    """The request is complete. ``topic_tags`` has the tagged fields of topics that had any."""

    tags: Sequence[Tag] = ()
    topic_tags: Sequence[tuple[str, Sequence[Tag]]] = ()


ProduceEvent = ProduceInfo | PartitionStart | RecordsBytes | PartitionEnd | ProduceEnd
_Steps = Generator[ProduceEvent | None, None, None]
_PARTITION_END = PartitionEnd()


class ProduceReader:
    """Reads the body of one Produce request. ``body_size``: bytes that follow RequestStart.head.

    ``feed`` bytes, then call ``next_event`` until it returns None (more bytes are needed, or all was read).
    """

    def __init__(self, api_version: int, body_size: int) -> None:
        if not 0 <= api_version <= MAX_VERSION:
            raise FramingError(
                f"a Produce request of version {api_version}, versions up to {MAX_VERSION} are known"
            )
        self._version = api_version
        self._flexible = api_version >= FIRST_FLEXIBLE
        self._size = body_size
        self._chunks = Chunks()
        self._position = 0
        self._tag_bytes = 0
        self._partitions = 0
        self._failure: str | None = None
        self._steps = self._read()

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not consumed yet."""
        return self._chunks.size

    def feed(self, data: Piece) -> None:
        """Take bytes of the body, kept by reference."""
        self._chunks.feed(data)

    def next_event(self) -> ProduceEvent | None:
        """The next event; None when more bytes are needed or after ProduceEnd.

        Raises FramingError, then for good, where a length or a count does not fit what is left of the body.
        """
        if self._failure is not None:
            raise FramingError(self._failure)
        try:
            return next(self._steps, None)
        except FramingError as error:
            self._failure = str(error)
            raise

    def _read(self) -> _Steps:
        header_tags = yield from self._tags()
        transactional_id = None
        if self._version >= 3:
            transactional_id = yield from self._string()
        acks, timeout_ms = _ACKS_TIMEOUT.unpack((yield from self._take(6)))
        yield ProduceInfo(transactional_id, acks, timeout_ms, header_tags)
        topic_tags = []
        for _ in range((yield from self._count(3 if self._flexible else 6))):
            topic = yield from self._string()
            if topic is None:
                raise FramingError("a Produce request with a null topic name")
            for _ in range((yield from self._count(6 if self._flexible else 8))):
                yield from self._partition(topic)
            tags = yield from self._tags()
            if tags:
                topic_tags.append((topic, tags))
        tags = yield from self._tags()
        if self._position != self._size:
            raise FramingError(f"{self._size - self._position} bytes after the end of a Produce request")
        yield ProduceEnd(tags, topic_tags)

    def _partition(self, topic: str) -> _Steps:
        self._partitions += 1
        if self._partitions > MAX_PARTITIONS:
            raise FramingError(f"a Produce request for more than {MAX_PARTITIONS} partitions")
        partition: int = INT32.unpack((yield from self._take(4)))[0]
        size = yield from self._length()
        yield PartitionStart(topic, partition, size, self._position)
        end = self._position + size
        while self._position < end:
            data = self._chunks.take_some(end - self._position)
            if data:
                self._position += len(data)
                yield RecordsBytes(data)
            else:
                yield None
        tags = yield from self._tags()
        yield PartitionEnd(tags) if tags else _PARTITION_END

    def _take(self, count: int) -> Generator[None, None, bytes]:
        """Wait for ``count`` bytes of the body and consume them."""
        if count > self._size - self._position:
            raise FramingError(
                f"a field of {count} bytes where {self._size - self._position} are left of a Produce request"
            )
        while (data := self._chunks.take(count)) is None:
            yield
        self._position += count
        return data

    def _uvarint(self) -> Generator[None, None, int]:
        value = 0
        for shift in range(0, 35, 7):
            byte = (yield from self._take(1))[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise FramingError("an unsigned varint of more than five bytes in a Produce request")

    def _length(self) -> Generator[None, None, int]:
        """The length of records; -1 is null."""
        if self._flexible:
            length = (yield from self._uvarint()) - 1
        else:
            length = INT32.unpack((yield from self._take(4)))[0]
        if length < -1 or length > self._size - self._position:
            raise FramingError(
                f"records of {length} bytes where {self._size - self._position} are left of a Produce request"
            )
        return length

    def _count(self, item_size: int) -> Generator[None, None, int]:
        """An array's length, at least ``item_size`` bytes for each."""
        if self._flexible:
            count = (yield from self._uvarint()) - 1
        else:
            count = INT32.unpack((yield from self._take(4)))[0]
        if count < 0 or count * item_size > self._size - self._position:
            raise FramingError(
                f"{count} items where {self._size - self._position} bytes are left of a Produce request"
            )
        return count

    def _string(self) -> Generator[None, None, str | None]:
        if self._flexible:
            length = (yield from self._uvarint()) - 1
        else:
            length = int.from_bytes((yield from self._take(2)), "big", signed=True)
        if length == -1:
            return None
        if not 0 <= length < 2**15:
            raise FramingError(f"a string of {length} bytes in a Produce request")
        return text((yield from self._take(length)))

    def _tags(self) -> Generator[None, None, Sequence[Tag]]:
        if not self._flexible:
            return ()
        count = yield from self._uvarint()
        if not count:
            return ()
        tags = []
        for _ in range(count):
            number = yield from self._uvarint()
            length = yield from self._uvarint()
            self._tag_bytes += length + 2
            if self._tag_bytes > _MAX_TAGS:
                raise FramingError(f"more than {_MAX_TAGS} bytes of tagged fields in a Produce request")
            tags.append((number, (yield from self._take(length))))
        return tags


@attrs.frozen
class PartitionRecords:
    """A partition's records to be sent, in pieces that are never joined. ``pieces`` None is null."""

    partition: int
    pieces: Sequence[Piece] | None
    tags: Sequence[Tag] = ()


@attrs.frozen
class TopicRecords:
    """A topic's partitions to be sent."""

    topic: str
    partitions: Sequence[PartitionRecords]
    tags: Sequence[Tag] = ()


@attrs.frozen
class ProduceRequest:
    """A Produce request to be sent. ``client_id`` as bytes survives where it is not UTF-8."""

    api_version: int
    correlation_id: int
    client_id: str | bytes | None
    transactional_id: str | None
    acks: int
    timeout_ms: int
    topics: Sequence[TopicRecords]
    header_tags: Sequence[Tag] = ()
    tags: Sequence[Tag] = ()


def encode_produce(request: ProduceRequest) -> list[Piece]:
    """The whole frame, its length field included, in pieces: the records' own are passed on as they are.

    Raises TooLarge for a frame of 2 GiB or more.
    """
    flexible = request.api_version >= FIRST_FLEXIBLE
    pieces: list[Piece] = []
    out = bytearray(_HEADER.pack(KafkaApi.PRODUCE, request.api_version, request.correlation_id))
    put_string(out, request.client_id, flexible=False)
    put_tags(out, request.header_tags, flexible)
    if request.api_version >= 3:
        put_string(out, request.transactional_id, flexible)
    out += _ACKS_TIMEOUT.pack(request.acks, request.timeout_ms)
    put_count(out, len(request.topics), flexible)
    for topic in request.topics:
        put_string(out, topic.topic, flexible)
        put_count(out, len(topic.partitions), flexible)
        for partition in topic.partitions:
            out += INT32.pack(partition.partition)
            records = partition.pieces
            put_count(out, -1 if records is None else sum(map(len, records)), flexible)
            if records:
                pieces.append(bytes(out))
                pieces += records
                out.clear()
            put_tags(out, partition.tags, flexible)
        put_tags(out, topic.tags, flexible)
    put_tags(out, request.tags, flexible)
    if out:
        pieces.append(bytes(out))
    size = sum(map(len, pieces))
    if size > MAX_FRAME:
        raise TooLarge(f"a Produce request of {size} bytes is larger than a Kafka frame can be")
    pieces[0] = INT32.pack(size) + pieces[0]
    return pieces
