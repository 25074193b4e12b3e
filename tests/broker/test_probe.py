"""What ``lfsproxy check`` asks brokers, whatever addresses they tell of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka.protocol.admin import DescribeConfigsResponse
from twisted.internet.defer import Deferred

from lfsproxy.broker.probe import DESCRIBE_CONFIGS, KafkaProbe
from lfsproxy.kafka.messages import Api, Build
from lfsproxy.settings import Address
from tests.broker.rig import ClientTestCase

BOOTSTRAP = Address("10.0.0.1", 9091)
NAMED = Address("kafka-1.internal", 9092)


class Connection:
    """To a broker that knows DescribeConfigs."""

    ranges: Mapping[int, tuple[int, int]] = {DESCRIBE_CONFIGS.key: (1, 4)}

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []

    async def ask(self, api: Api, build: Build) -> Any:
        [resource] = build(4)["resources"]
        self.asked.append((resource.resource_type, resource.resource_name))
        Result = DescribeConfigsResponse.DescribeConfigsResult
        entry = Result.DescribeConfigsResourceResult(
            version=4, name=resource.configuration_keys[0], value="2000"
        )
        return DescribeConfigsResponse(version=4, results=[Result(version=4, error_code=0, configs=[entry])])


class LargestBatchTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.probe = KafkaProbe(self.net, self.settings)
        self.connection = Connection()

        async def get(address: Address) -> Connection:
            return self.connection

        self.patch(self.probe._pool, "get", get)
        self.patch(self.probe, "_nodes", {NAMED: 1})

    def largest(self, address: Address, topic: str | None) -> int | None:
        asking: Deferred[int | None] = self.begin(self.probe.largest_batch(address, topic))
        return self.successResultOf(asking)

    def test_a_topics_is_asked_for_at_an_address_that_no_broker_tells(self) -> None:
        self.assertEqual(self.largest(BOOTSTRAP, "demo"), 2000)
        self.assertEqual(self.connection.asked, [(2, "demo")])

    def test_a_brokers_own_is_asked_for_at_its_own_address_only(self) -> None:
        self.assertEqual(self.largest(NAMED, None), 2000)
        self.assertIsNone(self.largest(BOOTSTRAP, None))
        self.assertEqual(self.connection.asked, [(4, "1")])
