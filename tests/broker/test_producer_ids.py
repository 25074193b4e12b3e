"""Publishing over scripted brokers that have no idempotent producers, or not all of them, or not any more."""

from __future__ import annotations

from lfsproxy.broker.seconds import PUBLISH_SECONDS
from lfsproxy.errors import BrokerRefused, OutcomeUnknown
from lfsproxy.wire.apis import KafkaApi
from tests.broker.rig import ClientTestCase, Held
from tests.kafka import acts as act
from tests.kafka.brokers import Asked, BrokerSide

PRODUCE = KafkaApi.PRODUCE


class WithoutIdsTests(ClientTestCase):
    """A broker that does not offer InitProducerId."""

    def setUp(self) -> None:
        super().setUp()
        self.brokers.ranges[KafkaApi.INIT_PRODUCER_ID] = (-1, -1)

    def test_a_record_is_published_without_an_id(self) -> None:
        self.published()
        self.assertEqual(self.brokers.logs["demo", 0].producers, {})

    def test_what_was_sent_is_not_sent_again(self) -> None:
        for lost, kind in (
            (act.gone_after, OutcomeUnknown),
            (act.gone, OutcomeUnknown),
            (act.code(6), OutcomeUnknown),
            (act.code(19), BrokerRefused),
        ):
            asked = self.brokers.count(PRODUCE)
            self.brokers.next(PRODUCE, lost)
            publishing = self.publish()
            self.net.pass_seconds(1)
            self.failureResultOf(publishing, kind)
            self.assertEqual(self.brokers.count(PRODUCE), asked + 1)

    def test_one_batch_is_on_its_way_at_a_time(self) -> None:
        held = Held(self)
        publishing = [self.publish() for _ in range(3)]
        self.assertEqual(self.brokers.count(PRODUCE), 1)
        held.let_go()
        self.assertEqual([self.successResultOf(each).offset for each in publishing], [0, 1, 2])

    def test_it_may_learn_to(self) -> None:
        self.published()
        self.brokers.ranges[KafkaApi.INIT_PRODUCER_ID] = (0, 4)
        for end in self.brokers.open:
            end.hang_up()
        self.net.flow()
        self.published()
        self.assertEqual(len(self.brokers.logs["demo", 0].producers), 1)


class MixedTests(ClientTestCase):
    def test_what_has_left_with_an_id_goes_to_no_broker_that_would_write_it_twice(self) -> None:
        def gone_after(side: BrokerSide, asked: Asked) -> None:
            act.gone_after(side, asked)
            self.brokers.ranges[KafkaApi.INIT_PRODUCER_ID] = (-1, -1)

        self.brokers.next(PRODUCE, gone_after)
        publishing = self.publish()
        self.net.pass_seconds(PUBLISH_SECONDS + 1)
        self.failureResultOf(publishing, OutcomeUnknown)
        self.assertEqual(self.brokers.count(PRODUCE), 1)
