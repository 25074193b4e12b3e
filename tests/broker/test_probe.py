"""What a check asks of brokers, where they answer otherwise than usual."""

from __future__ import annotations

import struct
from typing import Any

from kafka.protocol.admin import DescribeConfigsRequest, DescribeConfigsResponse
from twisted.internet.defer import Deferred

from lfsproxy.broker.probe import KafkaProbe
from lfsproxy.settings import Address
from lfsproxy.wire.apis import KafkaApi
from tests.broker.rig import ClientTestCase
from tests.kafka.brokers import Asked, BrokerSide

FIRST = Address("10.0.0.1", 9091)
TOPIC, BROKER = 2, 4


class LargestBatchTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.brokers.ranges[KafkaApi.DESCRIBE_CONFIGS] = (1, 4)
        self.asked_for: list[tuple[int, str]] = []
        self.probe = KafkaProbe(self.net, self.settings)
        self.addCleanup(self.close)

    def close(self) -> None:
        closed = Deferred.fromCoroutine(self.probe.close())
        self.net.flow()
        self.successResultOf(closed)

    def say(self, side: BrokerSide, asked: Asked) -> None:
        """Answer with 2000 bytes."""
        request = DescribeConfigsRequest.decode(asked.frame, version=asked.version, header=True, framed=True)
        Result: Any = DescribeConfigsResponse.DescribeConfigsResult
        results = []
        for one in request.resources:
            self.asked_for.append((one.resource_type, one.resource_name))
            entry = Result.DescribeConfigsResourceResult(
                version=asked.version, name=one.configuration_keys[0], value="2000"
            )
            results.append(Result(version=asked.version, error_code=0, configs=[entry]))
        answer = DescribeConfigsResponse(version=asked.version, results=results)
        tags = b"\0" if answer.flexible_version_q(asked.version) else b""
        side.say(struct.pack(">i", asked.correlation_id) + tags + bytes(answer.encode(version=asked.version)))

    def largest(self, topic: str | None) -> int | None:
        self.brokers.next(KafkaApi.DESCRIBE_CONFIGS, self.say)
        size: int | None = self.successResultOf(self.begin(self.probe.largest_batch(FIRST, topic)))
        return size

    def test_a_broker_is_asked_by_its_node_id(self) -> None:
        self.successResultOf(self.begin(self.probe.brokers(FIRST)))
        self.assertEqual(self.largest(None), 2000)
        self.assertEqual(self.asked_for, [(BROKER, "1")])

    def test_a_topic_may_be_asked_for_at_an_address_that_brokers_do_not_tell(self) -> None:
        self.brokers.nodes = {1: Address("10.9.9.9", 9091)}
        self.successResultOf(self.begin(self.probe.brokers(FIRST)))
        self.assertEqual(self.largest("demo"), 2000)
        self.assertEqual(self.asked_for, [(TOPIC, "demo")])

    def test_a_broker_without_a_node_id_is_not_asked(self) -> None:
        self.assertEqual((self.largest(None), self.asked_for), (None, []))
