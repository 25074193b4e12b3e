"""What becomes of a blob when its envelope was sent: it is deleted only where it is surely not in the log."""

from __future__ import annotations

from lfsproxy.codes import SURELY_NOT_APPENDED
from lfsproxy.relay.produce.shared import TOLD_AT_ONCE
from lfsproxy.wire.answers import ProduceResponse
from tests.relay.records import batch, lfs, produce
from tests.relay.rig import RelayTestCase

UNKNOWN = (-1, 1, 3, 6, 7, 9, 15, 20, 34, 46, 56, 67, 74, 89, 100, 999)


class BlobFateTests(RelayTestCase):
    def test_an_acknowledged_blob_stays(self) -> None:
        self.client().send(produce(1, batch(lfs(b"blob"))))
        self.assertEqual(self.blobs, [b"blob"])
        self.assertEqual(self.metrics.of("orphan"), [])

    def test_each_of_very_many_is_told(self) -> None:
        count = 2 * TOLD_AT_ONCE + 1
        self.client().send(produce(1, batch(*[lfs(b"blob %d" % number) for number in range(count)])))
        self.assertEqual([each[2] for each in self.metrics.of("upload")], ["ok"] * count)

    def test_codes_after_which_it_is_surely_not_in_the_log_delete_it(self) -> None:
        for code in sorted(SURELY_NOT_APPENDED):
            self.cluster.fail_next(code)
            client = self.client()
            client.send(produce(1, batch(lfs(b"blob"))))
            self.assertEqual(client.code(1), code)
            self.assertEqual(self.blobs, [], f"code {code}")
        self.assertEqual(self.metrics.of("orphan"), [])
        self.assertEqual({each[2] for each in self.metrics.of("upload")}, {"broker_error"})

    def test_every_other_code_keeps_it_counted_and_logged(self) -> None:
        for count, code in enumerate(UNKNOWN, 1):
            self.cluster.fail_next(code)
            client = self.client()
            client.send(produce(1, batch(lfs(b"blob"))))
            self.assertEqual(client.code(1), code)
            self.assertEqual(len(self.blobs), count, f"code {code}")
            self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)] * count)
            key = list(self.store.blobs)[-1]
            self.assertTrue(any(key in line for line in self.lines()))

    def test_a_broker_that_goes_away_keeps_it(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(produce(1, batch(lfs(b"one"))), produce(2, batch(lfs(b"two"))))
        self.broker.hang_up()
        self.net.flow()
        self.assertEqual(sorted(self.blobs), [b"one", b"two"])
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)] * 2)
        self.assertEqual(client.order, [])

    def test_without_an_answer_it_stays_unknown(self) -> None:
        self.client().send(produce(1, batch(lfs(b"blob")), acks=0))
        self.assert_published(b"blob")
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])

    def test_an_answer_that_does_not_decode_keeps_it(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.broker.wire.arrive(b"\0\0\0\x06\0\0\0\x01\xff\xff")
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.blobs, [b"blob"])
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])

    def test_an_answer_without_its_partition_keeps_it(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.broker.wire.arrive(ProduceResponse([]).encode(9, 1))
        self.net.flow()
        self.assertEqual(client.verdicts(1), [])
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])

    def test_each_partition_of_a_request_has_its_own_fate(self) -> None:
        self.cluster.fail_next(87, partition=0)
        self.cluster.fail_next(7, partition=1)
        self.client().send(produce(1, *[batch(lfs(value)) for value in (b"no", b"perhaps", b"yes")]))
        self.assertEqual(sorted(self.blobs), [b"perhaps", b"yes"])
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])

    def test_a_request_that_was_partly_written_is_unknown(self) -> None:
        client = self.client()
        self.know_topic()
        self.broker.wire.peer_reads = False
        client.send(produce(1, batch(lfs(b"blob")), batch(lfs(b"other"))))
        self.assertEqual(client.order, [])
        self.broker.hang_up()
        self.net.flow()
        self.assertEqual(len(self.blobs), 2)
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)] * 2)
