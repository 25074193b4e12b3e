"""The question for the names of topics, read and answered by kafka-python's schemas."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.topic_ids import VERSION, names_request, names_told

IDS = [bytes([number]) * 16 for number in (1, 2, 3)]


def answered(*topics: tuple[int, str | None, bytes]) -> bytes:
    """An answer about topics: error code, name, id; from behind its correlation id."""
    Topic = MetadataResponse.MetadataResponseTopic
    partition = Topic.MetadataResponsePartition(
        version=VERSION,
        partition_index=0,
        leader_id=1,
        replica_nodes=[1, 2],
        isr_nodes=[1],
        offline_replicas=[2],
    )
    Broker = MetadataResponse.MetadataResponseBroker
    message = MetadataResponse(
        version=VERSION,
        brokers=[Broker(version=VERSION, node_id=1, host="kafka", port=9092, rack=None)],
        cluster_id="cluster",
        controller_id=1,
        topics=[
            Topic(
                version=VERSION, error_code=code, name=name, topic_id=UUID(bytes=id), partitions=[partition]
            )
            for code, name, id in topics
        ],
    )
    return b"\0" + bytes(message.encode(version=VERSION))


class TopicIdsTests(SynchronousTestCase):
    def test_the_question_names_topics_by_their_ids_and_creates_none(self) -> None:
        asked = MetadataRequest.decode(names_request(IDS), version=VERSION, header=True, framed=True)
        self.assertEqual([topic.topic_id.bytes for topic in asked.topics], IDS)
        self.assertEqual([topic.name for topic in asked.topics], [None] * 3)
        self.assertFalse(asked.allow_auto_topic_creation)

    def test_an_answer_tells_names_and_which_topics_are_not_there(self) -> None:
        body = answered((0, "photos", IDS[0]), (100, None, IDS[1]), (29, "secret", IDS[2]))
        self.assertEqual(names_told(body), {IDS[0]: "photos", IDS[1]: None, IDS[2]: None})

    def test_what_does_not_decode_tells_nothing(self) -> None:
        body = answered((0, "photos", IDS[0]))
        for end in range(len(body) - 1):
            self.assertIsNone(names_told(body[:end]), end)

    @given(st.binary(max_size=200))
    def test_no_bytes_break_it(self, data: bytes) -> None:
        names_told(data)
