"""Consumers that leave, read slowly or wait for memory: what ends then, and what is left."""

from __future__ import annotations

from typing import Any, cast
from unittest import mock

from twisted.internet.defer import CancelledError

from lfsproxy.errors import StoreUnavailable
from lfsproxy.relay.fetch import untaken
from tests.relay.fetch.hydration import LARGE, SMALL, TOPIC, HydrationTestCase
from tests.relay.records import batch, lfs, produce, record
from tests.relay.rig import KIB


class GoneTests(HydrationTestCase):
    """A client that leaves gives everything back, wherever its answer is; later answers are still taken."""

    def test_whatever_is_waited_for_ends_with_the_client(self) -> None:
        self.serve(self.put(SMALL), self.put(LARGE))
        for call in ("open", "crc32c", "read"):
            self.source.hold(call)
            client = self.consume()
            self.assertGreater(self.budget.used, 0)
            client.hang_up()
            self.assertEqual((self.budget.used, self.source.open_downloads), (0, 0), call)
            self.source.let_go(call)
            self.net.flow()
        self.assertEqual(set(self.results()), {(TOPIC, "cancelled")})

    def test_a_client_that_does_not_read_ends_when_it_leaves(self) -> None:
        self.serve(self.put(LARGE))
        client = self.client()
        client.wire.peer_reads = False
        client.send(self.fetch())
        self.assertEqual(self.source.open_downloads, 1)
        client.hang_up()
        self.assertEqual((self.budget.used, self.source.open_downloads), (0, 0))

    def test_one_that_waits_for_memory_leaves_the_queue(self) -> None:
        self.serve(b"x" * 200 * KIB)
        everything = self.budget.acquire(self.budget.largest)
        client = self.consume()
        self.assertEqual(self.budget.waiting, 1)
        client.hang_up()
        self.assertEqual(self.budget.waiting, 0)
        self.successResultOf(everything).release()

    def test_the_answers_behind_it_still_decide_about_blobs(self) -> None:
        self.serve(self.put(LARGE))
        self.know_topic()
        kept = len(self.store.blobs)
        self.source.hold("read")
        client = self.client()
        self.know_topic()
        client.send(self.fetch(1), produce(2, batch(lfs(b"published"))))
        self.assertEqual(len(self.cluster.produced), 1)
        client.hang_up()
        self.assertEqual(len(self.store.blobs), kept + 1)
        self.assertEqual(self.metrics.of("orphan"), [])

    def test_a_stop_of_the_process_ends_it(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        self.consume()
        self.successResultOf(self.stop())

    def test_a_drain_waits_for_it(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        client = self.consume()
        drained = self.relay.drain()
        self.net.flow()
        self.assertNoResult(drained)
        self.source.let_go("read")
        self.net.flow()
        self.assertEqual(self.values(self.answer_of(client)), [[LARGE]])
        self.successResultOf(drained)

    def test_one_that_leaves_before_the_same_blob_again_is_told_of(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        self.consume().hang_up()
        self.consume(client_id=b"another").hang_up()
        self.assertEqual(self.lines(), [])
        self.consume().hang_up()
        (line,) = self.lines()
        self.assertRegex(
            line,
            r"a-consumer \(.*\) has again closed .* demo-topic, partition 0, offset 0 \(614400 bytes, .*"
            "receive.message.max.bytes.* request timeout .* LFS_HYDRATE_MAX_SIZE",
        )

    def test_who_leaves_again_and_again_has_no_more_read_than_it_takes(self) -> None:
        self.source.piece = 64 * KIB
        self.serve(self.put(bytes(4 * 1024 * KIB)))
        read = mock.Mock(wraps=self.source._raise_next)
        self.patch(self.source, "_raise_next", read)
        for number in range(1, 20):
            client = self.client()
            client.wire.peer_reads = False
            client.send(self.fetch())
            client.hang_up()
            self.assertEqual((self.budget.used, self.source.open_downloads), (0, 0))
            self.assertLess(read.call_args_list.count(mock.call("read")), number * 12)

    def test_after_a_while_it_is_not_told_of(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        self.consume().hang_up()
        self.net.advance(untaken.SECONDS)
        self.consume().hang_up()
        self.assertEqual(self.lines(), [])

    def test_connections_that_the_proxy_ends_are_not_told_of(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        self.consume()
        self.consume()
        self.successResultOf(self.stop())
        self.assertEqual(self.lines(), [])
        self.assertEqual(self.results(), [(TOPIC, "cancelled")] * 2)


class MemoryTests(HydrationTestCase):
    def test_none_is_held_while_the_broker_waits_for_records(self) -> None:
        self.serve(b"x" * 200 * KIB)
        self.cluster.held = True
        self.consume()
        self.assertEqual(self.budget.used, 0)
        self.answer()
        self.assertGreater(self.budget.peak, 200 * KIB)

    def test_one_that_waits_too_long_loses_its_connection(self) -> None:
        self.serve(b"x" * 200 * KIB)
        everything = self.successResultOf(self.budget.acquire(self.budget.largest))
        client = self.consume()
        self.pass_seconds(10)
        self.assertFalse(client.is_open)
        everything.release()

    def test_a_client_that_takes_nothing_is_evicted_while_others_wait(self) -> None:
        self.serve(self.put(LARGE))
        client = self.client()
        client.wire.peer_reads = False
        client.send(self.fetch())
        everything = self.successResultOf(self.budget.acquire(self.budget.largest))
        waiting = self.budget.acquire(self.budget.largest)
        self.pass_seconds(5)
        self.assertFalse(client.is_open)
        everything.release()
        self.net.flow()
        self.successResultOf(waiting).release()

    def test_an_answer_that_is_more_than_a_lease_passes(self) -> None:
        data = self.serve(self.put(SMALL), b"x" * 7 * 1024 * KIB)
        answer = self.answer_of(self.consume())
        self.assertEqual(bytes(answer.topics[0].partitions[0].records or b""), data)
        self.assertEqual(self.results(), [(TOPIC, "too_large")])

    def test_of_several_topics_it_is_not_known_which_are_there(self) -> None:
        self.partitions["other", 0] = batch(record(b"x" * 7 * 1024 * KIB))
        self.consume(topics={"demo-made-up": [0], "other": [0]})
        self.assertEqual(self.results(), [(None, "too_large")])

    def test_an_answer_that_the_store_gives_up_in_the_middle_closes_the_connection(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        client = self.consume()
        self.source.fail_next("read", cast(Any, CancelledError()))
        self.source.let_go("read")
        self.net.flow()
        self.assertGreater(len(client.data), 0)
        self.assertFalse(client.is_open)

    def test_nothing_is_got_for_a_connection_that_was_given_up(self) -> None:
        self.serve(self.put(LARGE))
        self.serve(self.put(SMALL), partition=1)
        self.source.hold("read")
        client = self.client()
        client.send(self.fetch(), self.fetch(2, topics={TOPIC: [1]}))
        self.source.fail_next("read", StoreUnavailable("down"))
        self.source.let_go("read")
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.results(), [(TOPIC, "store_error")])

    def test_no_more_requests_are_read_than_can_be_kept_for_their_answers(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(*[self.fetch(number, topics={TOPIC: range(4000)}) for number in range(5)])
        self.assertEqual(len(self.broker.requests), 3)
        while self.broker.pending:
            self.answer()
        self.assertEqual(client.order, list(range(5)))

    def test_large_requests_that_wait_behind_an_upload_are_not_gathered(self) -> None:
        self.store.hold("write")
        client = self.client()
        client.send(produce(0, batch(lfs(b"x" * KIB))))
        client.send(*[self.fetch(number, topics={TOPIC: range(4000)}) for number in range(1, 7)])
        self.assertGreater(client.wire.unread, 200 * KIB)
        self.let_go("write")
        self.assertEqual(client.order, list(range(7)))

    def test_a_client_that_does_not_send_the_rest_of_a_large_request_loses_its_memory(self) -> None:
        client = self.client()
        frame = self.fetch(topics={TOPIC: range(5000)})
        client.send(frame[: len(frame) // 2])
        self.assertGreater(self.budget.used, 0)
        self.pass_seconds(20)
        self.assertTrue(client.is_open)
        waiting = self.budget.acquire(self.budget.largest)
        self.pass_seconds(4)
        self.assertFalse(client.is_open)
        self.successResultOf(waiting).release()
