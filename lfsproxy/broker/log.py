"""Reads single records out of the log: IRecordLog over the proxy's own connections.

An answer holds one batch, which is looked through in a thread. Few answers are held at a time (lookups), each
of at most LFS_MAX_PASSTHROUGH_SIZE and the value that is taken out of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lfsproxy.broker.cluster import Cluster
from lfsproxy.broker.lookups import Lookups
from lfsproxy.broker.seconds import METADATA_SECONDS
from lfsproxy.broker.threads import InThread
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import (
    BrokerUnavailable,
    CorruptBatch,
    NoSuchRecord,
    NotAuthorised,
    TooLarge,
    UndecodableRecords,
    UnknownTopic,
    UnreadableRecord,
)
from lfsproxy.interfaces import IRecordLog, LogRecord
from lfsproxy.settings import Settings
from lfsproxy.wire.lookup import FoundRecord, find_record

READ_SECONDS = 2 * METADATA_SECONDS
"""How long it may take to read a record, waiting behind others included."""


@implementer(IRecordLog)
class KafkaLog:
    """Asks the ``cluster``, which others may ask too."""

    def __init__(
        self,
        reactor: IReactorTime,
        cluster: Cluster,
        lookups: Lookups,
        in_thread: InThread,
        settings: Settings,
    ) -> None:
        self._reactor = reactor
        self._cluster = cluster
        self._in_thread = in_thread
        self._most = settings.max_passthrough_size
        self._find = partial(
            find_record, max_value=self._most, max_decompressed=settings.lookup_max_decompressed_size
        )
        self._lookups = lookups

    async def read(self, topic: str, partition: int, offset: int, most: int) -> LogRecord:
        reading = Deferred.fromCoroutine(self._read_in_turn(topic, partition, offset, most))
        try:
            return await reading.addTimeout(READ_SECONDS, self._reactor)
        except TimeoutError:
            raise BrokerUnavailable(f"Kafka gave no record within {READ_SECONDS:g} s") from None

    async def _read_in_turn(self, topic: str, partition: int, offset: int, most: int) -> LogRecord:
        return await self._lookups.run(lambda: self._read(topic, partition, offset, most))

    async def _read(self, topic: str, partition: int, offset: int, most: int) -> LogRecord:
        answer = await self._cluster.fetch(topic, partition, offset)
        place = f"{topic}, partition {partition}, offset {offset}"
        _check(answer, place, topic, offset)
        if not answer.records and offset < answer.high_watermark:
            # As from tiered storage that is slow: the last batch of a log stays, also where it is compacted.
            raise BrokerUnavailable(f"Kafka gives nothing of {place}, which is in the log: ask again")
        aborted = [(one.producer_id, one.first_offset) for one in answer.aborted_transactions or ()]
        try:
            found = await self._in_thread(self._look, bytes(answer.records or b""), offset, aborted, most)
        except TooLarge as error:
            raise UnreadableRecord(f"{place}: {error}") from None
        except (UndecodableRecords, CorruptBatch) as error:
            raise UnreadableRecord(f"{place} does not decode: {error}") from None
        if found is None:
            raise NoSuchRecord(f"{place} holds no record: it was aborted or compacted, or is Kafka's own")
        record, size, sha256 = found
        return LogRecord(
            topic, partition, offset, record.timestamp, size, sha256, record.value, record.headers
        )

    def _look(
        self, records: bytes, offset: int, aborted: Collection[tuple[int, int]], most: int
    ) -> tuple[FoundRecord, int | None, str] | None:
        """In a thread: the record with its value's size and SHA-256; no value beyond ``most`` bytes."""
        found = self._find(records, offset, aborted)
        if found is None:
            return None
        sha256 = hashlib.sha256(found.value or b"").hexdigest()
        if found.value is None:
            return found, None, sha256
        size = len(found.value)
        return (found if size <= most else attrs.evolve(found, value=None)), size, sha256


def _check(answer: Any, place: str, topic: str, offset: int) -> None:
    """Raise what a partition's answer says."""
    code = answer.error_code
    if code == KafkaCode.OFFSET_OUT_OF_RANGE:
        raise NoSuchRecord(f"{place} is not in the log: it is behind the end, or was deleted")
    if code == KafkaCode.UNKNOWN_TOPIC_OR_PARTITION:
        raise UnknownTopic(f"the topic {topic} does not exist")
    if code == KafkaCode.TOPIC_AUTHORIZATION_FAILED:
        raise NotAuthorised(code, f"Kafka does not authorise reading the topic {topic}")
    if code:
        raise BrokerUnavailable(f"Kafka answers error {code} for {place}")
    if answer.last_stable_offset >= 0 and offset >= answer.last_stable_offset:
        if offset >= answer.high_watermark:
            raise NoSuchRecord(f"{place} is behind the end of the log, which is at {answer.high_watermark}")
        raise NoSuchRecord(f"{place} is not committed yet: it may be part of a transaction that is open")
