"""Small requests that have nothing for the proxy are passed on at once, and keep every rule."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from lfsproxy.errors import StoreUnavailable
from lfsproxy.kafka.stream import READ_AHEAD, WRITE_SIZE
from lfsproxy.relay.produce.held import HeldProduce
from lfsproxy.relay.requests import MOST_WAITING
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, RelayTestCase


class PlainTests(RelayTestCase):
    def test_those_that_came_together_leave_together(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"first"))))
        written: list[int] = []
        wire = self.broker.wire
        write = wire.write

        def note(data: bytes) -> None:
            written.append(len(data))
            write(data)

        self.patch(wire, "write", note)
        frames = [produce(number, batch(record(b"small"))) for number in range(2, 22)]
        client.send(b"".join(frames))
        self.assertEqual(client.order, list(range(1, 22)))
        self.assertEqual(written, [sum(map(len, frames))])
        self.assertEqual([each.frame for each in self.broker.requests[-20:]], frames)

    def test_nothing_runs_beside_the_reading_for_them(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(produce(1, batch(record(b"plain"))))
        (session,) = self.relay.sessions
        self.assertFalse(session.producing.works.any_left)
        self.assertTrue(session.producing.replies.order.decides_more)
        self.answer()
        self.assertEqual(client.code(1), 0)

    def test_neither_reader_is_woken_for_one(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"first"))))
        (session,) = self.relay.sessions
        streams = (session._client.stream, session._broker)
        waiting = [each._more for each in streams if each is not None]
        client.send(produce(2, batch(record(b"second"))), produce(3, batch(record(b"third"))))
        self.assertEqual(client.order, [1, 2, 3])
        self.assertEqual([each._more for each in streams if each is not None], waiting)
        self.assertNotIn(None, waiting)

    def test_what_is_not_plain_behind_one_is_taken_in_its_turn(self) -> None:
        self.know_topic()
        client = self.client()
        client.send(
            b"".join(
                (
                    produce(1, batch(record(b"plain"))),
                    request(KafkaApi.FETCH, 12, 2),
                    produce(3, batch(record(b"plain"))),
                    produce(4, batch(lfs(b"a blob"))),
                    produce(5, batch(record(b"plain"))),
                )
            )
        )
        self.assertEqual(client.order, [1, 2, 3, 4, 5])
        self.assertEqual(self.blobs, [b"a blob"])

    def test_what_was_not_offered_behind_one_ends_the_connection(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"plain"))) + produce(2, batch(record(b"new")), version=13))
        self.assertEqual([each.correlation_id for each in self.broker.requests], [1])
        self.assertFalse(client.is_open)

    def test_half_of_one_waits_for_the_rest(self) -> None:
        client = self.client()
        first, second = (produce(each, batch(record(b"plain"))) for each in (1, 2))
        client.send((first + second)[:-9])
        self.assertEqual(client.order, [1])
        client.send(second[-9:])
        self.assertEqual(client.order, [1, 2])

    def test_a_broker_that_takes_nothing_is_given_no_more(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"first"))))
        wire = self.broker.wire
        wire.peer_reads = False
        for number in range(2, 102):
            client.send(produce(number, batch(record(bytes(60 * KIB)))))
        self.assertLess(wire.most_unread, 2 * WRITE_SIZE)
        taken = READ_AHEAD + 2 * WRITE_SIZE + MOST_WAITING * 60 * KIB
        self.assertGreater(client.wire.unread, 100 * 60 * KIB - taken)
        wire.peer_reads = True
        self.net.flow()
        self.assertEqual(client.order, list(range(1, 102)))

    def test_one_behind_an_upload_waits_for_its_turn(self) -> None:
        self.know_topic()
        self.store.hold("commit")
        client = self.client()
        client.send(produce(1, batch(lfs(b"a blob"))), produce(2, batch(record(b"plain"))))
        self.assert_nothing_sent()
        self.let_go("commit")
        self.assertEqual(client.order, [1, 2])
        self.assertEqual([len(each.records) for each in self.cluster.records()], [1, 1])
        self.assertEqual(self.cluster.records()[1].records[0].value, b"plain")

    def test_nothing_passes_behind_one_that_was_given_up(self) -> None:
        # A broker that knows nothing of the producer would take the second batch for its first.
        async def fails(work: HeldProduce) -> None:
            raise RuntimeError("a fault of the proxy's own")

        self.patch(HeldProduce, "finish", fails)
        client = self.client()
        client.send(
            produce(1, batch(record(b"looked into", (b"not", b"LFS_BLOB")), producer=7, epoch=0, sequence=0))
            + produce(2, batch(record(b"plain"), producer=7, epoch=0, sequence=1))
        )
        self.assertNotEqual(self.flushLoggedErrors(RuntimeError), [])
        self.assertEqual(self.broker.requests, [])
        self.assertFalse(client.is_open)

    def test_they_move_the_offsets_in_the_keys_of_later_blobs(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"at 0"))))
        client.send(produce(2, batch(record(b"at 1"), record(b"at 2"))))
        client.send(produce(3, batch(lfs(b"at 3"))))
        keys = [each.s3_key for found in self.cluster.records() for each in found.envelopes]
        self.assertEqual(["0", "3"], [key.rpartition("/")[2].partition("-")[0] for key in keys])

    def test_those_for_another_topic_than_a_blob_s_still_pass_unread(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"a blob"))))
        read: list[HeldProduce] = []
        run = HeldProduce.run

        async def note(work: HeldProduce) -> None:
            read.append(work)
            await run(work)

        self.patch(HeldProduce, "run", note)
        for size in (100, 200 * KIB):
            client.send(produce(2, batch(record(bytes(size))), topic="other"))
            client.send(produce(3, batch(record(bytes(size))), topic="other", version=3))
            self.assertEqual(read, [])
        for size in (100, 200 * KIB):
            client.send(produce(4, batch(record(bytes(size)))))
        self.assertEqual(len(read), 2)

    def assert_nothing_sent(self) -> None:
        self.assertEqual([request.batches() for request in self.cluster.produced], [])


class LargePlainTests(RelayTestCase):
    """The same of those that are received under a lease."""

    def plain(self, number: int, size: int = 200 * KIB) -> bytes:
        return produce(number, batch(record(bytes(size))))

    def test_nothing_is_left_of_one_that_was_written(self) -> None:
        self.cluster.held = True
        client = self.client()
        frame = self.plain(1)
        client.send(frame[: 100 * KIB])
        self.assertTrue(len(frame) - 100 < self.budget.used < len(frame))
        client.send(frame[100 * KIB :])
        (session,) = self.relay.sessions
        self.assertEqual((session.producing.works.any_left, session.producing.entries.held), (False, 0))
        self.assertEqual(self.budget.used, 0)
        self.assertEqual(self.broker.requests[-1].frame, frame)
        self.answer()
        self.assertEqual(client.code(1), 0)

    def test_one_that_the_broker_does_not_take_keeps_its_memory_and_its_place(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"first"))))
        wire = self.broker.wire
        wire.peer_reads = False
        for number in range(2, 30):
            client.send(self.plain(number, 250 * KIB))
        self.assertLess(wire.most_unread, 2 * WRITE_SIZE)
        self.assertGreater(self.budget.used, 250 * KIB)
        client.send(produce(30, batch(record(b"last"))))
        wire.peer_reads = True
        self.net.flow()
        self.assertEqual(client.order, list(range(1, 31)))
        self.assertEqual(self.budget.used, 0)

    def test_a_broker_that_goes_meanwhile_gives_the_memory_back(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"first"))))
        self.broker.wire.peer_reads = False
        for number in range(2, 6):
            client.send(self.plain(number, 250 * KIB))
        self.assertGreater(self.budget.used, 250 * KIB)
        self.broker.wire.hang_up()
        self.net.flow()
        self.assertEqual((client.is_open, self.budget.used), (False, 0))

    def test_a_client_that_goes_in_the_middle_gives_the_memory_back(self) -> None:
        client = self.client()
        client.send(self.plain(1)[: 100 * KIB])
        self.assertGreater(self.budget.used, 0)
        client.hang_up()
        self.net.flow()
        self.assertEqual((self.budget.used, self.cluster.produced), (0, []))

    def test_one_behind_an_upload_waits_for_its_turn(self) -> None:
        self.know_topic()
        self.store.hold("commit")
        client = self.client()
        client.send(produce(1, batch(lfs(b"a blob"))), self.plain(2))
        self.assertEqual([request.batches() for request in self.cluster.produced], [])
        self.let_go("commit")
        self.assertEqual(client.order, [1, 2])

    def test_one_behind_another_that_is_not_written_yet_is_not_taken_apart_either(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"first"))))
        self.broker.wire.peer_reads = False
        for number in range(2, 6):
            client.send(self.plain(number, 250 * KIB))
        (session,) = self.relay.sessions
        self.assertTrue(session.producing.works.any_left)
        self.assertEqual(session.producing.entries.held, 0)
        self.broker.wire.peer_reads = True
        self.net.flow()
        self.assertEqual(client.order, [1, 2, 3, 4, 5])

    def test_one_behind_another_kind_of_request_keeps_its_place(self) -> None:
        self.know_topic()
        self.store.hold("commit")
        client = self.client()
        client.send(produce(1, batch(lfs(b"a blob"))), request(KafkaApi.FETCH, 12, 2), self.plain(3))
        self.assertEqual(self.cluster.requests[-1].api_key, KafkaApi.METADATA)
        self.let_go("commit")
        self.assertEqual(client.order, [1, 2, 3])

    def test_one_with_the_mark_is_looked_into(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(bytes(100 * KIB)), lfs(b"a blob"))))
        self.assertEqual((client.code(1), self.blobs), (0, [b"a blob"]))

    def test_a_refused_batch_of_its_producer_holds_it_back(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"x", mark=b"no checksum"), producer=7, epoch=0, sequence=0)))
        client.send(produce(2, batch(record(bytes(100 * KIB)), producer=7, epoch=0, sequence=1)))
        self.assertEqual([client.code(1), client.code(2)], [87, 45])
        self.assertEqual(self.cluster.records(), [])

    def test_so_does_one_that_is_refused_only_later(self) -> None:
        self.know_topic()
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"a blob"), producer=7, epoch=0, sequence=0)))
        client.send(produce(2, batch(record(bytes(100 * KIB)), producer=7, epoch=0, sequence=1)))
        self.store.fail_next("seal", StoreUnavailable("S3 does not answer"))
        self.let_go("seal")
        self.assertEqual([client.code(1), client.code(2)], [56, 45])
        self.assertEqual(self.cluster.records(), [])

    def test_one_behind_another_that_is_not_decided_yet_waits_for_its_fate(self) -> None:
        decided: Deferred[None] = Deferred()
        finish = HeldProduce.finish

        async def finish_later(work: HeldProduce) -> None:
            if not decided.called:
                await decided
            await finish(work)

        self.patch(HeldProduce, "finish", finish_later)
        client = self.client()
        client.send(produce(1, batch(lfs(b"x", mark=b"no checksum"), producer=7, epoch=0, sequence=0)))
        client.send(produce(2, batch(record(bytes(100 * KIB)), producer=7, epoch=0, sequence=1)))
        decided.callback(None)
        self.net.flow()
        self.assertEqual([client.code(1), client.code(2)], [87, 45])
        self.assertEqual(self.cluster.records(), [])


class LittlePassesTests(RelayTestCase):
    """LFS_MAX_PASSTHROUGH_SIZE may be smaller than a request that is passed at once."""

    overrides = {"max_passthrough_size": 1024}

    def test_a_batch_that_may_not_pass_is_refused(self) -> None:
        largest = 1024 - len(batch(record(bytes(900)))) + 900
        client = self.client()
        client.send(produce(1, batch(record(bytes(largest)))), produce(2, batch(record(bytes(largest + 1)))))
        self.assertEqual([client.code(1), client.code(2)], [0, 10])
        self.assertEqual(len(self.cluster.records()), 1)
