"""Nothing is uploaded for a topic that the client's broker does not have, or that no broker can have."""

from __future__ import annotations

from typing import Any

from lfsproxy.interfaces import IBlobUpload
from lfsproxy.testing import MemoryBlobStore
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import TOPIC, batch, lfs, produce, produce_topics, record, request
from tests.relay.rig import KIB, PASSTHROUGH, RelayTestCase

ILLEGAL = ("", ".", "..", "a/b", "a\nb", "a b", "ä", "a" * 250, "a\x1b[31m", "\udcff")


class Counting(MemoryBlobStore):
    """Counts what is begun."""

    begun = 0

    def begin(self, *args: Any) -> IBlobUpload:
        self.begun += 1
        return super().begin(*args)


class TopicsTestCase(RelayTestCase):
    """Without blobs, and without any that were begun."""

    store_type = Counting
    store: Counting

    def assert_nothing_begun(self) -> None:
        self.assertEqual(self.store.begun, 0)
        self.assert_nothing_published()


class AskedTests(TopicsTestCase):
    """Each connection asks once, before the first blob of a topic."""

    def refused(self, code: int, *batches: bytes, **fields: Any) -> str:
        client = self.client()
        client.send(produce(1, *(batches or (batch(lfs(b"x")),)), **fields))
        verdicts = client.verdicts(1)
        self.assertEqual({verdict.error_code for verdict in verdicts}, {code})
        self.assert_nothing_begun()
        return verdicts[0].error_message or ""

    def test_a_topic_that_is_not_there(self) -> None:
        self.cluster.topics[TOPIC] = (3, 0)
        self.assertEqual(self.refused(3), "the broker has no topic demo-topic")
        self.assertEqual(self.cluster.asked, [TOPIC])

    def test_a_topic_that_this_client_may_not_write_to(self) -> None:
        self.cluster.topics[TOPIC] = (29, 0)
        self.assertIn("does not let this client write to demo-topic", self.refused(29))

    def test_a_name_that_the_broker_does_not_take(self) -> None:
        self.cluster.topics[TOPIC] = (17, 0)
        self.refused(17)

    def test_a_partition_that_is_not_there(self) -> None:
        self.cluster.topics[TOPIC] = (0, 2)
        for partition in (2, 2**31 - 1, -1):
            why = self.refused(3, first_partition=partition)
            self.assertEqual(why, f"topic demo-topic has 2 partitions, there is no {partition}")

    def test_partitions_that_are_there_go_on(self) -> None:
        self.cluster.topics[TOPIC] = (0, 1)
        client = self.client()
        client.send(produce(1, batch(lfs(b"x")), batch(lfs(b"y"))))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 3])
        self.assert_published(b"x")

    def test_a_blind_retrier_leaves_nothing(self) -> None:
        self.cluster.topics[TOPIC] = (3, 0)
        client = self.client()
        for correlation_id in range(200):
            client.send(produce(correlation_id, batch(lfs(b"x"))))
        self.assertEqual({client.code(each) for each in range(200)}, {3})
        self.assert_nothing_begun()

    def test_a_compressed_batch_too(self) -> None:
        self.cluster.topics[TOPIC] = (3, 0)
        self.refused(3, batch(lfs(b"x"), codec=4))

    def test_a_streamed_batch_too(self) -> None:
        self.cluster.topics[TOPIC] = (3, 0)
        self.refused(3, batch(lfs(bytes(4 * PASSTHROUGH))))

    def test_without_acknowledgement_the_connection_is_closed(self) -> None:
        self.cluster.topics[TOPIC] = (3, 0)
        client = self.client()
        client.send(produce(1, batch(lfs(b"x")), acks=0))
        self.assertFalse(client.is_open)
        self.assert_nothing_published()

    def test_it_is_asked_once(self) -> None:
        client = self.client()
        client.send(*(produce(each, batch(lfs(b"x")), batch(lfs(b"y"))) for each in range(5)))
        self.assertEqual([len(client.verdicts(each)) for each in range(5)], [2] * 5)
        self.assertEqual(self.cluster.asked, [TOPIC])

    def test_each_connection_asks(self) -> None:
        for _ in range(2):
            self.client().send(produce(1, batch(lfs(b"x"))))
        self.assertEqual(self.cluster.asked, [TOPIC] * 2)

    def test_plain_records_ask_nothing(self) -> None:
        self.cluster.topics[TOPIC] = (3, 0)
        client = self.client()
        client.send(produce(1, batch(record(b"x")), batch(record(bytes(100 * KIB)), codec=4)))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 0])
        self.assertEqual(self.cluster.asked, [])

    def test_a_topic_that_was_just_created_is_there_at_the_next_attempt(self) -> None:
        self.cluster.topics[TOPIC] = (3, 0)
        client = self.client()
        client.send(produce(1, batch(lfs(b"x"))))
        self.cluster.topics[TOPIC] = (0, 1)
        client.send(produce(2, batch(lfs(b"x"))))
        self.assertEqual((client.code(1), client.code(2)), (3, 0))

    def test_a_partition_that_was_added_is_there(self) -> None:
        self.cluster.topics[TOPIC] = (0, 1)
        client = self.client()
        client.send(produce(1, batch(lfs(b"x"))))
        self.cluster.topics[TOPIC] = (0, 2)
        client.send(produce(2, batch(lfs(b"y")), first_partition=1))
        self.assertEqual((client.code(1), client.code(2)), (0, 0))

    def test_a_topic_that_was_deleted_is_asked_for_again(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"x"))))
        self.cluster.topics[TOPIC] = (3, 0)
        self.cluster.fail_next(3)
        for correlation_id in (2, 3, 4):
            client.send(produce(correlation_id, batch(lfs(b"y"))))
        self.assertEqual([client.code(each) for each in (1, 2, 3, 4)], [0, 3, 3, 3])
        # That of the acknowledged record, and of the one that met the deletion.
        self.assertEqual(self.blobs, [b"x", b"y"])

    def test_a_leader_that_moves_is_the_broker_s_to_tell(self) -> None:
        self.cluster.topics[TOPIC] = (5, 0)
        self.cluster.fail_next(6)
        client = self.client()
        client.send(produce(1, batch(lfs(b"x"))))
        self.assertEqual(client.code(1), 6)

    def test_a_broker_that_says_nothing_of_it_is_not_waited_for(self) -> None:
        self.cluster.tells_of_topics = False
        client = self.client()
        client.send(produce(1, batch(lfs(b"x"))))
        self.assertEqual(client.code(1), 0)

    def test_a_broker_that_is_slow_is_waited_for_two_seconds(self) -> None:
        client = self.client()
        self.cluster.held = True
        client.send(produce(1, batch(record(b"before"))), produce(2, batch(lfs(b"x"))))
        self.pass_seconds(1)
        self.assertEqual(len(self.broker.requests), 1)
        self.pass_seconds(1)
        self.assertEqual(len(self.broker.requests), 2)
        self.answer(2)
        self.assertEqual(client.order, [1, 2])

    def test_a_broker_without_that_version_is_not_asked(self) -> None:
        self.cluster.ranges = (
            (KafkaApi.PRODUCE, 0, 9),
            (KafkaApi.METADATA, 0, 4),
            (KafkaApi.API_VERSIONS, 0, 2),
        )
        client = self.client()
        client.send(request(KafkaApi.API_VERSIONS, 0, 1))
        client.send(produce(2, batch(lfs(b"x"))))
        self.assertEqual(client.code(2), 0)
        self.assertEqual(self.cluster.asked, [])

    def test_a_client_that_leaves_meanwhile(self) -> None:
        client = self.client()
        self.cluster.held = True
        client.send(produce(1, batch(record(b"before"))), produce(2, batch(lfs(b"x"))))
        client.hang_up()
        self.assertEqual(self.store.begun, 0)

    def test_the_hole_rule_holds(self) -> None:
        self.cluster.topics[TOPIC] = (3, 0)
        client = self.client()
        client.send(
            produce(1, batch(lfs(b"x"), producer=7, epoch=0, sequence=0)),
            produce(2, batch(record(b"y"), producer=7, epoch=0, sequence=1)),
        )
        self.assertEqual((client.code(1), client.code(2)), (3, 45))
        self.cluster.topics.clear()
        client.send(
            produce(3, batch(lfs(b"x"), producer=7, epoch=0, sequence=0)),
            produce(4, batch(record(b"y"), producer=7, epoch=0, sequence=1)),
        )
        self.assertEqual((client.code(3), client.code(4)), (0, 0))


class NameTests(TopicsTestCase):
    """Names that no topic can have are refused before anything is uploaded or asked."""

    def test_names_outside_the_grammar(self) -> None:
        for name in ILLEGAL:
            client = self.client()
            client.send(produce(1, batch(lfs(b"x")), topic=name))
            self.assertEqual(client.code(1), 17, name)
        self.assertEqual(self.cluster.asked, [])
        self.assert_nothing_begun()

    def test_the_longest_name(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"x")), topic="a" * 249))
        self.assertEqual(client.code(1), 0)

    def test_other_topics_go_on(self) -> None:
        client = self.client()
        topics = [
            TopicRecords(name, [PartitionRecords(0, [batch(lfs(name.encode()))])])
            for name in ("one", "no/name", "two")
        ]
        client.send(produce_topics(1, topics))
        self.assertEqual([each.error_code for each in client.verdicts(1)], [0, 17, 0])
        self.assert_published(b"one", topic="one")
        self.assert_published(b"two", topic="two")

    def test_plain_records_are_the_broker_s_to_judge(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"x")), topic="no/name"))
        self.assertEqual(client.code(1), 0)
