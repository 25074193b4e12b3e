"""The blobs of a poll's records, several at a time, in the records' order and in bounded memory. Blocks.

    for each in resolve_records(reader, consumer.consume(100, timeout=1)):
        each.record, each.value             # reading ``value`` raises where this record's blob failed

Which records may be fetched ahead is decided in ``Ahead``, for event loops too (lfsproxy.client.loops).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import attrs

from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.reader import BlobReader
from lfsproxy.client.recognise import DEFAULT_MAX_SIZE, as_bytes, recognise
from lfsproxy.client.results import RecordCoordinates, Resolved, called
from lfsproxy.envelope import Envelope
from lfsproxy.errors import ReadInterrupted

CONCURRENCY = 8
MOST_AHEAD = 1000
"""Records that are taken ahead: small ones take next to no bytes, but those of a live consumer never end."""

R = TypeVar("R")


@attrs.frozen
class ResolvedRecord(Generic[R]):
    """A consumer's record, and what became of its value: ``resolved``, or else ``error``."""

    record: R
    resolved: Resolved | None
    error: Exception | None = None

    @property
    def value(self) -> bytes | None:
        """The blob's bytes, or the value as it is. Raises ``error`` where there is one."""
        return self._given.value

    @property
    def envelope(self) -> Envelope | None:
        """None where the value was an ordinary one. Raises ``error`` where there is one."""
        return self._given.envelope

    @property
    def missing(self) -> bool:
        """Whether the blob was skipped. Raises ``error`` where there is one."""
        return self._given.missing

    @property
    def _given(self) -> Resolved:
        if self.resolved is None:
            assert self.error is not None  # one of the two is always given
            raise self.error
        return self.resolved


class Place(Generic[R]):
    """One record that was taken. ``value`` and ``size`` (of the blob; 0: nothing is fetched) are of it."""

    def __init__(self, record: R) -> None:
        self.record = record
        self.value: bytes | None = None
        self.size = 0
        self.fetched = False
        self.outcome: ResolvedRecord[R] | None = None
        self.cancellation = Cancellation()
        self.cancel: Callable[[], object] = self.cancellation.cancel
        """Ends its fetch."""
        try:
            self.value = _value_of(record)
            envelope = recognise(self.value)
        except Exception as error:
            self.failed(error)
        else:
            self.fetched = envelope is not None
            self.size = 0 if envelope is None else envelope.content_length
            if envelope is None:
                self.came(Resolved(self.value))

    @property
    def coordinates(self) -> RecordCoordinates:
        return RecordCoordinates.of(self.record)

    def came(self, resolved: Resolved) -> None:
        self.outcome = ResolvedRecord(self.record, resolved)

    def failed(self, error: Exception) -> None:
        self.outcome = ResolvedRecord(self.record, None, error)


class Ahead(Generic[R]):
    """Records that were begun and not handed out, in order.

    At most ``concurrency`` are fetched at a time, and at most ``max_bytes`` of blobs are fetched or held; but
    the record that is handed out next always may begin.
    """

    def __init__(self, max_bytes: int, concurrency: int) -> None:
        for name, given, least in (("max_bytes", max_bytes, 0), ("concurrency", concurrency, 1)):
            if type(given) is not int or given < least:
                raise ValueError(f"{name} is {given}, a whole number from {least} is needed")
        self._max_bytes = max_bytes
        self._concurrency = concurrency
        self._places: deque[Place[R]] = deque()
        self._fetching = 0
        self._held = 0

    def __bool__(self) -> bool:
        return bool(self._places)

    @property
    def is_full(self) -> bool:
        """Whether no further record is to be taken from the consumer."""
        return len(self._places) >= MOST_AHEAD

    def may_begin(self, place: Place[R]) -> bool:
        if not self._places:
            return True
        if not place.fetched:
            return not self.is_full
        return self._fetching < self._concurrency and self._held + place.size <= self._max_bytes

    def begin(self, place: Place[R]) -> bool:
        """Take it in; whether it is to be fetched now: ``ended`` is to follow."""
        self._places.append(place)
        self._held += place.size
        self._fetching += place.fetched
        return place.fetched

    def ended(self) -> None:
        """A fetch came to its end."""
        self._fetching -= 1

    def take(self) -> ResolvedRecord[R] | None:
        """The next record in order, if it is there: it is the caller's from now on."""
        if not self._places or self._places[0].outcome is None:
            return None
        place = self._places.popleft()
        self._held -= place.size
        return place.outcome

    def cancel(self) -> None:
        """End all fetches, and forget all records."""
        while self._places:
            self._places.popleft().cancel()


def resolve_records(
    reader: BlobReader,
    records: Iterable[R],
    *,
    max_bytes: int = DEFAULT_MAX_SIZE,
    concurrency: int = CONCURRENCY,
) -> Generator[ResolvedRecord[R], None, None]:
    """Each record with what ``reader.resolve`` makes of its value, in order.

    ``records`` are what one poll of kafka-python or confluent-kafka has given; taking the next one must not
    block. At most ``concurrency`` blobs are fetched at a time, by threads of this call. Memory: at most
    ``max_bytes`` of blobs, counted by their envelopes' content_length from a fetch's begin until its record
    is handed out, or one blob where that is larger. A record that fails is handed out in its place with its
    ``error``; those after it follow. Leaving the loop early, or ``close``, ends the fetches.
    """
    ahead: Ahead[R] = Ahead(max_bytes, concurrency)
    return _resolved(reader, iter(records), ahead, concurrency)


def _resolved(
    reader: BlobReader, records: Any, ahead: Ahead[R], concurrency: int
) -> Generator[ResolvedRecord[R], None, None]:
    done: SimpleQueue[Callable[[], None]] = SimpleQueue()
    pool = ThreadPoolExecutor(concurrency, "lfsproxy-records")
    try:
        coming = _taken(records)
        while coming is not None or ahead:
            if coming is not None and ahead.may_begin(coming):
                if ahead.begin(coming):
                    pool.submit(_fetch, reader, coming, done.put)
                coming = _taken(records)
            elif (outcome := ahead.take()) is not None:
                yield outcome
            else:
                done.get()()
                ahead.ended()
    finally:
        ahead.cancel()
        pool.shutdown(wait=False, cancel_futures=True)


def _taken(records: Any) -> Place[Any] | None:
    for record in records:
        return Place(record)
    return None


def _fetch(reader: BlobReader, place: Place[Any], put: Callable[[Callable[[], None]], None]) -> None:
    try:
        resolved = reader.resolve(place.value, record=place.coordinates, cancellation=place.cancellation)
    except Exception as error:
        failure = error
        put(lambda: place.failed(failure))
    except BaseException as error:
        # As of a hook that calls sys.exit: a thread has nobody else to raise it to.
        told = ReadInterrupted(f"{type(error).__name__} broke off a read")
        told.__cause__ = error
        put(lambda: place.failed(told))
    else:
        put(lambda: place.came(resolved))


def _value_of(record: Any) -> bytes | None:
    """A record's value. Raises KafkaException for confluent-kafka's messages that are an error."""
    error = getattr(record, "error", None)
    if callable(error) and error() is not None:
        from confluent_kafka import KafkaException

        raise KafkaException(error())
    return as_bytes(called(record.value))
