"""Produce answers: against kafka-python's codec, and merged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.producer import ProduceResponse as TheirResponse
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.wire.answers import NodeEndpoint, PartitionAnswer, ProduceResponse, merge_answers

int64 = st.integers(-1, 2**63 - 1)
int32 = st.integers(-1, 2**31 - 1)
message = st.none() | st.text(max_size=10)


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, ProduceResponse]:
    """A version, and an answer with what this version can say."""
    version = draw(st.integers(0, 12))
    partition = st.builds(
        PartitionAnswer,
        st.sampled_from(["a", "b", "töpic"]),
        int32,
        st.integers(-1, 120),
        int64,
        int64 if version >= 2 else st.just(-1),
        int64 if version >= 5 else st.just(-1),
        st.lists(st.tuples(int32, message), max_size=2) if version >= 8 else st.just([]),
        message if version >= 8 else st.none(),
        st.none() | st.tuples(int32, int32) if version >= 10 else st.none(),
    )
    endpoint = st.builds(NodeEndpoint, int32, st.text(max_size=10), int32, message, st.just([]))
    partitions = sorted(draw(st.lists(partition, max_size=4)), key=lambda found: found.topic)
    return version, ProduceResponse(
        [attrs_with_lists(found) for found in partitions],
        draw(int32) if version >= 1 else 0,
        draw(st.lists(endpoint, max_size=2)) if version >= 10 else [],
        [],
    )


def attrs_with_lists(answer: PartitionAnswer) -> PartitionAnswer:
    return PartitionAnswer(
        answer.topic,
        answer.partition,
        answer.error_code,
        answer.base_offset,
        answer.log_append_time_ms,
        answer.log_start_offset,
        list(answer.record_errors),
        answer.error_message,
        answer.current_leader,
        [],
    )


class CodecTests(SynchronousTestCase):
    @given(answers())
    def test_an_answer_survives_encoding(self, case: tuple[int, ProduceResponse]) -> None:
        version, answer = case
        data = answer.encode(version, 5)
        self.assertEqual(int.from_bytes(data[:4], "big"), len(data) - 4)
        self.assertEqual(ProduceResponse.decode(version, data[8:]), answer)

    @given(answers())
    def test_encoding_is_that_of_kafka_python(self, case: tuple[int, ProduceResponse]) -> None:
        version, answer = case
        data = answer.encode(version, 5)
        theirs = TheirResponse.decode(data, version=version, header=True, framed=True)
        self.assertEqual(theirs.encode(header=True, framed=True), data)

    @given(answers(), st.data())
    def test_mutations_give_an_answer_or_a_framing_error(
        self, case: tuple[int, ProduceResponse], data: st.DataObject
    ) -> None:
        version, answer = case
        body = bytearray(answer.encode(version, 5)[8:])
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        try:
            ProduceResponse.decode(version, bytes(body))
        except FramingError:
            return

    def test_unknown_tagged_fields_stay(self) -> None:
        answer = ProduceResponse(
            [PartitionAnswer("t", 0, tags=[(7, b"x")])],
            0,
            [NodeEndpoint(1, "h", 9, None, [(3, b"z")])],
            [(8, b"y")],
        )
        data = answer.encode(10, 1)
        self.assertEqual(ProduceResponse.decode(10, data[8:]).encode(10, 1), data)


class MergeTests(SynchronousTestCase):
    def test_merging_keeps_every_partition_and_the_highest_throttle(self) -> None:
        a, b, c = PartitionAnswer("t", 0), PartitionAnswer("u", 0), PartitionAnswer("t", 1)
        merged = merge_answers([ProduceResponse([a], 5), ProduceResponse([b], 9), ProduceResponse([c], 7)])
        self.assertEqual(merged.partitions, [a, b, c])
        self.assertEqual(merged.throttle_ms, 9)

    def test_merging_follows_the_order_of_the_request(self) -> None:
        a, b = PartitionAnswer("t", 0), PartitionAnswer("u", 0)
        merged = merge_answers([ProduceResponse([b]), ProduceResponse([a])], [("t", 0), ("u", 0)])
        self.assertEqual(merged.partitions, [a, b])

    def test_each_endpoint_is_named_once(self) -> None:
        one, two = NodeEndpoint(1, "a", 1), NodeEndpoint(2, "b", 2)
        merged = merge_answers([ProduceResponse([], 0, [one]), ProduceResponse([], 0, [one, two])])
        self.assertEqual(merged.node_endpoints, [one, two])
