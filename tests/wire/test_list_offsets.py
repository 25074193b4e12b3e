"""The question for a partition's next offset."""

from __future__ import annotations

from kafka.protocol.consumer import ListOffsetsRequest, ListOffsetsResponse
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.list_offsets import choose_version, decode_answer, encode_request


def answer(version: int, error_code: int, offset: int) -> bytes:
    """What follows the correlation id."""
    Topic = ListOffsetsResponse.ListOffsetsTopicResponse
    partition = Topic.ListOffsetsPartitionResponse(
        version=version, partition_index=3, error_code=error_code, timestamp=-1, offset=offset
    )
    message = ListOffsetsResponse(
        version=version, topics=[Topic(version=version, name="demo-topic", partitions=[partition])]
    )
    body: bytes = message.encode(version=version)
    return b"\0" + body if version >= 6 else body


class ListOffsetsTests(SynchronousTestCase):
    def test_the_highest_common_version_is_chosen(self) -> None:
        cases = [((1, 11), 7), ((0, 2), 2), ((0, 0), None), ((8, 11), None), (None, None)]
        for offered, expected in cases:
            self.assertEqual(choose_version(offered), expected)

    def test_the_latest_offset_is_asked_for(self) -> None:
        for version in range(1, 8):
            frame = encode_request(version, 5, "demo-topic", 3)
            asked = ListOffsetsRequest.decode(frame, version=version, header=True, framed=True)
            self.assertEqual(asked.header.correlation_id, 5)
            self.assertEqual(asked.topics[0].name, "demo-topic")
            partition = asked.topics[0].partitions[0]
            self.assertEqual((partition.partition_index, partition.timestamp), (3, -1))

    def test_the_offset_is_read(self) -> None:
        for version in range(1, 8):
            self.assertEqual(decode_answer(version, answer(version, 0, 42)), 42)

    def test_an_error_or_no_offset_is_none(self) -> None:
        for version in range(1, 8):
            self.assertIsNone(decode_answer(version, answer(version, 3, 42)))
            self.assertIsNone(decode_answer(version, answer(version, 0, -1)))
            for end in range(len(answer(version, 0, 42)) - 8):
                self.assertIsNone(decode_answer(version, answer(version, 0, 42)[:end]))

    def test_a_topic_name_that_is_not_utf8_can_be_asked_for(self) -> None:
        self.assertIn(b"?", encode_request(5, 1, "\udcff", 0))
