"""Fetch requests, read from a body that is held whole and written anew.

The body of version 4 to 15 (common/message/FetchRequest.json of kafka-clients; from version 16 on an answer
names brokers behind its records, so that it is not spoken here)::

    v4   replica_id:int32 max_wait_ms:int32 min_bytes:int32 max_bytes:int32 isolation_level:int8
         [topic:string [partition:int32 fetch_offset:int64 max_bytes:int32]]
    v5   before a partition's max_bytes: log_start_offset:int64
    v7   after isolation_level: session_id:int32 session_epoch:int32
         after the topics: forgotten [topic:string [partition:int32]]
    v9   before fetch_offset: current_leader_epoch:int32
    v11  at the end: rack_id:string
    v12  header_tags first; compact strings and arrays; before log_start_offset: last_fetched_epoch:int32;
         tags after each partition, topic, forgotten topic, and at the end (0 is cluster_id)
    v13  topic_id:uuid in place of each topic's name
    v15  no replica_id: it is in tag 1

Tagged fields are kept as they came, so that they can be sent on. The answers are in
``lfsproxy.wire.fetch_answers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

import attrs

from lfsproxy.errors import FramingError
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.primitives import INT32, INT64, Reader, Tag, put_count, put_string, put_tags

MIN_VERSION: Final = 4
"""Older ones cannot carry batches of format 2."""
MAX_VERSION: Final = 15
FIRST_WITH_SESSIONS: Final = 7
FIRST_FLEXIBLE: Final = 12
FIRST_WITH_IDS: Final = 13
"""From here on a topic is named by the 16 bytes of its id."""
NO_SESSION: Final = 0, -1
"""Session id and epoch of a request that is complete by itself and makes no session."""

TopicRef = str | bytes
"""How a topic is named: by its name up to version 12, by its id of 16 bytes from 13 on."""

_LIMITS = Struct(">iiib")
_SESSION = Struct(">ii")
_LEAST_PARTITION = 16
"""Bytes that a partition takes at least, in any version."""
_LEAST_TOPIC = 3


@attrs.frozen
class FetchPartition:
    """What is wanted of a partition. ``max_bytes`` is in bytes; -1 is what an older version does not have."""

    partition: int
    fetch_offset: int
    max_bytes: int
    current_leader_epoch: int = -1
    last_fetched_epoch: int = -1
    log_start_offset: int = -1
    tags: Sequence[Tag] = ()


@attrs.frozen
class FetchTopic:
    """What is wanted of a topic."""

    topic: TopicRef
    partitions: Sequence[FetchPartition]
    tags: Sequence[Tag] = ()


@attrs.frozen
class ForgottenTopic:
    """Partitions that a session is to leave out from now on."""

    topic: TopicRef
    partitions: Sequence[int]
    tags: Sequence[Tag] = ()


@attrs.frozen
class FetchRequest:
    """A Fetch request. ``max_wait_ms`` is in milliseconds, sizes are in bytes.

    A session id of 0 is no session; a session epoch of 0 asks for a new one, of -1 for none, and above 0 the
    request names only what has changed since the session's last one.
    """

    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    isolation_level: int
    topics: Sequence[FetchTopic]
    session_id: int = NO_SESSION[0]
    session_epoch: int = NO_SESSION[1]
    forgotten: Sequence[ForgottenTopic] = ()
    rack_id: str = ""
    replica_id: int = -1
    tags: Sequence[Tag] = ()
    header_tags: Sequence[Tag] = ()

    def to_bytes(self, version: int) -> bytes:
        """The body, which follows RequestStart.head. What the version does not have is left out."""
        flexible = version >= FIRST_FLEXIBLE
        out = bytearray()
        put_tags(out, self.header_tags, flexible)
        if version < 15:
            out += INT32.pack(self.replica_id)
        out += _LIMITS.pack(self.max_wait_ms, self.min_bytes, self.max_bytes, self.isolation_level)
        if version >= FIRST_WITH_SESSIONS:
            out += _SESSION.pack(self.session_id, self.session_epoch)
        put_count(out, len(self.topics), flexible)
        for topic in self.topics:
            put_topic(out, topic.topic, version)
            put_count(out, len(topic.partitions), flexible)
            for partition in topic.partitions:
                _put_partition(out, partition, version)
            put_tags(out, topic.tags, flexible)
        if version >= FIRST_WITH_SESSIONS:
            put_count(out, len(self.forgotten), flexible)
            for forgotten in self.forgotten:
                put_topic(out, forgotten.topic, version)
                put_count(out, len(forgotten.partitions), flexible)
                for number in forgotten.partitions:
                    out += INT32.pack(number)
                put_tags(out, forgotten.tags, flexible)
        if version >= 11:
            put_string(out, self.rack_id, flexible)
        put_tags(out, self.tags, flexible)
        return bytes(out)


def parse_fetch_request(version: int, body: Piece) -> FetchRequest:
    """The request in ``body``, which follows RequestStart.head. Raises FramingError."""
    check_version(version)
    reader = Reader(body, flexible=version >= FIRST_FLEXIBLE)
    header_tags = reader.tags()
    replica_id = reader.int32() if version < 15 else -1
    max_wait_ms, min_bytes, max_bytes, isolation_level = _LIMITS.unpack(reader.raw(_LIMITS.size))
    sessions = version >= FIRST_WITH_SESSIONS
    session_id, session_epoch = _SESSION.unpack(reader.raw(_SESSION.size)) if sessions else NO_SESSION
    topics = [_topic(reader, version) for _ in range(reader.count(_LEAST_TOPIC))]
    forgotten = [_forgotten(reader, version) for _ in range(reader.count(_LEAST_TOPIC) if sessions else 0)]
    rack_id = reader.string() if version >= 11 else ""
    tags = reader.tags()
    reader.end()
    return FetchRequest(
        max_wait_ms,
        min_bytes,
        max_bytes,
        isolation_level,
        topics,
        session_id,
        session_epoch,
        forgotten,
        rack_id,
        replica_id,
        tags,
        header_tags,
    )


def check_version(version: int) -> None:
    """Raise FramingError for a version that is not spoken here."""
    if not MIN_VERSION <= version <= MAX_VERSION:
        raise FramingError(f"Fetch of version {version}, versions {MIN_VERSION} to {MAX_VERSION} are known")


def topic_ref(reader: Reader, version: int) -> TopicRef:
    """How the topic is named that comes next."""
    return bytes(reader.raw(16)) if version >= FIRST_WITH_IDS else reader.string()


def put_topic(out: bytearray, topic: TopicRef, version: int) -> None:
    """Append how a topic is named."""
    if version >= FIRST_WITH_IDS:
        assert isinstance(topic, bytes)
        assert len(topic) == 16
        out += topic
    else:
        put_string(out, topic, version >= FIRST_FLEXIBLE)


def _topic(reader: Reader, version: int) -> FetchTopic:
    topic = topic_ref(reader, version)
    partitions = [_partition(reader, version) for _ in range(reader.count(_LEAST_PARTITION))]
    return FetchTopic(topic, partitions, reader.tags())


def _forgotten(reader: Reader, version: int) -> ForgottenTopic:
    topic = topic_ref(reader, version)
    return ForgottenTopic(topic, [reader.int32() for _ in range(reader.count(4))], reader.tags())


def _partition(reader: Reader, version: int) -> FetchPartition:
    number = reader.int32()
    leader_epoch = reader.int32() if version >= 9 else -1
    fetch_offset = reader.int64()
    fetched_epoch = reader.int32() if version >= 12 else -1
    log_start = reader.int64() if version >= 5 else -1
    max_bytes = reader.int32()
    return FetchPartition(
        number, fetch_offset, max_bytes, leader_epoch, fetched_epoch, log_start, reader.tags()
    )


def _put_partition(out: bytearray, partition: FetchPartition, version: int) -> None:
    out += INT32.pack(partition.partition)
    if version >= 9:
        out += INT32.pack(partition.current_leader_epoch)
    out += INT64.pack(partition.fetch_offset)
    if version >= 12:
        out += INT32.pack(partition.last_fetched_epoch)
    if version >= 5:
        out += INT64.pack(partition.log_start_offset)
    out += INT32.pack(partition.max_bytes)
    put_tags(out, partition.tags, version >= FIRST_FLEXIBLE)
