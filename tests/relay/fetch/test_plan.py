"""The plan of an answer, against a model: a consumer that reads logs to their ends, by any limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.envelope import Envelope
from lfsproxy.errors import EnvelopeNotAllowed
from lfsproxy.relay.fetch.plan import MOST_BLOBS, Plan, Rewritten, Rules, Wanted, make_plan
from lfsproxy.wire.aborted import Aborted
from lfsproxy.wire.fetch_answers import FetchedPartition
from tests.relay.fetch.log import Log, aborted_field, blob_of, end_of_transaction, envelope, seen, written
from tests.wire.fetched import TRANSACTIONAL, Made, MadeBatch
from tests.wire.helpers import CODECS

SMALL, MOST = 500, 4000
FORBIDDEN = "lfs/default/other/0/1-x.bin"
ERROR = 56


def check(topic: str, found: Envelope) -> None:
    if not found.s3_key.startswith(f"lfs/default/{topic}/"):
        raise EnvelopeNotAllowed(found.s3_key)


RULES = Rules(check, MOST, SMALL)


@attrs.frozen
class Case:
    """Logs of one topic's partitions, which transactions of each were aborted, and how it is read.

    ``failing`` are records (partition, offset) whose blobs cannot be given: a code, None for the envelope.
    """

    logs: Sequence[Log]
    aborted: Sequence[Sequence[tuple[int, int]]]
    skips: bool
    max_bytes: int
    partition_max_bytes: int
    starts: Sequence[int]
    failing: Mapping[tuple[int, int], int | None]


VALUES = st.one_of(
    st.none(),
    st.binary(max_size=30),
    st.sampled_from([b"x" * 200, b'{"lfs_version":1}', b'{"lfs_version":9,"s3_bucket":"b","s3_key":"k"}']),
    st.builds(
        lambda size, key: envelope(size, key).to_bytes(),
        st.sampled_from([0, 1, 40, SMALL, SMALL + 1, 1500, MOST, MOST + 1]),
        st.sampled_from(["lfs/default/t/0/1-x.bin"] * 5 + [FORBIDDEN]),
    ),
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[Log, list[tuple[int, int]]]:
    """A log as it may be after compaction, and its aborted transactions."""
    offset = draw(st.integers(0, 5))
    batches = []
    aborted = []
    for _ in range(draw(st.integers(0, 4))):
        delta = -1
        records = []
        for _ in range(draw(st.integers(1, 5))):
            delta += draw(st.sampled_from([1, 1, 1, 3]))
            records.append(Made(delta, 0, (b"k", draw(VALUES), [(b"h", b"v")])))
        codec, xerial = draw(st.sampled_from(CODECS))
        producer = draw(st.sampled_from([-1, 7, 8]))
        batch = MadeBatch(
            records,
            codec,
            xerial,
            TRANSACTIONAL if producer > 0 else 0,
            offset,
            delta + draw(st.sampled_from([0, 0, 2])),
            producer=(producer, 0, 0),
        )
        batches.append(batch)
        offset += batch.last_delta + 1
        if producer > 0 and draw(st.booleans()):
            aborted.append((producer, batch.base_offset))
            batches.append(end_of_transaction(offset, producer))
            offset += 1
        offset += draw(st.sampled_from([0, 0, 4]))
    return Log(batches), aborted


@st.composite
def cases(draw: st.DrawFn) -> Case:
    made = [draw(logs()) for _ in range(draw(st.integers(1, 3)))]
    sizes = st.sampled_from([1, 100, 700, 2000, 6000, 10**6])
    places = [(number, offset) for number, (log, _) in enumerate(made) for offset, _, _ in log.records()]
    return Case(
        [log for log, _ in made],
        [aborted for _, aborted in made],
        draw(st.booleans()),
        draw(sizes),
        draw(sizes),
        [draw(st.integers(0, max(log.end, 1))) for log, _ in made],
        draw(st.dictionaries(st.sampled_from(places), st.sampled_from([2, ERROR, None]), max_size=2))
        if places
        else {},
    )


def is_aborted(batch: MadeBatch, aborted: Sequence[tuple[int, int]]) -> bool:
    return (batch.producer[0], batch.base_offset) in aborted


class Reading:
    """A consumer of a case, one answer after the other."""

    def __init__(self, case: Case, rules: Rules = RULES) -> None:
        self.case = case
        self.rules = rules
        self.places = list(case.starts)
        self.found: list[list[tuple[int, bytes | None]]] = [[] for _ in case.logs]
        self.errors: dict[int, int] = {}

    def answer(self) -> list[FetchedPartition]:
        """What the broker gives, by the consumer's own limits."""
        left = self.case.max_bytes
        given: list[FetchedPartition] = []
        for number, log in enumerate(self.case.logs):
            if number in self.errors:
                continue
            is_first = not any(one.records for one in given)
            room = min(left, self.case.partition_max_bytes)
            records = log.given(self.places[number], room, is_first)
            left -= len(records)
            aborted = aborted_field(
                [one for one in self.case.aborted[number] if log.marker(*one) >= self.places[number]]
            )
            given.append(FetchedPartition(number, 0, log.end, log.end, records, 0, aborted))
        return given

    def plan(self, given: Sequence[FetchedPartition]) -> Plan:
        wanted = [
            Wanted(
                one,
                "t",
                self.places[one.partition],
                self.case.partition_max_bytes,
                partial(Aborted.listed, 11, one.aborted) if self.case.skips else None,
            )
            for one in given
        ]
        failed = {("t", *place): code for place, code in self.case.failing.items()}
        return make_plan(wanted, self.case.max_bytes, self.rules, failed)

    def step(self) -> bool:
        """Ask once more; whether anything came of it."""
        before = list(self.places), dict(self.errors)
        plan = self.plan(self.answer())
        assert sum(blob.envelope.content_length for blob in plan.blobs if blob.is_small) <= self.rules.small
        envelopes = {blob.at: blob.envelope for blob in plan.blobs}
        total = 0
        for one in plan.partitions:
            records = written(one, envelopes)
            number = one.fetched.partition
            if one.error_code:
                assert not records
                self.errors[number] = one.error_code
            found, place = seen(records, self.places[number])
            size = len(records)
            if size and size > min(self.case.partition_max_bytes, self.case.max_bytes - total):
                assert not total, "only the first partition with records may have more than the limits"
                assert len(found) <= 1 or one.parts is None or not isinstance(one.parts[0], Rewritten)
            total += size
            self.found[number] += found
            self.places[number] = place
        return (self.places, self.errors) != before


class PlanTests(SynchronousTestCase):
    def expected(self, case: Case, number: int) -> list[tuple[int, bytes | None]]:
        """What the consumer sees of a partition, up to the first blob that cannot be given."""
        found: list[tuple[int, bytes | None]] = []
        for offset, made, batch in case.logs[number].records(case.starts[number]):
            if batch.attributes & 0x20:
                continue
            _, value, _ = made.record
            skipped = case.skips and is_aborted(batch, case.aborted[number])
            blob = None if skipped else self.blob(value)
            if blob is not None and (number, offset) in case.failing:
                if case.failing[number, offset] is not None:
                    break
                blob = None
            found.append((offset, value if blob is None else blob))
        return found

    def blob(self, value: bytes | None) -> bytes | None:
        if value is None or b"content_length" not in value or FORBIDDEN.encode() in value:
            return None
        size = int(value.split(b'"content_length":')[1].split(b",")[0])
        return blob_of(envelope(size)) if size <= MOST else None

    @given(cases())
    @settings(max_examples=150, deadline=None)
    def test_a_consumer_gets_everything_once_and_in_order_whatever_the_limits(self, case: Case) -> None:
        reading = Reading(case)
        while reading.step():
            pass
        for number, log in enumerate(case.logs):
            self.assertEqual(reading.found[number], self.expected(case, number))
            if number not in reading.errors:
                self.assertGreaterEqual(reading.places[number], min(log.end, case.starts[number]))
                self.assertGreaterEqual(reading.places[number], log.end)

    def plan_of(self, batches: Sequence[MadeBatch], failing: Mapping[tuple[int, int], int | None]) -> Plan:
        """The plan for one partition with these batches, by no limits."""
        reading = Reading(Case([Log(batches)], [[]], False, 10**6, 10**6, [0], failing))
        return reading.plan(reading.answer())

    def test_an_error_waits_until_what_is_before_it_was_given(self) -> None:
        value = envelope(10).to_bytes()
        first = MadeBatch([Made(0, 0, (b"k", b"plain", []))], base_offset=0)
        second = MadeBatch([Made(0, 0, (b"k", value, []))], base_offset=1)
        (partition,) = self.plan_of([first, second], {(0, 1): ERROR}).partitions
        self.assertEqual((partition.error_code, partition.parts), (0, [first.to_bytes()]))
        (partition,) = self.plan_of([second], {(0, 1): ERROR}).partitions
        self.assertEqual((partition.error_code, partition.parts), (ERROR, []))

    def test_an_answer_has_no_more_blobs_than_can_be_asked_for_in_time(self) -> None:
        value = envelope(0).to_bytes()
        records = [Made(number, 0, (b"k", value, [])) for number in range(2 * MOST_BLOBS)]
        batch = MadeBatch(records, base_offset=0)
        self.assertEqual(len(self.plan_of([batch], {}).blobs), MOST_BLOBS)
        gone = {(0, number): None for number in range(MOST_BLOBS)}
        self.assertEqual(len(self.plan_of([batch], gone).blobs), 0)

    def test_an_answer_ends_before_a_blob_that_is_not_to_be_got_any_more(self) -> None:
        records = [Made(number, 0, (b"k", envelope(number).to_bytes(), [])) for number in range(4)]
        fetched = FetchedPartition(0, 0, 9, 9, MadeBatch(records, base_offset=0).to_bytes())
        wanted = [Wanted(fetched, "t", 0, 10**6)] * 2
        plan = make_plan(wanted, 10**6, RULES, {("t", 0, 1): None}, got={("t", 0, 0), ("t", 0, 3)})
        self.assertEqual([blob.at[2] for blob in plan.blobs], [0])
        self.assertEqual([part.last.number for part in plan.rewritten], [1])
        self.assertEqual(plan.partitions[1].parts, [])

    def test_an_envelope_does_not_pass_where_a_broker_gives_more_than_was_asked_for(self) -> None:
        plain = MadeBatch([Made(0, 0, (b"k", bytes(1000), []))], base_offset=0).to_bytes()
        value = envelope(10).to_bytes()
        behind = MadeBatch([Made(0, 0, (b"k", value, []))], base_offset=1).to_bytes()
        for limit in (len(plain) - 1, len(plain), len(plain) + 1):
            for first, others in ((plain + plain + behind, []), (plain, [plain, behind]), (plain, [behind])):
                given = [FetchedPartition(0, 0, 9, 9, each) for each in (first, *others)]
                plan = make_plan([Wanted(one, "t", 0, 10**6) for one in given], limit, RULES)
                found = [written(one, {}) for one in plan.partitions]
                self.assertEqual(found, [plain, *[b"" for _ in others]])

    def test_a_batch_that_cannot_be_read_passes_as_it_is(self) -> None:
        good = envelope(10).to_bytes()
        batch = MadeBatch([Made(0, 0, (b"k", good, []))], base_offset=0).to_bytes()
        broken = batch[:-3] + b"???"
        fetched = FetchedPartition(0, 0, 9, 9, broken + batch)
        plan = make_plan([Wanted(fetched, "t", 0, 10**6)], 10**6, RULES)
        (partition,) = plan.partitions
        assert partition.parts is not None
        self.assertEqual(partition.parts[0], broken)
        self.assertIsInstance(partition.parts[1], Rewritten)

    def test_a_part_of_a_batch_at_the_end_is_left_out(self) -> None:
        batch = MadeBatch([Made(0, 0, (b"k", b"plain", []))], base_offset=0).to_bytes()
        value = envelope(10).to_bytes()
        cut = MadeBatch([Made(n, 0, (b"k", value, [])) for n in range(9)], base_offset=1).to_bytes()[:-5]
        fetched = FetchedPartition(0, 0, 9, 9, batch + cut)
        (partition,) = make_plan([Wanted(fetched, "t", 0, 10**6)], 10**6, RULES).partitions
        self.assertEqual((partition.error_code, partition.parts), (0, [batch]))
