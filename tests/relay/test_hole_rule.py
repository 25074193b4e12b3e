"""The hole rule: after a refused batch, later ones of its producer wait until it is sent again."""

from __future__ import annotations

from lfsproxy.errors import StoreUnavailable
from tests.relay.records import batch, lfs, produce, record
from tests.relay.rig import RelayTestCase

BAD = b"no checksum"


def plain(sequence: int, producer: int = 7, epoch: int = 0) -> bytes:
    return batch(record(b"plain"), producer=producer, epoch=epoch, sequence=sequence)


def good(sequence: int, producer: int = 7, epoch: int = 0, value: bytes = b"good") -> bytes:
    return batch(lfs(value), producer=producer, epoch=epoch, sequence=sequence)


def bad(sequence: int, producer: int = 7, epoch: int = 0) -> bytes:
    return batch(lfs(b"bad", mark=BAD), producer=producer, epoch=epoch, sequence=sequence)


class HoleRuleTests(RelayTestCase):
    def test_later_batches_are_out_of_order_until_the_refused_one_comes_again(self) -> None:
        client = self.client()
        client.send(produce(1, bad(10)), produce(2, plain(11)), produce(3, good(12)))
        self.assertEqual([client.code(each) for each in (1, 2, 3)], [87, 45, 45])
        self.assert_nothing_published()
        client.send(produce(4, plain(11)), produce(5, good(10)), produce(6, plain(11)), produce(7, good(12)))
        self.assertEqual([client.code(each) for each in (4, 5, 6, 7)], [45, 0, 0, 0])
        self.assertEqual([each.base_sequence for each in self.cluster.records()], [10, 11, 12])

    def test_the_message_says_why(self) -> None:
        client = self.client()
        client.send(produce(1, bad(10)), produce(2, plain(11)))
        (verdict,) = client.verdicts(2)
        self.assertIn("earlier batch", verdict.error_message or "")
        self.assertEqual(list(verdict.record_errors), [])

    def test_a_later_batch_with_its_own_fault_is_out_of_order_too(self) -> None:
        client = self.client()
        client.send(produce(1, bad(10)), produce(2, bad(11)), produce(3, good(10)), produce(4, good(11)))
        self.assertEqual([client.code(each) for each in (1, 2, 3, 4)], [87, 45, 0, 0])
        (verdict,) = client.verdicts(2)
        self.assertNotIn("record 0", verdict.error_message or "")
        self.assertEqual(list(verdict.record_errors), [])

    def test_a_batch_that_is_refused_again_leaves_its_hole(self) -> None:
        client = self.client()
        client.send(produce(1, bad(10)), produce(2, bad(10)), produce(3, plain(11)), produce(4, good(10)))
        self.assertEqual([client.code(each) for each in (1, 2, 3, 4)], [87, 87, 45, 0])

    def test_another_epoch_clears_it(self) -> None:
        client = self.client()
        client.send(produce(1, bad(10)), produce(2, plain(0, epoch=1)), produce(3, plain(1, epoch=1)))
        self.assertEqual([client.code(each) for each in (1, 2, 3)], [87, 0, 0])

    def test_another_epoch_clears_it_from_its_first_sequence_on(self) -> None:
        client = self.client()
        client.send(
            produce(1, bad(0)),
            produce(2, plain(7, epoch=1)),
            produce(3, plain(0, epoch=1)),
            produce(4, plain(1, epoch=1)),
        )
        self.assertEqual([client.code(each) for each in (1, 2, 3, 4)], [87, 45, 0, 0])
        self.assertEqual([each.base_sequence for each in self.cluster.records()], [0, 1])

    def test_holes_are_per_producer_and_partition(self) -> None:
        client = self.client()
        client.send(
            produce(1, bad(10)),
            produce(2, plain(11, producer=8)),
            produce(3, plain(11), first_partition=1),
            produce(4, plain(11), topic="other"),
            produce(5, batch(record(b"without an id"))),
            produce(6, plain(11)),
        )
        self.assertEqual([client.code(each) for each in range(1, 7)], [87, 0, 0, 0, 0, 45])

    def test_a_hole_in_any_partition_is_in_that_partition(self) -> None:
        client = self.client()
        client.send(
            produce(1, bad(10), first_partition=3),
            produce(2, plain(11), first_partition=3),
            produce(3, plain(11)),
        )
        self.assertEqual([client.code(each) for each in (1, 2, 3)], [87, 45, 0])

    def test_other_partitions_of_a_request_are_published(self) -> None:
        client = self.client()
        client.send(produce(1, bad(10)), produce(2, good(11), good(5)))
        self.assertEqual([each.error_code for each in client.verdicts(2)], [45, 0])
        self.assertEqual(self.blobs, [b"good"])
        self.assert_published(b"good", partition=1)

    def test_a_batch_without_a_producer_id_leaves_no_hole(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"bad", mark=BAD))), produce(2, batch(record(b"next"))))
        self.assertEqual([client.code(1), client.code(2)], [87, 0])

    def test_another_connection_knows_nothing_of_it(self) -> None:
        client, other = self.client(), self.client()
        client.send(produce(1, bad(10)))
        other.send(produce(2, plain(11)))
        self.assertEqual(other.code(2), 0)

    def test_the_broker_s_own_refusal_leaves_no_hole(self) -> None:
        self.cluster.fail_next(87)
        client = self.client()
        client.send(produce(1, good(10)), produce(2, plain(11)))
        self.assertEqual([client.code(1), client.code(2)], [87, 0])

    def test_a_transactional_batch_is_no_exception(self) -> None:
        client = self.client()
        client.send(produce(1, bad(0), transactional_id="tx"), produce(2, plain(1), transactional_id="tx"))
        self.assertEqual([client.code(1), client.code(2)], [87, 45])

    def test_a_batch_too_large_to_be_held_leaves_a_hole(self) -> None:
        client = self.client()
        large = batch(record(bytes(600 * 1024)), producer=7, epoch=0, sequence=10)
        client.send(produce(1, large), produce(2, plain(11)))
        self.assertEqual([client.code(1), client.code(2)], [10, 45])


class OverlapTests(RelayTestCase):
    """Uploads overlap and end in any order; holes are remembered in the order of the requests."""

    def setUp(self) -> None:
        super().setUp()
        self.store.hold("seal")

    def end_upload(self, index: int, error: StoreUnavailable | None = None) -> None:
        """Let one of the uploads that are held end."""
        if error is not None:
            self.store.fail_next("seal", error)
        self.store.let_go_one("seal", index)
        self.net.flow()

    def test_later_uploads_that_end_first_wait_for_the_verdict(self) -> None:
        client = self.client()
        client.send(produce(1, good(10)), produce(2, good(11)), produce(3, good(12)), produce(4, plain(13)))
        self.end_upload(2)
        self.end_upload(1)
        self.assertEqual((client.order, self.cluster.produced), ([], []))
        self.end_upload(0, StoreUnavailable("S3 does not answer"))
        self.assertEqual([client.code(each) for each in (1, 2, 3, 4)], [56, 45, 45, 45])
        self.assert_nothing_published()

    def test_a_later_upload_that_fails_first_does_not_hurt_the_earlier_one(self) -> None:
        client = self.client()
        client.send(produce(1, good(10)), produce(2, good(11)), produce(3, plain(12)))
        self.end_upload(1, StoreUnavailable("S3 does not answer"))
        self.assertEqual(client.order, [])
        self.end_upload(0)
        self.assertEqual([client.code(each) for each in (1, 2, 3)], [0, 56, 45])
        self.assertEqual([each.base_sequence for each in self.cluster.records()], [10])

    def test_the_refused_batch_may_be_sent_again_while_later_ones_upload(self) -> None:
        client = self.client()
        client.send(produce(1, good(10)), produce(2, good(11)))
        self.end_upload(0, StoreUnavailable("S3 does not answer"))
        client.send(produce(3, good(10)), produce(4, good(11)))
        self.let_go("seal")
        self.assertEqual([client.code(each) for each in (1, 2, 3, 4)], [56, 45, 0, 0])
        self.assertEqual(len(self.blobs), 2)
