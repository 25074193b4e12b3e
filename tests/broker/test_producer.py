"""Publishing over scripted brokers: answers lost, late, repeated or wrong; leaders and brokers that go."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from lfsproxy.broker import producer
from lfsproxy.broker.seconds import ALIVE_SECONDS, METADATA_SECONDS, PUBLISH_SECONDS, RETRY_SECONDS
from lfsproxy.errors import (
    BrokerInvalid,
    BrokerTooLarge,
    BrokerUnavailable,
    Draining,
    LfsError,
    NotAuthorised,
    OutcomeUnknown,
    UnknownTopic,
)
from lfsproxy.interfaces import Published
from lfsproxy.settings import Address
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.batch import parse_batch_header
from tests.broker.rig import ClientTestCase, Held
from tests.kafka import acts as act
from tests.kafka.brokers import Act, Asked, BrokerSide, Log

PRODUCE = KafkaApi.PRODUCE


class PublishTests(ClientTestCase):
    def values(self, partition: int = 0) -> list[bytes | None]:
        return self.brokers.logs["demo", partition].values

    def test_records_of_a_partition_follow_each_other(self) -> None:
        self.assertEqual([self.published(value) for value in (b"a", b"b", b"c")], [0, 1, 2])
        self.assertEqual(self.values(), [b"a", b"b", b"c"])
        self.assertEqual(self.brokers.count(KafkaApi.INIT_PRODUCER_ID), 1)

    def test_each_partition_goes_to_its_leader(self) -> None:
        self.published(b"a", 0)
        self.published(b"b", 1)
        self.assertEqual((self.brokers.count(PRODUCE, 9091), self.brokers.count(PRODUCE, 9092)), (1, 1))

    def test_what_waits_goes_together(self) -> None:
        held = Held(self)
        publishing = [self.publish(b"%d" % number) for number in range(10)]
        held.let_go()
        self.assertEqual([self.successResultOf(each).offset for each in publishing], list(range(10)))
        self.assertEqual(self.brokers.count(PRODUCE), 2)

    def test_a_topic_is_asked_for_once_in_a_while(self) -> None:
        for _ in range(5):
            self.published()
        self.assertEqual(self.brokers.count(KafkaApi.METADATA), 1)

    def test_a_broker_that_was_not_heard_lately_is_asked_first(self) -> None:
        self.published()
        self.net.pass_seconds(ALIVE_SECONDS + 0.5)
        self.brokers.hung = {9091}
        publishing = self.publish()
        self.net.pass_seconds(METADATA_SECONDS)
        self.failureResultOf(publishing, BrokerUnavailable)
        self.assertEqual(self.brokers.count(PRODUCE), 1)
        self.brokers.hung = set()
        publishing = self.publish()
        self.net.pass_seconds(5)
        self.assertEqual(self.successResultOf(publishing).offset, 1)

    def test_a_connection_that_has_silently_gone_costs_nothing(self) -> None:
        self.published()
        self.net.pass_seconds(ALIVE_SECONDS + 0.5)
        self.brokers.next(KafkaApi.METADATA, act.gone)
        publishing = self.publish()
        self.net.pass_seconds(RETRY_SECONDS)
        self.assertEqual(self.successResultOf(publishing).offset, 1)


class FaultTests(ClientTestCase):
    def outcome(self, *acts: Act | None, seconds: float = 31) -> Published | LfsError:
        """What becomes of a record whose batches are answered so."""
        self.brokers.next(PRODUCE, *acts)
        publishing = self.publish(b"record")
        self.net.pass_seconds(seconds)
        results: list[Any] = []
        publishing.addBoth(results.append)
        self.assertEqual(len(results), 1, "no outcome yet")
        return results[0] if isinstance(results[0], Published) else results[0].value

    def assert_published_once(self, *acts: Act | None) -> None:
        found = self.outcome(*acts)
        assert isinstance(found, Published), found
        values = self.brokers.logs["demo", 0].values
        self.assertEqual((values.count(b"record"), values[found.offset]), (1, b"record"))

    def test_a_lost_connection_before_or_after_the_append(self) -> None:
        for lost in (act.gone, act.gone_after, act.half_said, act.garbage, act.other_question, act.twice):
            with self.subTest(lost.__name__):
                self.brokers.logs["demo", 0] = Log(1)
                self.assert_published_once(lost)
                self.assert_alive()

    def assert_alive(self) -> None:
        publishing = self.publish(b"next")
        self.net.pass_seconds(1)
        self.successResultOf(publishing)

    def test_an_answer_of_two_gigabytes_is_not_taken(self) -> None:
        self.assert_published_once(act.two_gigabytes)

    def test_codes_that_pass(self) -> None:
        for number in (3, 5, 6, 7, 19, 20, 56, 74):
            self.brokers.logs["demo", 0] = Log(1)
            self.assert_published_once(act.code(number), act.code_after(number), act.code(number))

    def test_a_silent_broker_is_asked_again(self) -> None:
        self.assert_published_once(act.silent)

    def test_an_id_that_the_broker_does_not_know(self) -> None:
        for number in (45, 47, 59):
            self.assert_published_once(act.code(number))
            self.brokers.logs["demo", 0] = Log(1)

    def test_trouble_with_the_id_after_a_lost_answer_is_unknown(self) -> None:
        self.assertIsInstance(self.outcome(act.gone_after, act.code(45)), OutcomeUnknown)
        self.assert_alive()

    def test_a_duplicate_without_its_offset_is_looked_for(self) -> None:
        for first in (act.code_after(46), act.code_after(0)):
            self.brokers.logs["demo", 0] = Log(1)
            self.published(b"before")
            self.assert_published_once(first)

    def test_a_record_without_an_offset_that_is_not_found_is_unknown(self) -> None:
        self.assertIsInstance(self.outcome(act.code(0)), OutcomeUnknown)

    def test_refusals(self) -> None:
        for number, kind in ((10, BrokerTooLarge), (87, BrokerInvalid), (29, NotAuthorised)):
            error = self.outcome(act.code(number, "the broker's words"))
            self.assertIsInstance(error, kind)
            self.assertIn("the broker's words", str(error))
        self.assertEqual(self.brokers.logs["demo", 0].values, [])
        self.assertEqual(self.brokers.count(KafkaApi.INIT_PRODUCER_ID), 1)

    def test_a_refusal_after_a_lost_answer_says_nothing_of_what_was_lost(self) -> None:
        self.assert_published_once(act.gone_after, act.code(10))
        self.assertIsInstance(self.outcome(act.gone, act.code(10), act.code(10)), OutcomeUnknown)
        self.assert_alive()

    def test_when_no_answer_ever_comes_it_is_unknown_in_time(self) -> None:
        self.brokers.next(PRODUCE, *[act.silent] * 9)
        publishing = self.publish()
        self.net.pass_seconds(PUBLISH_SECONDS - 0.5)
        self.assertNoResult(publishing)
        self.net.pass_seconds(1)
        self.failureResultOf(publishing, OutcomeUnknown)
        # What it was written to is closed: nothing leaves later.
        self.assertEqual(len([end for end in self.brokers.open if end.port == 9091]), 1)
        asked = self.brokers.count(PRODUCE)
        self.net.pass_seconds(20)
        self.assertEqual(self.brokers.count(PRODUCE), asked)
        self.brokers.answers.clear()

    def test_no_replicas_for_good_is_a_refusal(self) -> None:
        error = self.outcome(*[act.code(19)] * 200)
        self.assertIn("NOT_ENOUGH_REPLICAS", str(error))
        self.assertNotIsInstance(error, OutcomeUnknown)
        self.brokers.answers.clear()

    def test_records_behind_a_stuck_one_are_not_sent_and_say_so(self) -> None:
        self.brokers.next(PRODUCE, *[act.silent] * 9)
        stuck, behind = self.publish(b"stuck"), self.publish(b"behind")
        self.net.pass_seconds(METADATA_SECONDS + 0.5)
        self.assertNoResult(stuck)
        self.failureResultOf(behind, BrokerUnavailable)
        self.net.pass_seconds(PUBLISH_SECONDS)
        self.failureResultOf(stuck, OutcomeUnknown)
        self.brokers.answers.clear()

    def test_one_partition_s_trouble_is_not_another_s(self) -> None:
        self.published(b"before", 1)
        self.net.pass_seconds(7)
        self.brokers.hung = {9091}
        stuck = self.publish(b"stuck", 0)
        self.net.pass_seconds(0.5)
        well = self.publish(b"well", 1)
        self.net.pass_seconds(0.5)
        self.successResultOf(well)
        self.net.pass_seconds(METADATA_SECONDS)
        self.failureResultOf(stuck, BrokerUnavailable)
        self.brokers.hung = set()

    def test_one_refused_record_leaves_the_others(self) -> None:
        def no_odd_ones(side: BrokerSide, asked: Asked) -> None:
            _, _, data = self.brokers.batch_of(asked)
            refused = parse_batch_header(data).count > 1 or b"odd" in data
            (act.code(87) if refused else lambda side, asked: side.say(self.brokers.answer(asked)))(
                side, asked
            )

        held = Held(self)
        self.brokers.next(PRODUCE, *[no_odd_ones] * 4)
        first, *rest = [self.publish(value) for value in (b"first", b"even", b"odd", b"even")]
        held.let_go()
        self.successResultOf(first)
        self.assertEqual([type(self.result(each)) for each in rest], [Published, BrokerInvalid, Published])

    def result(self, publishing: Deferred[Any]) -> Any:
        results: list[Any] = []
        publishing.addBoth(lambda result: results.append(getattr(result, "value", result)))
        return results[0]


class MovingTests(ClientTestCase):
    def test_a_leader_that_moved(self) -> None:
        self.published()
        self.brokers.logs["demo", 0].leader = 2
        publishing = self.publish()
        self.net.pass_seconds(2 * RETRY_SECONDS)
        self.assertEqual(self.successResultOf(publishing).offset, 1)
        self.assertEqual(self.brokers.count(PRODUCE, 9092), 1)

    def test_a_broker_at_another_port(self) -> None:
        self.published()
        self.brokers.down = {9091}
        self.brokers.nodes[1] = Address("10.0.0.9", 9099)
        for end in self.brokers.open:
            end.hang_up()
        self.net.flow()
        publishing = self.publish()
        self.net.pass_seconds(1)
        self.assertEqual(self.successResultOf(publishing).offset, 1)

    def test_a_broker_that_is_back(self) -> None:
        self.brokers.down = {9091, 9092}
        publishing = self.publish()
        self.net.pass_seconds(5)
        self.assertNoResult(publishing)
        self.brokers.down = set()
        self.net.pass_seconds(1)
        self.successResultOf(publishing)

    def test_all_brokers_away(self) -> None:
        self.brokers.down = {9091, 9092}
        publishing = self.publish()
        self.net.pass_seconds(METADATA_SECONDS + 0.5)
        error = self.failureResultOf(publishing, BrokerUnavailable).value
        self.assertIn("connection refused", str(error))
        self.assertEqual(error.http_status, 503)

    def test_a_partition_without_a_leader(self) -> None:
        self.published()
        self.net.pass_seconds(6)
        self.brokers.logs["demo", 0].leader = -1
        publishing = self.publish()
        self.net.pass_seconds(METADATA_SECONDS + 0.5)
        self.assertIn("no leader", str(self.failureResultOf(publishing, BrokerUnavailable).value))

    def test_a_topic_that_is_created_for_a_record(self) -> None:
        publishing = self.publish(topic="new")
        self.assertEqual(self.successResultOf(publishing).offset, 0)
        self.assertEqual(self.brokers.created, ["new"])

    def test_a_topic_that_is_not(self) -> None:
        self.brokers.creates = False
        publishing = self.publish(topic="new")
        self.net.pass_seconds(5)
        self.failureResultOf(publishing, UnknownTopic)

    def test_a_topic_that_was_made_anew(self) -> None:
        for _ in range(3):
            self.published()
        self.brokers.logs["demo", 0] = Log(1)
        self.assertEqual(self.published(), 0)
        self.assertEqual(self.successResultOf(self.begin(self.publisher.next_offset("demo", 0))), 1)

    def test_throttling_is_respected(self) -> None:
        self.brokers.throttle_ms = 700
        self.published()
        publishing = self.publish()
        self.net.pass_seconds(0.5)
        self.assertEqual(self.brokers.count(PRODUCE), 1)
        self.net.pass_seconds(0.5)
        self.successResultOf(publishing)
        self.brokers.throttle_ms = 0
        self.net.pass_seconds(1)


class CancelTests(ClientTestCase):
    def cancel(self, publishing: Deferred[Any]) -> None:
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)

    def test_a_record_that_has_not_left_never_does(self) -> None:
        held = Held(self)
        first, second = self.publish(b"first"), self.publish(b"second")
        self.cancel(second)
        held.let_go()
        self.successResultOf(first)
        self.assertEqual(self.brokers.logs["demo", 0].values, [b"first"])

    def test_one_that_has_is_dropped_and_the_next_goes_on(self) -> None:
        held = Held(self)
        self.cancel(self.publish(b"first"))
        second = self.publish(b"second")
        held.let_go()
        self.assertEqual(self.successResultOf(second).offset, 1)

    def test_every_step_may_be_the_last(self) -> None:
        for api in (KafkaApi.API_VERSIONS, KafkaApi.METADATA, KafkaApi.INIT_PRODUCER_ID):
            self.setUp()
            self.brokers.next(api, act.silent)
            publishing = self.publish(b"cancelled")
            self.cancel(publishing)
            self.net.pass_seconds(METADATA_SECONDS)
            self.assertEqual(self.brokers.logs["demo", 0].values, [])
            self.published(b"next")

    def test_a_stop_waits_for_what_is_published(self) -> None:
        held = Held(self)
        publishing = self.publish()
        stopping = self.begin(self.client.stop())
        self.assertNoResult(stopping)
        self.failureResultOf(self.publish(), Draining)
        held.let_go()
        self.successResultOf(publishing)
        self.successResultOf(stopping)

    def test_more_than_there_is_memory_for_is_refused(self) -> None:
        held = Held(self)
        publishing = [self.publish(bytes(4 * 1024 * 1024)) for _ in range(9)]
        refused = [each for each in publishing if each.called]
        self.assertEqual(len(refused), 2)
        for each in refused:
            self.failureResultOf(each, BrokerUnavailable)
        held.let_go()
        self.published()

    def test_partitions_that_are_not_used_are_forgotten(self) -> None:
        self.patch(producer, "KNOWN_LANES", 2)
        for number in range(5):
            self.successResultOf(self.publish(topic=f"new-{number}"))
        asked = self.brokers.count(KafkaApi.INIT_PRODUCER_ID)
        for number, more in ((4, 0), (3, 0), (0, 1)):
            self.successResultOf(self.publish(topic=f"new-{number}"))
            asked += more
            self.assertEqual(self.brokers.count(KafkaApi.INIT_PRODUCER_ID), asked)

    def test_a_record_beyond_the_limit_is_refused_without_being_sent(self) -> None:
        self.failureResultOf(self.publish(bytes(self.settings.max_passthrough_size)), BrokerTooLarge)
        self.assertEqual(self.brokers.count(PRODUCE), 0)
