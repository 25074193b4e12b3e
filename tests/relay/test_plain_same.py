"""Whether requests pass unread or are looked into, the broker and the client get the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import cast
from unittest.mock import patch

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.codes import KafkaCode
from lfsproxy.relay.produce.held import HeldProduce
from lfsproxy.relay.producing import Producing
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import ReadBatch, batch, lfs, produce, produce_topics, read_batch, record
from tests.relay.rig import KIB, RelayTestCase

TOPICS = ("demo-topic",) * 6 + ("other",) * 2 + ("\udcff", "", "x" * 260)
THRESHOLD = 2 * KIB
_RANDOM = re.compile(r"(?<=-)[0-9a-f-]{32,36}")
"""Of a blob's key, behind its offset."""
_GUESSED = re.compile(r"\d+-[0-9a-f-]{32,36}")
"""With the offset, which is only a guess where the broker still holds answers."""


@attrs.frozen
class Act:
    """A request, with the topics and partitions of which the broker refuses the next batch; None is a moment
    in which all that was sent arrives, and all that is held goes on."""

    frame: bytes | None
    refused: Sequence[tuple[str, int]] = ()


class _Relay(RelayTestCase):
    overrides = {"offload_threshold": THRESHOLD}
    keeps_log = False

    def runTest(self) -> None:
        """It is run by others."""


@st.composite
def _batches(draw: st.DrawFn, is_plain: bool) -> bytes | None:
    sequence = draw(st.sampled_from((-1, -1, -1, 0, 1, 2)))
    producer, epoch = (-1, -1) if sequence < 0 else (7, draw(st.integers(0, 1)))
    count = draw(st.integers(1, 3))
    if is_plain:
        return batch(*[record(b"plain")] * count, producer=producer, epoch=epoch, sequence=sequence)
    kind = draw(st.sampled_from((record, lfs, lfs)))
    value = bytes(draw(st.sampled_from((0, 10, THRESHOLD + 1, 20 * KIB))))
    records = [kind(value), *[record(b"beside it")] * (count - 1)]
    fault = draw(st.sampled_from(("",) * 20 + ("null", "old", "broken", "short", "other bytes")))
    if fault == "null":
        return None
    if fault == "other bytes":
        records[0] = lfs(b"other bytes", mark=b"0" * 64)
    made = batch(
        *records,
        codec=draw(st.sampled_from((0, 0, 0, 1, 2, 3, 4))),
        magic=1 if fault == "old" else 2,
        producer=producer,
        epoch=epoch,
        sequence=sequence,
    )
    if fault == "broken":
        return made[:17] + bytes([made[17] ^ 1]) + made[18:]
    return made[:30] if fault == "short" else made


@st.composite
def _acts(draw: st.DrawFn) -> list[Act]:
    acts = []
    for number in range(1, draw(st.integers(4, 12))):
        if draw(st.booleans()):
            acts.append(Act(None))
        kind = draw(st.sampled_from(("plain", "marked", "any")))
        if kind == "marked":
            acts.append(Act(produce(number, batch(lfs(b"a blob")))))
            continue
        is_plain = kind == "plain"
        topics, refused = [], []
        for topic in draw(st.lists(st.sampled_from(TOPICS), min_size=1, max_size=2, unique=is_plain)):
            partitions = draw(st.lists(st.sampled_from((0, 0, 1)), min_size=1, max_size=2, unique=is_plain))
            records = [(each, draw(_batches(is_plain))) for each in partitions]
            topics.append(
                TopicRecords(
                    topic,
                    [PartitionRecords(each, None if data is None else [data]) for each, data in records],
                )
            )
            if draw(st.integers(0, 9)) == 0:
                refused.append((topic, partitions[0]))
        frame = produce_topics(
            number,
            topics,
            version=draw(st.sampled_from((3, 5, 8, 9, 9, 11, 12))),
            acks=draw(st.sampled_from((*(-1,) * 8, 1, 0))),
            transactional_id=draw(st.sampled_from((None, None, "transaction"))),
        )
        acts.append(Act(frame, refused))
    return [*acts, Act(None)]


def _read_what_is_whole(data: bytes) -> ReadBatch:
    """The broker of these tests takes what is broken, too."""
    try:
        return read_batch(data)
    except AssertionError:
        return ReadBatch(0, 0, 0, 0, -1, -1, -1, [])


def _seen(open_: re.Pattern[str], topic: str, partition: int, data: bytes | None) -> tuple[str, int, object]:
    """A batch as it came, or without what is ``open_`` in its envelopes."""
    found = None if data is None or len(data) < 61 else _read_what_is_whole(data)
    if found is None or not found.envelopes:
        return topic, partition, data
    values = [open_.sub("*", (each.value or b"").decode("latin-1")) for each in found.records]
    return topic, partition, (values, attrs.evolve(found, records=[]))


def _run(relay: _Relay, acts: Sequence[Act], cuts: Sequence[int], is_held: bool) -> object:
    """What the broker got, and the client."""
    relay.setUp()
    relay.cluster.ranges = [(key, low, high if key else 12) for key, low, high in relay.cluster.ranges]
    client = relay.client()
    data = b""
    for act in acts:
        for topic, partition in act.refused:
            relay.cluster.fail_next(KafkaCode.REQUEST_TIMED_OUT, topic, partition)
        if act.frame is not None:
            data += act.frame
            continue
        if is_held:
            relay.store.hold("commit")
            relay.cluster.held = True
        ends = sorted({cut for cut in cuts if cut < len(data)} | {len(data)})
        for start, end in zip([0, *ends], ends, strict=False):
            if client.is_open:
                client.send(data[start:end])
        data = b""
        relay.let_go("commit")
        while any(each.pending for each in relay.cluster.connections):
            relay.answer()
    open_ = _GUESSED if is_held else _RANDOM
    requests = [
        (each.version, each.info, each.end, [_seen(open_, *one) for one in each.batches()])
        for each in relay.cluster.produced
    ]
    outcome = requests, client.replies, client.is_open, sorted(relay.blobs)
    relay.check_nothing_is_left()
    return outcome


class SameTests(SynchronousTestCase):
    def outcome(self, acts: Sequence[Act], cuts: Sequence[int], is_held: bool, is_quick: bool) -> object:
        relay = _Relay()
        with ExitStack() as stack:
            stack.enter_context(patch("tests.relay.broker.read_batch", _read_what_is_whole))
            for name in () if is_quick else ("pass_small", "_pass"):
                stack.enter_context(patch.object(Producing, name, lambda *arguments: False))
            stack.callback(lambda: globalLogPublisher.removeObserver(cast(ILogObserver, relay._observe)))
            return _run(relay, acts, cuts, is_held)

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(acts=_acts(), cuts=st.lists(st.integers(1, 6000), max_size=6), is_held=st.booleans())
    def test_unread_or_not(self, acts: list[Act], cuts: list[int], is_held: bool) -> None:
        quick = self.outcome(acts, cuts, is_held, is_quick=True)
        self.assertEqual(quick, self.outcome(acts, cuts, is_held, is_quick=False))

    def test_many_of_them_do_pass_unread(self) -> None:
        looked_into: list[HeldProduce] = []
        run = HeldProduce.run

        async def note(work: HeldProduce) -> None:
            looked_into.append(work)
            await run(work)

        self.patch(HeldProduce, "run", note)
        plain = [TopicRecords("other", [PartitionRecords(0, [batch(record(b"plain"))])])]
        marked = [TopicRecords("demo-topic", [PartitionRecords(0, [batch(lfs(b"a blob"))])])]
        acts = [Act(produce_topics(1, marked)), Act(None), Act(produce_topics(2, plain)), Act(None)]
        quick = self.outcome(acts, (), False, is_quick=True)
        self.assertEqual(len(looked_into), 1)
        self.assertEqual(quick, self.outcome(acts, (), False, is_quick=False))
        self.assertEqual(len(looked_into), 3)
