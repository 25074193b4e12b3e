"""Produce requests that take long: one that stalls loses its place to others, a long upload is logged."""

from __future__ import annotations

from twisted.logger import LogLevel

from tests.relay.records import batch, lfs, produce, record
from tests.relay.rig import KIB, RelayTestCase
from tests.relay.test_streamed import HUGE


class StallTests(RelayTestCase):
    def test_a_client_that_stalls_in_the_middle_loses_its_place_to_others(self) -> None:
        frame = produce(1, batch(lfs(HUGE)))
        slow = [self.client() for _ in range(4)]
        for each in slow:
            each.send(frame[: 300 * KIB])
        other = self.client()
        other.send(frame)
        self.assertEqual((self.budget.waiting, other.order), (1, []))
        self.pass_seconds(3)
        self.assertEqual(other.code(1), 0)
        self.assertEqual(sum(not each.is_open for each in slow), 1)
        self.assertEqual(self.metrics.of("kafka_closed"), [("stalled",)])
        self.assertEqual(self.blobs, [HUGE])
        still = next(each for each in slow if each.is_open)
        still.send(frame[300 * KIB :])
        self.assertEqual(still.code(1), 0)

    def test_as_many_as_others_wait_for_lose_theirs_at_once(self) -> None:
        frame = produce(1, batch(lfs(HUGE)))
        slow = [self.client() for _ in range(4)]
        for each in slow:
            each.send(frame[: 300 * KIB])
        others = [self.client() for _ in range(3)]
        for each in others:
            each.send(frame)
        self.assertEqual(self.budget.waiting, 3)
        self.pass_seconds(3)
        self.assertEqual([each.code(1) for each in others], [0, 0, 0])
        self.assertEqual(sum(not each.is_open for each in slow), 3)

    def test_the_time_that_the_store_takes_is_not_the_client_s(self) -> None:
        self.store.hold("seal")
        frame = produce(1, batch(lfs(HUGE)))
        holders = [self.client() for _ in range(4)]
        for each in holders:
            each.send(frame)
        other = self.client()
        other.send(frame)
        self.pass_seconds(60)
        self.assertTrue(all(each.is_open for each in holders))
        self.let_go("seal")
        self.assertEqual([each.code(1) for each in [*holders, other]], [0] * 5)


class LongUploadTests(RelayTestCase):
    """An upload that takes longer than clients wait by default is logged, with what to raise."""

    def test_one_that_takes_long(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(HUGE))))
        self.pass_seconds(40)
        self.let_go("seal")
        self.assertEqual(client.code(1), 0)
        (line,) = self.lines()
        self.assertRegex(line, r"a-client .* took 40 s: .*request\.timeout\.ms .*socket\.timeout\.ms")

    def test_one_whose_client_gave_up(self) -> None:
        for value in (b"small", HUGE):
            self.events.clear()
            self.store.hold("seal")
            client = self.client()
            client.send(produce(1, batch(lfs(value))))
            self.pass_seconds(30)
            client.hang_up()
            self.pass_seconds(1)
            self.let_go("seal")
            (line,) = self.lines()
            self.assertRegex(line, "a-client .* was given up, .* after 3[01] s: .*request.timeout.ms")

    def test_nothing_is_said_of_shorter_ones_and_of_plain_records(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(produce(1, batch(record(b"plain"))))
        broker = self.broker
        self.pass_seconds(60)
        self.cluster.held = False
        broker.answer_all()
        self.net.flow()
        client.send(produce(2, batch(lfs(HUGE))))
        self.assertEqual((client.order, self.lines()), ([1, 2], []))

    def test_what_clients_call_themselves_stays_on_its_line(self) -> None:
        frame = produce(1, batch(lfs(b"x", mark=b"bad")), topic="a\nb")
        client = self.client()
        client.send(frame.replace(b"a-client", b"a\r\nlient"))
        (line,) = [line for line in self.lines(LogLevel.info) if "refused" in line]
        self.assertIn(r"refused a batch of a\r\nlient for a\nb/0", line)
