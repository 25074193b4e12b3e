"""The hole rule: what keeps a pipelined idempotent producer from losing records after a refused batch.

A broker that knows nothing of a producer id takes any first sequence, and a client may then count a refused
earlier batch as delivered. So a refusal is remembered, and until the producer sends again from exactly the
refused sequence, or from 0 with another epoch, later batches of that id and partition are refused too, with
OUT_OF_ORDER_SEQUENCE_NUMBER, as a broker that had seen the earlier batches would. (From 0: Java takes a new
epoch as soon as it hears of the refusal, and sends its newest batch with that before it sends the others
again. The broker, if that were its first of the id, would take none of the others behind it.)
"""

from __future__ import annotations

from lfsproxy.errors import FramingError
from lfsproxy.names import LONGEST_TOPIC
from lfsproxy.wire.batch import BatchHeader

MOST_HOLES = 65536
"""Of one connection: none may be forgotten, so that there must be an end to their memory."""


class Holes:
    """The refused batches of one connection that no resent batch has filled yet."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, int], tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def blocks(self, topic: str, partition: int, header: BatchHeader) -> bool:
        """Whether this batch must be refused, asked in the order of the line. Forgets a hole it fills."""
        place = (topic, partition, header.producer_id)
        hole = self._open.get(place)
        if hole is None or not header.has_producer_id:
            return False
        epoch, sequence = hole
        if header.base_sequence != (sequence if header.producer_epoch == epoch else 0):
            return True
        del self._open[place]
        return False

    def remember(self, topic: str, partition: int, header: BatchHeader) -> None:
        """The proxy refuses this batch. To be called before any later batch is decided.

        Raises FramingError where there are more holes than any client leaves.
        """
        # Brokers refuse a longer name, so that no later batch can slip in.
        if not header.has_producer_id or len(topic) > LONGEST_TOPIC:
            return
        if len(self._open) >= MOST_HOLES:
            raise FramingError(f"{MOST_HOLES} batches were refused and not sent again")
        place = (topic, partition, header.producer_id)
        self._open[place] = (header.producer_epoch, header.base_sequence)
