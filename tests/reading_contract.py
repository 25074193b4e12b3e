"""What everything that reads topics keeps to. The double and the real reading are held to this same suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import UnreadableLog
from lfsproxy.interfaces import FoundTopic, FoundTopics, ILogReading, LogBounds
from lfsproxy.wire.unpack import UnpackedRecord
from lfsproxy.wire.walk import FetchedBatch
from tests.wire.helpers import batch_of, compressed, raw_records

TRANSACTIONAL, CONTROL = 0x10, 0x20
PRODUCER = 7
"""The producer id of ``batch_of``."""


def batch(*values: bytes, codec: int = 0, attributes: int = 0) -> bytes:
    """A batch of records with these values, each with a key and a header."""
    records = raw_records([(b"k" + value, value, [(b"h", value)]) for value in values])
    data = compressed(codec, records) if codec else records
    return batch_of(data, len(values), codec=codec, attributes=attributes)


MARKER = batch(b"", attributes=TRANSACTIONAL | CONTROL)


class Reads(SynchronousTestCase):
    """Mixed into a class that says what reads the partition 0 of the topic ``demo``."""

    reading: ILogReading

    def append(self, *batches: bytes) -> None:
        """Write batches, whoever sent them."""
        raise NotImplementedError

    def end(self) -> int:
        """The offset that the next record gets."""
        raise NotImplementedError

    def decided(self, stable: int | None, aborted: Sequence[tuple[int, int]] = ()) -> None:
        """Set the last stable offset, and the producer id and first offset of aborted transactions."""
        raise NotImplementedError

    def remove(self, place: int) -> None:
        """Compaction removes the batch at that place."""
        raise NotImplementedError

    def expire(self, first: int) -> None:
        """Retention removes what is before that offset, which begins a batch."""
        raise NotImplementedError

    def create(self, topic: str, hidden: bool = False) -> None:
        """One more topic; ``hidden``: it may not be described."""
        raise NotImplementedError

    def begin(self, asking: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        """Begin something."""
        return Deferred.fromCoroutine(asking)

    def settle(self) -> None:
        """Let a moment pass, so that what was tried again has come."""

    def wait(self) -> None:
        """Let so much time pass that whatever does not come has failed."""

    def read(self, first: int = 0, end: int | None = None, **options: Any) -> Deferred[list[UnpackedRecord]]:
        async def all_of(portions: AsyncIterator[Sequence[UnpackedRecord]]) -> list[UnpackedRecord]:
            return [record async for portion in portions for record in portion]

        self.gaps: list[tuple[int, int]] = []

        def gap(first: int, next_one: int) -> None:
            self.gaps.append((first, next_one))

        until = self.end() if end is None else end
        options = {"most": 1000, **options}
        return self.begin(all_of(self.reading.records("demo", 0, first, until, gap=gap, **options)))

    def values(self, *args: Any, **options: Any) -> list[tuple[int, bytes | None]]:
        reading = self.read(*args, **options)
        self.settle()
        return [(one.offset, one.value) for one in self.successResultOf(reading)]

    def topics(self, *globs: str) -> FoundTopics:
        found: FoundTopics = self.successResultOf(self.begin(self.reading.topics(globs)))
        return found

    def names(self, *globs: str) -> list[str]:
        return [one.name for one in self.topics(*globs).topics]


class ReadingContract(Reads):
    """What is tested."""

    def test_chosen_topics(self) -> None:
        self.create("other")
        self.create("__ours")
        [demo, other] = self.topics("*").topics
        self.assertEqual((demo.name, next(iter(demo.partitions)), other.name), ("demo", 0, "other"))
        self.assertIsInstance(demo, FoundTopic)
        self.assertEqual(self.names("!other"), ["demo"])
        self.assertEqual(self.names("*", "__*"), ["__ours", "demo", "other"])

    def test_a_name_that_is_not_listed_is_asked_for(self) -> None:
        self.create("secret", hidden=True)
        found = self.topics("*", "secret", "gone")
        self.assertEqual([one.name for one in found.topics], ["demo"])
        self.assertEqual((list(found.unknown), list(found.refused)), (["gone"], ["secret"]))

    def test_bounds(self) -> None:
        self.append(batch(b"a"), batch(b"b"), batch(b"c"))
        self.expire(1)
        self.decided(2)
        self.assertEqual(self.successResultOf(self.begin(self.reading.bounds("demo", 0))), LogBounds(1, 2, 3))

    def test_the_offset_of_a_time(self) -> None:
        self.append(batch(b"a"))
        for time, offset in ((1500, 0), (2001, None), (0, 0)):
            asking = self.begin(self.reading.offset_at("demo", 0, time))
            self.assertEqual(self.successResultOf(asking), offset)

    def test_all_fields(self) -> None:
        self.append(batch(b"a"), batch_of(raw_records([(None, None, [(b"\xff", None)])]), 1))
        first, second = self.successResultOf(self.read())
        self.assertEqual(first, UnpackedRecord(0, first.timestamp, b"ka", 1, b"a", [(b"h", b"a")]))
        self.assertEqual(second, UnpackedRecord(1, second.timestamp, None, None, None, [(b"\xff", None)]))
        self.assertGreaterEqual(first.timestamp, 1000)

    def test_every_codec(self) -> None:
        self.append(*(batch(b"value %d" % codec, b"x", codec=codec) for codec in range(5)))
        self.assertEqual(self.values()[::2], [(2 * codec, b"value %d" % codec) for codec in range(5)])

    def test_only_between_two_offsets(self) -> None:
        self.append(batch(b"a", b"b", b"c"), batch(b"d", b"e"))
        self.assertEqual(self.values(1, 4), [(1, b"b"), (2, b"c"), (3, b"d")])

    def test_a_large_value_is_not_handed_over(self) -> None:
        self.append(batch(b"x" * 1001, b"y" * 1000))
        large, fits = self.successResultOf(self.read())
        self.assertEqual((large.size, large.value, large.key), (1001, None, b"k" + b"x" * 1001))
        self.assertEqual(fits.value, b"y" * 1000)

    def test_aborted_ones_and_kafkas_own_are_left_out_and_others_not(self) -> None:
        self.append(batch(b"plain"), batch(b"aborted", attributes=TRANSACTIONAL), MARKER)
        self.append(batch(b"committed", attributes=TRANSACTIONAL), MARKER)
        self.decided(None, [(PRODUCER, 1)])
        self.assertEqual(self.values(), [(0, b"plain"), (3, b"committed")])
        self.assertEqual(self.values(committed=False), [(0, b"plain"), (1, b"aborted"), (3, b"committed")])

    def test_an_open_transaction_is_behind_the_stable_end(self) -> None:
        self.append(batch(b"plain"), batch(b"open", attributes=TRANSACTIONAL))
        self.decided(1)
        self.assertEqual(self.values(0, 1), [(0, b"plain")])
        self.assertEqual(self.values(1, 2, committed=False), [(1, b"open")])
        reading = self.read(1, 2)
        self.wait()
        self.failureResultOf(reading, UnreadableLog)

    def test_what_compaction_removed_is_no_gap(self) -> None:
        self.append(batch(b"a"), batch(b"b"), batch(b"c"))
        self.remove(1)
        self.assertEqual(self.values(), [(0, b"a"), (2, b"c")])
        self.assertEqual(self.gaps, [])

    def test_a_log_that_moved_on_is_a_gap(self) -> None:
        self.append(batch(b"a"), batch(b"b"))
        self.expire(1)
        self.assertEqual(self.values(), [(1, b"b")])
        self.assertEqual(self.gaps, [(0, 1)])

    def test_all_gone_is_a_gap_up_to_the_end(self) -> None:
        self.append(batch(b"a"), batch(b"b"), batch(b"c"))
        self.expire(3)
        self.assertEqual(self.values(0, 2), [])
        self.assertEqual(self.gaps, [(0, 2)])

    def test_a_log_that_is_shorter_than_it_was(self) -> None:
        self.append(batch(b"a"))
        for first in (0, 1, 2):
            reading = self.read(first, 3)
            self.wait()
            self.failureResultOf(reading, UnreadableLog)

    def test_a_batch_that_is_broken_or_does_not_decompress_or_is_of_an_old_format(self) -> None:
        good = batch(b"a")
        for bad in (
            good[:-1] + bytes([good[-1] ^ 1]),
            # One that says that it is Kafka's own, and is not.
            MARKER[:-1] + bytes([MARKER[-1] ^ 1]),
            batch_of(b"no gzip", 1, codec=1),
            batch_of(b"", 1, magic=1),
        ):
            first = self.end()
            self.append(bad)
            self.failureResultOf(self.read(first, first + 1), UnreadableLog)

    def test_a_step_has_the_offset_behind_its_answer(self) -> None:
        self.append(batch(b"a"), batch(b"b"))

        def look(found: Sequence[FetchedBatch]) -> Iterator[int]:
            yield len(found)

        async def steps() -> list[tuple[int, int]]:
            return [one async for one in self.reading.look("demo", 0, 0, 2, look)]

        found = self.successResultOf(self.begin(steps()))
        self.assertEqual((found[-1][0], sum(count for _, count in found)), (2, 2))


del SynchronousTestCase
