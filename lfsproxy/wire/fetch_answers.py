"""Answers to Fetch requests: read where they are held whole, and laid out anew around records of any size.

The body of version 4 to 15, behind the correlation id (common/message/FetchResponse.json of kafka-clients)::

    v4   throttle_time_ms:int32
         [topic:string [partition:int32 error_code:int16 high_watermark:int64 last_stable_offset:int64
          aborted [producer_id:int64 first_offset:int64], size:int32 records]]
    v5   after last_stable_offset: log_start_offset:int64
    v7   after throttle_time_ms: error_code:int16 session_id:int32
    v11  after the aborted transactions: preferred_read_replica:int32
    v12  header_tags first; compact strings, arrays and sizes; tags after each aborted transaction, partition
         (0 diverging_epoch, 1 current_leader, 2 snapshot_id), topic, and at the end
    v13  topic_id:uuid in place of each topic's name

``aborted`` may be null, and so may the records. Tagged fields are kept as they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

import attrs

from lfsproxy.errors import FramingError, TooLarge
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.fetch import FIRST_FLEXIBLE, TopicRef, check_version, put_topic, topic_ref
from lfsproxy.wire.frames import MAX_FRAME
from lfsproxy.wire.primitives import INT16, INT32, INT64, Reader, Tag, put_count, put_tags

_FRAME = Struct(">ii")
_STATE = Struct(">ihqq")
_LEAST_PARTITION: Final = _STATE.size + 2
"""Bytes that a partition takes at least, in any version."""
_LEAST_TOPIC: Final = 3
_ABORTED: Final = 16


@attrs.frozen
class FetchedPartition:
    """What a broker gives of a partition.

    ``aborted`` are the aborted transactions as they came: an array with its count, in the answer's version;
    None is null. ``records`` are a slice of what was read; None is null. ``planned``: in their place so many
    bytes are to be written, see ``FetchAnswer.layout``.
    """

    partition: int
    error_code: int
    high_watermark: int
    last_stable_offset: int
    records: Piece | None
    log_start_offset: int = -1
    aborted: Piece | None = None
    preferred_read_replica: int = -1
    tags: Sequence[Tag] = ()
    planned: int | None = None


@attrs.frozen
class FetchedTopic:
    """What a broker gives of a topic."""

    topic: TopicRef
    partitions: Sequence[FetchedPartition]
    tags: Sequence[Tag] = ()


@attrs.frozen
class FetchAnswer:
    """The answer to a Fetch request. ``throttle_ms`` is in milliseconds; a session id of 0 is no session."""

    throttle_ms: int = 0
    error_code: int = 0
    session_id: int = 0
    topics: Sequence[FetchedTopic] = ()
    tags: Sequence[Tag] = ()
    header_tags: Sequence[Tag] = ()

    def layout(self, version: int, correlation_id: int) -> list[Piece | FetchedPartition]:
        """The whole frame, its length field included, in pieces that are never joined.

        Where a partition stands in the list its ``planned`` bytes come; other records are the slices that
        they were. Raises TooLarge for a frame of 2 GiB or more.
        """
        pieces: list[Piece | FetchedPartition] = []
        flexible = version >= FIRST_FLEXIBLE
        out = bytearray()
        size = 0
        put_tags(out, self.header_tags, flexible)
        out += INT32.pack(self.throttle_ms)
        if version >= 7:
            out += INT16.pack(self.error_code) + INT32.pack(self.session_id)
        put_count(out, len(self.topics), flexible)
        for topic in self.topics:
            put_topic(out, topic.topic, version)
            put_count(out, len(topic.partitions), flexible)
            for partition in topic.partitions:
                _put_state(out, partition, version)
                length = _records_size(partition)
                put_count(out, length, flexible)
                if length > 0:
                    size += len(out) + length
                    pieces.append(bytes(out))
                    out.clear()
                    pieces.append(partition.records or b"" if partition.planned is None else partition)
                put_tags(out, partition.tags, flexible)
            put_tags(out, topic.tags, flexible)
        put_tags(out, self.tags, flexible)
        size += len(out) + 4
        if size > MAX_FRAME:
            raise TooLarge(f"a Fetch answer of {size} bytes, a frame has {MAX_FRAME} at most")
        return [_FRAME.pack(size, correlation_id), *pieces, bytes(out)]


def read_fetch_answer(version: int, body: Piece) -> FetchAnswer:
    """The answer in ``body``, behind the correlation id; its records are slices. Raises FramingError."""
    check_version(version)
    reader = Reader(body, flexible=version >= FIRST_FLEXIBLE)
    header_tags = reader.tags()
    throttle_ms = reader.int32()
    error_code, session_id = (reader.int16(), reader.int32()) if version >= 7 else (0, 0)
    topics = [_topic(reader, version) for _ in range(reader.count(_LEAST_TOPIC))]
    tags = reader.tags()
    reader.end()
    return FetchAnswer(throttle_ms, error_code, session_id, topics, tags, header_tags)


def _topic(reader: Reader, version: int) -> FetchedTopic:
    topic = topic_ref(reader, version)
    partitions = [_partition(reader, version) for _ in range(reader.count(_LEAST_PARTITION))]
    return FetchedTopic(topic, partitions, reader.tags())


def _partition(reader: Reader, version: int) -> FetchedPartition:
    number, error_code, high_watermark, last_stable = _STATE.unpack(reader.raw(_STATE.size))
    log_start = reader.int64() if version >= 5 else -1
    aborted = _aborted(reader, version >= FIRST_FLEXIBLE)
    replica = reader.int32() if version >= 11 else -1
    length = reader.uvarint() - 1 if version >= FIRST_FLEXIBLE else reader.int32()
    if length < -1:
        raise FramingError(f"records of {length} bytes in a Fetch answer")
    records = None if length < 0 else reader.raw(length)
    return FetchedPartition(
        number,
        error_code,
        high_watermark,
        last_stable,
        records,
        log_start,
        aborted,
        replica,
        reader.tags(),
    )


def _aborted(reader: Reader, flexible: bool) -> Piece | None:
    start = reader.position
    if flexible:
        for _ in range(reader.count(_ABORTED + 1)):
            reader.raw(_ABORTED)
            reader.tags()
    else:
        reader.raw(_ABORTED * reader.count(_ABORTED))
    found = reader.since(start)
    return None if bytes(found[:4]) == (b"\0" if flexible else b"\xff\xff\xff\xff") else found


def _put_state(out: bytearray, partition: FetchedPartition, version: int) -> None:
    out += _STATE.pack(
        partition.partition, partition.error_code, partition.high_watermark, partition.last_stable_offset
    )
    if version >= 5:
        out += INT64.pack(partition.log_start_offset)
    if partition.aborted is None:
        put_count(out, -1, version >= FIRST_FLEXIBLE)
    else:
        out += partition.aborted
    if version >= 11:
        out += INT32.pack(partition.preferred_read_replica)


def _records_size(partition: FetchedPartition) -> int:
    """-1 is null."""
    if partition.planned is not None:
        return partition.planned
    return -1 if partition.records is None else len(partition.records)
