"""Any faults in any order, over whole connections: what is said of each record is so."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.client import kafka_client
from lfsproxy.errors import BrokerRefused, BrokerUnavailable, OutcomeUnknown
from lfsproxy.interfaces import Published
from lfsproxy.settings import Address, Settings
from lfsproxy.wire.apis import KafkaApi
from tests.kafka import acts as act
from tests.kafka.brokers import Act, BrokerNet, Brokers

FAULTS: list[Act | None] = [
    None,
    act.gone,
    act.gone_after,
    act.half_said,
    act.garbage,
    act.other_question,
    act.twice,
    act.silent,
    act.two_gigabytes,
]
PRODUCE_FAULTS = [*FAULTS, *map(act.code, (6, 10, 19, 45, 87, -1)), *map(act.code_after, (0, 7, 46))]
FAULT = st.sampled_from(range(len(PRODUCE_FAULTS)))
STEPS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from([0, 1]), st.lists(FAULT, max_size=3)),
    st.tuples(st.just("publish"), st.just(0), st.lists(FAULT, min_size=1, max_size=3)),
    st.tuples(st.just("other fault"), st.sampled_from(range(len(FAULTS))), st.just([])),
    st.tuples(st.just("cancel"), st.sampled_from(range(9)), st.just([])),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 12]), st.just([])),
    st.tuples(st.just("move"), st.sampled_from([1, 2]), st.just([])),
    st.tuples(st.just("hang"), st.sampled_from([9091, 9092]), st.just([])),
    st.tuples(st.sampled_from(["go on", "hang up"]), st.just(0), st.just([])),
)


class World:
    """A client, its brokers, and what was said of each value."""

    def __init__(self, idempotent: bool) -> None:
        self.brokers = Brokers()
        if not idempotent:
            self.brokers.ranges[KafkaApi.INIT_PRODUCER_ID] = (-1, -1)
        self.net = BrokerNet(self.brokers)
        given: Any = {"kafka_brokers": (Address("10.0.0.1", 9091), Address("10.0.0.2", 9092))}
        self.client = kafka_client(self.net, Settings(**given))
        self.publishing: list[Any] = []
        self.said: dict[bytes, tuple[int, Any]] = {}

    def step(self, what: str, number: int, faults: list[int]) -> None:
        self.brokers.next(KafkaApi.PRODUCE, *[PRODUCE_FAULTS[each] for each in faults])
        match what:
            case "publish":
                self.publish(number)
            case "other fault":
                for api in (KafkaApi.METADATA, KafkaApi.INIT_PRODUCER_ID, KafkaApi.API_VERSIONS):
                    self.brokers.next(api, FAULTS[number])
            case "cancel" if number < len(self.publishing):
                self.publishing[number].cancel()
            case "wait":
                self.net.pass_seconds(number, 0.5)
            case "move":
                self.brokers.logs["demo", 0].leader = number
            case "hang":
                self.brokers.hung.add(number)
            case "go on":
                self.brokers.hung.clear()
            case "hang up":
                for end in self.brokers.open:
                    end.hang_up()
        self.net.flow()

    def publish(self, partition: int) -> None:
        value = b"%d" % len(self.publishing)
        publishing = self.client.publisher.publish("demo", partition, None, value, [], 1000)

        def said(result: Any) -> None:
            self.said[value] = partition, getattr(result, "value", result)

        self.publishing.append(Deferred.fromCoroutine(publishing).addBoth(said))

    def check(self) -> None:
        """What was said is so."""
        for value, (partition, result) in self.said.items():
            values = self.brokers.logs["demo", partition].values
            if isinstance(result, Published):
                assert values[result.offset] == value and values.count(value) == 1, (value, result, values)
            elif isinstance(result, BrokerRefused | BrokerUnavailable):
                assert value not in values, (value, result, values)
            else:
                assert values.count(value) <= 1, (value, result, values)
                assert isinstance(result, OutcomeUnknown | CancelledError), result


class ChaosTests(SynchronousTestCase):
    @given(st.booleans(), st.lists(STEPS, max_size=25))
    @settings(max_examples=100, deadline=None)
    def test_what_is_said_is_true(self, idempotent: bool, steps: list[tuple[str, int, list[int]]]) -> None:
        world = World(idempotent)
        for step in steps:
            world.step(*step)
            world.check()
        world.net.pass_seconds(50, 1.0)
        world.check()
        self.assertEqual(len(world.said), len(world.publishing))
        world.brokers.answers.clear()
        world.brokers.hung.clear()
        world.net.pass_seconds(12, 1.0)
        world.publish(0)
        world.net.pass_seconds(3)
        self.assertIsInstance(world.said[b"%d" % (len(world.publishing) - 1)][1], Published)
        stopped = Deferred.fromCoroutine(world.client.stop())
        world.net.flow()
        self.successResultOf(stopped)
        self.assertEqual([wire for wire in world.net.wires if wire.open], [])
        self.assertEqual(world.net.getDelayedCalls(), [])
