"""The proxy's questions about topics, against kafka-python's codec."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.metadata import VERSION, TopicState, metadata_request, topic_state

Broker: Any = MetadataResponse.MetadataResponseBroker
Topic: Any = MetadataResponse.MetadataResponseTopic


def answer(*topics: tuple[str, int, int]) -> bytes:
    """About topics: name, error code, number of partitions."""
    found = [
        Topic(
            version=VERSION,
            error_code=code,
            name=name,
            is_internal=False,
            partitions=[
                Topic.MetadataResponsePartition(
                    version=VERSION,
                    error_code=5,
                    partition_index=count - 1 - index,
                    leader_id=1,
                    replica_nodes=[1, 2],
                    isr_nodes=[1],
                    offline_replicas=[2],
                )
                for index in range(count)
            ],
        )
        for name, code, count in topics
    ]
    brokers = [Broker(version=VERSION, node_id=node, host="h", port=1, rack=None) for node in (1, 2)]
    message: Any = MetadataResponse(
        version=VERSION, brokers=brokers, cluster_id="c", controller_id=1, topics=found
    )
    return bytes(message.encode(version=VERSION))


class TopicTests(SynchronousTestCase):
    def test_the_question(self) -> None:
        asked: Any = MetadataRequest.decode(
            metadata_request("orders"), version=VERSION, header=True, framed=True
        )
        self.assertEqual([topic.name for topic in asked.topics], ["orders"])
        self.assertFalse(asked.allow_auto_topic_creation)

    def test_the_question_about_none(self) -> None:
        asked: Any = MetadataRequest.decode(metadata_request(), version=VERSION, header=True, framed=True)
        self.assertEqual(asked.topics, [])

    def test_the_answer(self) -> None:
        body = answer(("other", 0, 1), ("orders", 0, 3), ("none", 3, 0))
        self.assertEqual(topic_state(body, "orders"), TopicState(0, 3))
        self.assertEqual(topic_state(body, "none"), TopicState(3, 0))
        self.assertIsNone(topic_state(body, "missing"))

    @given(st.integers(0, 200), st.binary(max_size=8))
    def test_what_does_not_decode_says_nothing(self, cut: int, noise: bytes) -> None:
        body = answer(("orders", 0, 3))
        self.assertIn(topic_state(body[:cut] + noise, "orders"), (None, TopicState(0, 3), TopicState(0, 2)))
