"""What may be asked of Kafka: a record is published, one is read, and whole topics are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import attrs
from zope.interface import Attribute, Interface

from lfsproxy.wire.unpack import UnpackedRecord
from lfsproxy.wire.walk import FetchedBatch

T = TypeVar("T")

Header = tuple[bytes, bytes | None]
"""A record header as it is on the wire: name (need not be UTF-8) and value, which may be null."""


@attrs.frozen
class Published:
    """A record that the broker has acknowledged. ``timestamp`` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class IEnvelopePublisher(Interface):
    """Publishes envelopes for the HTTP door, with the proxy's own identity."""

    publish_seconds: float = Attribute(
        "how long after ``publish`` began nothing leaves for a broker any more"
    )

    async def choose_partition(topic: str, key: bytes | None, partition: int | None) -> int:
        """The partition a record will go to: the one asked for, else as Kafka's default partitioner.

        Raises UnknownTopic, NotAuthorised, BadRequest (partition out of range) or BrokerUnavailable.
        """

    async def next_offset(topic: str, partition: int) -> int:
        """A hint: the partition's next offset as last known, else asked for; 0 where it cannot be known."""

    async def publish(
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[Header],
        timestamp: int | None,
    ) -> Published:
        """Publish one record and wait for acks=all. ``timestamp``: milliseconds since the epoch, None is now.

        Raises BrokerRefused (and its kinds) when it is surely not in the log, BrokerUnavailable when
        nothing was sent, OutcomeUnknown in every other case.
        """

    async def log_end(topic: str, partition: int) -> int:
        """The offset that the partition's next record gets. Raises UnknownTopic or BrokerUnavailable."""

    async def find(topic: str, partition: int, value: bytes, first: int) -> Published | None:
        """The record with exactly ``value``, at offset ``first`` or later; None where none was found within
        a bounded time. Raises BrokerUnavailable."""

    async def check() -> None:
        """Ask the cluster for a sign of life. Raises BrokerUnavailable or NotAuthorised."""


@attrs.frozen
class LogRecord:
    """A record as it is in the log. ``timestamp`` is in milliseconds since the epoch.

    ``size`` is the value's, in bytes, None where it is null, and ``sha256`` its SHA-256 in hex; ``value`` is
    None as well where it is larger than was asked for.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    size: int | None
    sha256: str
    value: bytes | None
    headers: Sequence[Header]


class IRecordLog(Interface):
    """Reads single records, with the proxy's own identity."""

    async def read(topic: str, partition: int, offset: int, most: int) -> LogRecord:
        """The record at exactly that offset, as a consumer with isolation.level=read_committed sees it.

        A value of more than ``most`` bytes is not handed over.

        Raises NoSuchRecord (never there, not there or not committed yet, compacted, aborted, expired, a
        control record), UnknownTopic, NotAuthorised, UnreadableRecord or BrokerUnavailable. Creates no topic.
        """


@attrs.frozen
class FoundTopic:
    """A topic to be read. ``topic_id`` tells it from an earlier one of its name; empty where brokers give
    none."""

    name: str
    topic_id: str
    partitions: Sequence[int]


@attrs.frozen
class FoundTopics:
    """What globs choose. ``refused``: names that may not be described or cannot be, with a sentence;
    ``unknown``: names without a wildcard that Kafka says do not exist."""

    topics: Sequence[FoundTopic]
    refused: Mapping[str, str] = attrs.Factory(dict)
    unknown: Sequence[str] = ()


@attrs.frozen
class LogBounds:
    """Of a partition: the offset of its ``first`` record, of the first one that is not decided yet
    (``stable``: a transaction may be open there), and the ``end``, which the next record gets."""

    first: int
    stable: int
    end: int


Gap = Callable[[int, int], None]
"""Called with two offsets: from the first to before the second, records are gone since they were asked for
(retention, DeleteRecords). What compaction has removed is no gap."""


class ILogReading(Interface):
    """Reads whole topics, with the proxy's own identity. Creates none.

    A partition is read past leaders that move and brokers that restart: it is asked again, at the same
    offset, for a minute. Raises UnreadableLog, which names it, where it cannot be read to its end, and
    SignInRefused; the other calls raise BrokerUnavailable.
    """

    async def topics(globs: Sequence[str]) -> FoundTopics:
        """The topics that are chosen (names.is_chosen). Kafka's own (is_internal) are left out, and so is
        ``__*`` unless a glob begins so. A name without a wildcard that is not among them is asked for."""

    async def bounds(topic: str, partition: int) -> LogBounds:
        """As they are now."""

    async def offset_at(topic: str, partition: int, time: int) -> int | None:
        """The offset of the first record whose time is ``time`` or later, in milliseconds since the epoch;
        None where there is none."""

    def look(
        topic: str,
        partition: int,
        first: int,
        end: int,
        look: Callable[[Sequence[FetchedBatch]], Iterator[T]],
        committed: bool = True,
        gap: Gap = lambda first, next_one: None,
    ) -> AsyncIterator[tuple[int, T]]:
        """What ``look`` finds in the whole batches of one answer after the other, each with the offset behind
        that answer: where to go on after its last step. It is run in threads, step by step.

        The first and the last batch may have records that are not between ``first`` and ``end``. Control
        batches are left out, and if ``committed`` those of aborted transactions; ``end`` must not be behind
        the ``stable`` end then. Otherwise every record counts that is in the log. At most one answer is held
        (LFS_MAX_PASSTHROUGH_SIZE).
        """

    def records(
        topic: str,
        partition: int,
        first: int,
        end: int,
        most: int,
        committed: bool = True,
        gap: Gap = lambda first, next_one: None,
    ) -> AsyncIterator[Sequence[UnpackedRecord]]:
        """Each record from ``first`` to before ``end`` exactly once, some at a time. Values of more than
        ``most`` bytes are not handed over."""
