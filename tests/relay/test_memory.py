"""Upload memory: one lease per request, in time, and given back in every ending."""

from __future__ import annotations

import gc
import random
import tracemalloc

import zstandard

from lfsproxy.budget import Lease
from lfsproxy.errors import StoreUnavailable
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, MEMORY, PART, PASSTHROUGH, RelayTestCase
from tests.wire.helpers import CODECS, raw_record


class LeaseTests(RelayTestCase):
    def test_a_request_of_up_to_64_kib_takes_none(self) -> None:
        self.store.hold("seal")
        self.client().send(produce(1, batch(lfs(bytes(63 * KIB)))))
        self.assertEqual(self.budget.used, 0)

    def test_a_larger_one_takes_its_size_before_it_is_read(self) -> None:
        frame = produce(1, batch(lfs(bytes(300 * KIB))))
        self.client().send(frame[: 20 * KIB])
        self.assertEqual(self.budget.used, len(frame) - 4 - 10 - len(b"a-client"))

    def test_it_is_kept_while_the_request_awaits_its_turn(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"x"))), produce(2, batch(record(bytes(200 * KIB)))))
        self.assertGreater(self.budget.used, 200 * KIB)
        self.let_go("seal")
        self.assertEqual(self.budget.used, 0)

    def test_it_is_given_back_when_the_broker_has_taken_the_request(self) -> None:
        self.cluster.held = True
        client = self.client()
        self.broker.wire.peer_reads = False
        two = produce(1, batch(record(bytes(250 * KIB))), batch(record(bytes(250 * KIB))))
        client.send(two)
        self.assertGreater(self.budget.used, 0)
        self.broker.wire.peer_reads = True
        self.net.flow()
        self.assertEqual((self.budget.used, client.order), (0, []))

    def test_without_room_a_request_is_not_read_beyond_what_is_buffered(self) -> None:
        self.store.hold("seal")
        for _ in range(5):
            self.client().send(produce(1, batch(lfs(bytes(400 * KIB)))))
        waiter = self.client()
        waiter.send(produce(2, batch(lfs(bytes(200 * KIB))), batch(lfs(bytes(230 * KIB)))))
        self.assertEqual(self.budget.waiting, 1)
        self.assertTrue(waiter.wire.paused)
        self.assertGreater(waiter.wire.unread, 64 * KIB)
        self.let_go("seal")
        self.assertEqual([each.error_code for each in waiter.verdicts(2)], [0, 0])

    def test_small_requests_pass_while_large_ones_wait(self) -> None:
        self.store.hold("seal")
        for _ in range(6):
            self.client().send(produce(1, batch(lfs(bytes(400 * KIB)))))
        self.assertEqual(self.budget.waiting, 1)
        other = self.client()
        other.send(request(KafkaApi.FETCH, 12, 1), produce(2, batch(record(bytes(60 * KIB)))))
        self.assertEqual(other.order, [1, 2])

    def test_a_client_that_stalls_while_others_wait_is_closed(self) -> None:
        slow = [self.client() for _ in range(5)]
        for each in slow:
            each.send(produce(1, batch(lfs(bytes(400 * KIB))))[: 100 * KIB])
        waiter = self.client()
        waiter.send(produce(2, batch(lfs(bytes(400 * KIB)))))
        self.pass_seconds(3)
        self.assertEqual(sum(not each.is_open for each in slow), 1)
        self.assertEqual(waiter.order, [2])
        self.assertEqual(self.metrics.of("kafka_closed"), [("stalled",)])

    def test_a_client_that_is_slow_while_nobody_waits_is_served(self) -> None:
        client = self.client()
        frame = produce(1, batch(lfs(bytes(400 * KIB))))
        for start in range(0, len(frame), 20 * KIB):
            client.send(frame[start : start + 20 * KIB])
            self.pass_seconds(20)
        self.assertEqual(client.order, [1])


class CrowdTests(RelayTestCase):
    overrides = {"upload_memory": 12 * 1024 * KIB}

    def hold_all(self) -> None:
        """Let slow clients hold all the memory, then many producers wait for some."""
        slow = produce(0, batch(lfs(bytes(100 * KIB))))[: 70 * KIB]
        for _ in range(130):
            self.client().send(slow)
        self.waiting = [self.client() for _ in range(300)]
        for number, client in enumerate(self.waiting):
            client.send(produce(number, batch(record(b"%03d" % number + bytes(100 * KIB)))))
        self.assertGreater(self.budget.waiting, 300)

    def test_a_crowd_that_waits_for_slow_clients_is_all_answered(self) -> None:
        for _ in range(2):
            published = len(self.cluster.records())
            self.hold_all()
            self.pass_seconds(5)
            self.assertEqual([client.order for client in self.waiting], [[n] for n in range(300)])
            self.assertEqual([client.code(n) for n, client in enumerate(self.waiting)], [0] * 300)
            self.assertEqual(len(self.cluster.records()), published + 300)
            for client in self.clients:
                client.hang_up()
            self.assertEqual((self.budget.used, self.budget.waiting), (0, 0))

    def test_a_crowd_that_leaves_while_it_waits_leaves_nothing_behind(self) -> None:
        self.hold_all()
        for client in self.waiting[100:200]:
            client.hang_up()
        self.pass_seconds(5)
        stayed = [*range(100), *range(200, 300)]
        self.assertEqual([self.waiting[n].order for n in stayed], [[n] for n in stayed])
        self.assertEqual(len(self.cluster.records()), 200)


class UnreadAnswerTests(RelayTestCase):
    def test_a_client_that_reads_no_answers_is_not_read_either(self) -> None:
        client = self.client()
        client.wire.peer_reads = False
        client.send(request(KafkaApi.API_VERSIONS, 9, 1) * 40000)
        self.assertLess(client.wire.most_unread, 300 * KIB)
        self.assertGreater(client.wire.unread, 0)
        client.wire.peer_reads = True
        self.net.flow()
        self.assertEqual(len(client.order), 40000)


class PeakTests(RelayTestCase):
    """What the process holds, as Python's allocator sees it, not only as the budget does."""

    FRAME = produce(1, batch(lfs(bytes(200 * KIB))), batch(lfs(bytes(200 * KIB))))

    def grown(self, connections: int) -> int:
        """Send FRAME over many connections; the bytes in use afterwards, beyond those before."""
        for _ in range(connections):
            self.client()
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for client in self.clients:
            client.send(self.FRAME)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def test_many_connections_stay_within_the_budget(self) -> None:
        self.store.hold("seal")
        self.grown(12)
        self.assertLessEqual(self.budget.peak, MEMORY)
        self.assertGreater(self.budget.peak, MEMORY // 2)
        self.assertGreater(self.budget.waiting, 0)
        self.let_go("seal")
        self.assertEqual([client.order for client in self.clients], [[1]] * 12)

    def test_a_request_that_awaits_its_answer_holds_no_records(self) -> None:
        self.cluster.held = True
        blobs = 12 * 400 * KIB  # The store's double keeps them in memory.
        now = self.grown(12)
        self.assertEqual(self.budget.used, 0)
        self.assertLess(now - blobs, 2048 * KIB)

    def test_a_plain_request_that_awaits_its_answer_holds_no_records(self) -> None:
        self.FRAME = produce(1, batch(record(bytes(200 * KIB))), batch(record(bytes(200 * KIB))))
        self.cluster.held = True
        now = self.grown(12)
        sent = sum(len(each.frame) + len(each.body) for each in self.cluster.produced)
        self.assertLess(now - sent, 2048 * KIB)


class TightTests(RelayTestCase):
    """Compressed batches need memory for what is inside; a tight budget makes them slower, never stuck."""

    def setUp(self) -> None:
        super().setUp()
        self.value = bytes(range(256)) * 4 * 200  # 200 KiB that compress well
        self.filling: list[Lease] = []

    def compressed(self, correlation_id: int, codec: int = 4, count: int = 3) -> bytes:
        records = [lfs(self.value) for _ in range(count)]
        return produce(correlation_id, batch(*records, codec=codec), batch(*records, codec=codec))

    def fill(self) -> None:
        """Leave nothing of the budget."""
        while (lease := self.budget.try_acquire(64 * KIB)) is not None:
            self.filling.append(lease)

    def check_nothing_is_left(self) -> None:
        for lease in self.filling:
            lease.release()
        super().check_nothing_is_left()

    def test_values_of_a_batch_upload_together_where_there_is_memory(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(self.value), lfs(self.value), codec=4)))
        self.assertEqual(self.store.held("seal"), 2)
        self.assertGreater(self.budget.used, 2 * len(self.value))

    def test_without_memory_one_value_of_the_process_is_inflated_at_a_time(self) -> None:
        self.fill()
        self.store.hold("seal")
        clients = [self.client(), self.client()]
        for client in clients:
            client.send(self.compressed(1), self.compressed(2))
        for done in range(2 * 2 * 2 * 3):
            self.assertEqual(self.store.held("seal"), 1, f"after {done}")
            self.assertLessEqual(self.store.open_uploads, 6 * 3)
            self.store.let_go_one("seal")
            self.net.flow()
        self.assertEqual([client.order for client in clients], [[1, 2], [1, 2]])

    def test_pipelined_requests_of_two_connections_do_not_deadlock(self) -> None:
        self.fill()
        for codec, xerial in CODECS[1:]:
            clients = [self.client(), self.client()]
            for index in range(5):
                for client in clients:
                    client.wire.arrive(self.compressed(index, codec))
            self.net.flow()
            for client in clients:
                self.assertEqual(client.order, [0, 1, 2, 3, 4], f"codec {codec} {xerial}")
                self.assertEqual({v.error_code for i in range(5) for v in client.verdicts(i)}, {0})

    def test_pipelined_requests_that_fill_the_budget_do_not_deadlock(self) -> None:
        self.value = random.Random(1).randbytes(200 * KIB)
        clients = [self.client() for _ in range(4)]
        for index in range(5):
            for client in clients:
                client.wire.arrive(produce(index, batch(lfs(self.value), lfs(self.value), codec=4)))
        self.net.flow()
        self.assertGreater(self.budget.peak, MEMORY // 2)
        self.assertEqual([client.order for client in clients], [[0, 1, 2, 3, 4]] * 4)
        self.assertEqual(len(self.blobs), 40)

    def test_a_failure_frees_the_inflating_place(self) -> None:
        self.fill()
        self.store.fail_next("seal", StoreUnavailable("S3 does not answer"))
        client = self.client()
        client.send(self.compressed(1), self.compressed(2))
        self.assertEqual(sorted(each.error_code for each in client.verdicts(1)), [0, 56])
        self.assertEqual([each.error_code for each in client.verdicts(2)], [0, 0])

    def test_a_client_that_goes_away_frees_the_inflating_place(self) -> None:
        self.fill()
        self.store.hold("seal")
        first, second = self.client(), self.client()
        first.send(self.compressed(1))
        second.send(self.compressed(1))
        first.hang_up()
        self.let_go("seal")
        self.assertEqual(second.order, [1])

    def test_a_small_request_that_inflates_takes_a_lease_for_it(self) -> None:
        self.store.hold("seal")
        self.client().send(produce(1, batch(lfs(bytes(PART)), codec=4)))
        self.assertGreater(self.budget.used, PART)
        self.assertLess(self.budget.used, 2 * PART + 2 * PASSTHROUGH)


class LargeWindowTests(RelayTestCase):
    """A zstd window of up to 128 MiB is as good as memory that nobody has leased."""

    def large_window(self, *values: bytes) -> bytes:
        """A batch whose decompression needs a window of 128 MiB, however little is in it."""
        raw = b"".join(raw_record(index, lfs(value)) for index, value in enumerate(values))
        parameters = zstandard.ZstdCompressionParameters(window_log=27)
        stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        area = stream.compress(raw) + stream.flush()
        return batch(*[lfs(value) for value in values], codec=4, area=area)

    def test_they_are_offloaded_one_at_a_time_in_the_whole_process(self) -> None:
        self.store.hold("seal")
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.send(produce(1, self.large_window(b"a", b"b"), self.large_window(b"c")))
        for done in range(3 * 3):
            self.assertEqual(self.store.held("seal"), 1, f"after {done}")
            self.store.let_go_one("seal")
            self.net.flow()
        for client in clients:
            self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 0])
        self.assertEqual(sorted(self.blobs), sorted([b"a", b"b", b"c"] * 3))

    def test_a_request_with_many_does_not_go_before_others(self) -> None:
        self.store.hold("seal")
        first, second = self.client(), self.client()
        first.send(produce(1, *[self.large_window(value) for value in (b"a", b"b", b"c")]))
        second.send(produce(1, self.large_window(b"other")))
        for _ in range(4):
            self.store.let_go_one("seal")
            self.net.flow()
        self.assertEqual(self.blobs, [b"a", b"other", b"b", b"c"])

    def test_plain_records_in_one_pass_as_they_came(self) -> None:
        raw = raw_record(0, record(b"plain"))
        parameters = zstandard.ZstdCompressionParameters(window_log=27)
        stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        plain = batch(record(b"plain"), codec=4, area=stream.compress(raw) + stream.flush())
        client = self.client()
        frame = produce(1, plain)
        client.send(frame)
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0])
        self.assertEqual([each.frame for each in self.broker.requests], [frame])


class ManyRecordsTests(RelayTestCase):
    def test_many_small_records_do_not_begin_all_their_uploads_at_once(self) -> None:
        self.store.hold("seal")
        self.client().send(produce(1, batch(*[lfs(b"x") for _ in range(500)])))
        self.assertLessEqual(self.store.open_uploads, 64)
        self.let_go("seal")
        self.assertEqual(len(self.blobs), 500)
