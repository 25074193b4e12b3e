"""What WatchedClient notes of Produce requests, and its gate."""

from __future__ import annotations

from typing import Any
from unittest import mock

from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.producer import ProduceRequest, ProduceResponse
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.signing import Identity
from lfsproxy.broker.watch import Watch, WatchedClient
from lfsproxy.settings import Settings


def answer(code: int) -> Any:
    topic = ProduceResponse.TopicProduceResponse
    partition = topic.PartitionProduceResponse(index=0, error_code=code)
    return ProduceResponse(responses=[topic(name="demo", partition_responses=[partition])])


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.watch = Watch()
        self.client = WatchedClient(self.watch, Identity(Settings()), bootstrap_servers="127.0.0.1:1")
        self.addCleanup(self.client.close)
        self.below: list[Any] = []
        sending = mock.patch.object(KafkaNetClient, "send", lambda *_, **__: self.below.pop(0))
        sending.start()
        self.addCleanup(sending.stop)

    def send(self, below: Future, request: Any = None) -> Any:
        self.below.append(below)
        return self.client.send(1, request or ProduceRequest())

    def test_a_request_is_noted_when_it_leaves_and_when_it_is_answered(self) -> None:
        future = self.send(Future())
        self.assertEqual(self.watch.answers(), [None])
        future.success(answer(10))
        self.assertEqual(self.watch.answers(), [10])

    def test_each_time_it_leaves_is_noted(self) -> None:
        self.send(Future()).failure(kafka_errors.KafkaConnectionError())
        self.send(Future()).success(answer(0))
        self.assertEqual(self.watch.answers(), [None, 0])

    def test_the_note_is_made_before_the_producer_hears(self) -> None:
        future = self.send(Future())
        heard: list[list[int | None]] = []
        future.add_callback(lambda _: heard.append(self.watch.answers()))
        future.success(answer(87))
        self.assertEqual(heard, [[87]])

    def test_a_late_answer_is_not_taken_for_the_next_record(self) -> None:
        future = self.send(Future())
        self.watch.begin()
        future.success(answer(10))
        self.assertEqual(self.watch.answers(), [])

    def test_what_no_connection_took_has_not_left(self) -> None:
        self.send(Future().failure(kafka_errors.NodeNotReadyError("paused")))
        self.assertEqual(self.watch.answers(), [])

    def test_a_connection_that_broke_may_have_taken_it(self) -> None:
        self.send(Future().failure(kafka_errors.KafkaConnectionError("broken")))
        self.assertEqual(self.watch.answers(), [None])

    def test_other_requests_are_not_noted(self) -> None:
        self.send(Future(), MetadataRequest())
        self.assertEqual(self.watch.answers(), [])

    def test_nothing_leaves_through_a_gate_that_is_shut(self) -> None:
        self.watch.shut()
        future = self.client.send(1, ProduceRequest())
        self.assertIsInstance(future.exception, kafka_errors.IllegalStateError)
        self.assertFalse(future.retriable())
        self.assertEqual(self.watch.answers(), [])

    def test_its_refreshes_create_no_topics(self) -> None:
        self.client.cluster.add_topic("demo")
        self.assertIs(self.client.cluster.metadata_request().allow_auto_topic_creation, False)
