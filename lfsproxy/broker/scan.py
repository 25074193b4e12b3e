"""Finding a record by its value, for an answer without an offset, and for uploads of a process that died."""

from __future__ import annotations

from functools import partial

from twisted.internet.interfaces import IReactorTime

from lfsproxy.broker.cluster import EARLIEST, Cluster
from lfsproxy.broker.lookups import Lookups
from lfsproxy.broker.threads import InThread
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import BrokerUnavailable
from lfsproxy.kafka.messages import READ_UNCOMMITTED
from lfsproxy.wire.lookup import Search, find_value

SCAN_SECONDS = 15.0
"""How long a record is looked for: its client waits for the answer."""
SCAN_RECORDS = 1000
"""How far before the end is looked where it is not known where to begin."""
SCAN_BYTES = 1024 * 1024
"""Bytes that are asked for at once; a batch that is larger comes whole."""


class Scan:
    """Looks through partitions, one batch after the other, as they are: also behind open transactions."""

    def __init__(
        self,
        clock: IReactorTime,
        cluster: Cluster,
        lookups: Lookups,
        in_thread: InThread,
        max_decompressed: int,
    ) -> None:
        self._clock = clock
        self._cluster = cluster
        self._lookups = lookups
        self._in_thread = in_thread
        self._find = partial(find_value, max_decompressed=max_decompressed)

    async def find(
        self, topic: str, partition: int, value: bytes, first: int | None
    ) -> tuple[int, int] | None:
        """The (offset, timestamp in milliseconds) of the record with ``value``, or None.

        Looks from offset ``first`` (where None: SCAN_RECORDS before the end) to the end as it is now, for at
        most SCAN_SECONDS. Raises the cluster's errors.
        """
        deadline = self._clock.seconds() + SCAN_SECONDS
        end = await self._cluster.offset(topic, partition)
        place = max(0, end - SCAN_RECORDS) if first is None else first
        lowest = place
        while place < end and self._clock.seconds() < deadline:
            found = await self._lookups.run(partial(self._look, topic, partition, place, value, lowest))
            if found is None:
                start = await self._cluster.offset(topic, partition, EARLIEST)
                if start <= place:
                    return None
                place = start
                continue
            if found.offset is not None:
                return found.offset, found.timestamp
            if found.next_offset is None or found.next_offset <= place:
                return None
            place = found.next_offset
        return None

    async def _look(self, topic: str, partition: int, place: int, value: bytes, lowest: int) -> Search | None:
        """Look through what stands at an offset; None where the log does not begin that early."""
        answer = await self._cluster.fetch(topic, partition, place, SCAN_BYTES, READ_UNCOMMITTED)
        if answer.error_code == KafkaCode.OFFSET_OUT_OF_RANGE:
            return None
        if answer.error_code:
            raise BrokerUnavailable(
                f"Kafka answers error {answer.error_code} for {topic}, partition {partition}"
            )
        found: Search = await self._in_thread(self._find, bytes(answer.records or b""), value, lowest)
        return found
