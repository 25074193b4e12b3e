"""One partition's records on their way to its leader, without I/O: one batch in flight, the rest waiting.

A batch is made when it can leave, of all that waits by then, and stays as it is until its outcome is known or
time is over. With a producer id it may leave again: the broker writes each sequence once. After an outcome
that is not known, or trouble with the id, the partition gets a new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from lfsproxy.broker.batches import NO_PRODUCER, ProducerId, Record, encode_batch, sequence_after
from lfsproxy.broker.outcome import Next, failed, judge, says, spoils_id
from lfsproxy.errors import BrokerUnavailable, LfsError
from lfsproxy.wire.answers import PartitionAnswer
from lfsproxy.wire.chunks import Piece

BATCH_BYTES: Final = 256 * 1024
"""Of a batch with more than one record: brokers and topics allow 1 MiB by default."""


@attrs.define(eq=False)
class Entry:
    """A record that somebody waits for. ``added`` is when it came, in seconds.

    ``is_alone``: it is sent by itself, as another record of its batch may be why that was refused.
    """

    record: Record
    added: float
    is_alone: bool = False
    renewals: int = 0


@attrs.frozen
class Placed:
    """A record that is in the log. ``offset`` is -1 where the broker did not say; ``timestamp`` in ms."""

    offset: int
    timestamp: int


@attrs.define(eq=False)
class Batch:
    """A batch that has left. ``answers``: one for each time that it did."""

    entries: Sequence[Entry]
    timestamps: Sequence[int]
    pieces: Sequence[Piece]
    producer: ProducerId
    answers: list[int | None] = attrs.Factory(list)

    @property
    def is_idempotent(self) -> bool:
        return self.producer != NO_PRODUCER

    @property
    def renewals(self) -> int:
        return max(entry.renewals for entry in self.entries)


Settle = Callable[[Entry, Placed | LfsError], None]
"""Is told what became of a record, once."""


class Lane:
    """``producer`` is None where a new id has to be asked for before the next batch can be made."""

    def __init__(self, topic: str, partition: int, settle: Settle) -> None:
        self.topic = topic
        self.partition = partition
        self.flight: Batch | None = None
        self.waiting: deque[Entry] = deque()
        self.producer: ProducerId | None = None
        self._sequence = 0
        self._settle = settle
        self._why = "no broker was reached in time"

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.flight is None and not self.waiting

    def needs_producer(self, idempotent: bool) -> bool:
        """Whether a producer id has to be given before a batch can be made for a broker that knows idempotent
        producers, or not."""
        fits = self.producer is not None and (self.producer != NO_PRODUCER) is idempotent
        return self.flight is None and not fits

    def add(self, entry: Entry) -> None:
        """A record is to be published."""
        self.waiting.append(entry)

    def give_producer(self, producer: ProducerId) -> None:
        """A new producer id, or NO_PRODUCER."""
        self.producer, self._sequence = producer, 0

    def cancel(self, entry: Entry) -> bool:
        """Nobody waits for it any more. Whether it was still waiting: then it never leaves."""
        if entry not in self.waiting:
            return False
        self.waiting.remove(entry)
        return True

    # What leaves

    def leave(self, now_ms: int) -> Batch | None:
        """The batch that leaves now: the one in flight once more, else all that waits and fits into one."""
        if self.flight is None:
            entries = self._gather()
            if not entries or self.producer is None:
                return None
            stamps = [now_ms if each.record.timestamp is None else each.record.timestamp for each in entries]
            records = [each.record for each in entries]
            pieces = encode_batch(records, stamps, self.producer, self._sequence)
            for _ in entries:
                self.waiting.popleft()
            self.flight = Batch(entries, stamps, pieces, self.producer)
        self.flight.answers.append(None)
        return self.flight

    def _gather(self) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        for entry in self.waiting:
            size += entry.record.size
            if entries and (size > BATCH_BYTES or entry.is_alone):
                break
            entries.append(entry)
            if entry.is_alone:
                break
        return entries

    # What comes of it

    def answered(self, batch: Batch, answer: PartitionAnswer) -> Next | None:
        """The broker has answered the batch as it left last. What is done next, None if it is over."""
        if batch is not self.flight:
            return None
        batch.answers[-1] = answer.error_code
        why = says(answer) if answer.error_code else ""
        if not answer.error_code and answer.base_offset >= 0:
            return self._go_on(batch, why, answer.base_offset, answer.log_append_time_ms)
        return self._go_on(batch, why)

    def lost(self, batch: Batch, why: str) -> Next | None:
        """No answer comes to the batch as it left last."""
        return self._go_on(batch, why) if batch is self.flight else None

    def _go_on(self, batch: Batch, why: str, offset: int = -1, time: int = -1) -> Next:
        following = judge(batch.answers, offset, batch.is_idempotent, len(batch.entries), batch.renewals)
        self._why = why
        if following in (Next.DONE, Next.FIND):
            self._placed(batch, offset, time)
        elif following is Next.END:
            self._end(batch, why)
        elif following in (Next.RENEW, Next.SPLIT):
            self.flight = None
            self.waiting.extendleft(reversed(batch.entries))
            for entry in batch.entries:
                entry.is_alone = entry.is_alone or following is Next.SPLIT
                entry.renewals += following is Next.RENEW
            if following is Next.RENEW:
                self.producer = None
        return following

    def _placed(self, batch: Batch, offset: int, time: int) -> None:
        self.flight = None
        self._sequence = sequence_after(self._sequence, len(batch.entries))
        for index, (entry, stamp) in enumerate(zip(batch.entries, batch.timestamps, strict=True)):
            place = offset + index if offset >= 0 else -1
            self._settle(entry, Placed(place, time if time >= 0 else stamp))

    def _end(self, batch: Batch, why: str) -> None:
        self.flight = None
        if spoils_id(batch.answers):
            self.producer = None
        for entry in batch.entries:
            self._settle(entry, failed(batch.answers, why, self.topic))

    def trouble(self, why: str) -> None:
        """Something kept the next batch from leaving; it is tried again."""
        self._why = why

    def expire(self, entry: Entry) -> bool:
        """The record's time is over. Whether its batch is given up, which may have left and not arrived."""
        batch = self.flight
        if self.cancel(entry):
            self._settle(entry, BrokerUnavailable(f"Kafka is unavailable, nothing was sent: {self._why}"))
        elif batch is not None and entry in batch.entries:
            self._end(batch, "no answer came in time" if batch.answers[-1] is None else self._why)
            return True
        return False

    def refuse(self, error: LfsError) -> None:
        """Nothing can be sent, for a reason that does not pass."""
        waiting, self.waiting = self.waiting, deque()
        if self.flight is not None:
            self._end(self.flight, str(error))
        for entry in waiting:
            self._settle(entry, error)
