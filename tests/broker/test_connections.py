"""Answers that kafka-python's consumer cannot read as they are."""

from __future__ import annotations

from typing import Any

from kafka.errors import InvalidReceiveError
from kafka.future import Future
from kafka.net.selector import NetworkSelector
from kafka.protocol.consumer import FetchRequest, FetchResponse
from kafka.protocol.metadata import MetadataRequest
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.connections import ConnectionManager, is_own_answer_too_large

Topic = FetchResponse.FetchableTopicResponse


def answered(*records: bytes | None) -> Any:
    """A Fetch answer as it is read off the wire."""
    partitions = [
        Topic.PartitionData(version=12, partition_index=index, records=data, aborted_transactions=[])
        for index, data in enumerate(records)
    ]
    answer = FetchResponse(responses=[Topic(version=12, topic="t", partitions=partitions)])
    return FetchResponse.decode(answer.encode(version=12), version=12)


class Connection:
    """Answers every request."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send_request(self, request: Any, request_timeout_ms: int | None = None) -> Any:
        return Future().success(self.answer)


class ConnectionManagerTests(SynchronousTestCase):
    def sent(self, request: Any, answer: Any) -> Any:
        manager = ConnectionManager(NetworkSelector(), bootstrap_servers="nowhere:1")
        self.addCleanup(manager.close)
        self.patch(manager, "get_connection", lambda node: Connection(answer))
        return manager.send(request, node_id=1).value

    def test_null_records_are_none(self) -> None:
        answer = answered(None, b"", b"batch")
        self.assertIsNone(answer.responses[0].partitions[0].records)
        found = self.sent(FetchRequest(), answer)
        self.assertEqual(
            [bytes(each.records) for each in found.responses[0].partitions], [b"", b"", b"batch"]
        )

    def test_other_answers_stay_as_they_are(self) -> None:
        answer = object()
        self.assertIs(self.sent(MetadataRequest(), answer), answer)

    def test_an_answer_that_is_too_large_is_blamed_on_its_own_request(self) -> None:
        manager = ConnectionManager(NetworkSelector(), bootstrap_servers="nowhere:1")
        self.addCleanup(manager.close)
        futures = [Future(), Future()]
        waiting = iter(futures)
        self.patch(manager, "get_connection", lambda node: Connection(waiting))
        self.patch(Connection, "send_request", lambda self, request, **named: next(self.answer))
        first, second = FetchRequest(), MetadataRequest()
        for request in (first, second):
            manager.send(request, node_id=1)
        # As a connection does: in the order of its requests, with one error.
        error = InvalidReceiveError("Invalid frame length")
        for future in futures:
            future.failure(error)
        self.assertTrue(is_own_answer_too_large(first, error))
        self.assertFalse(is_own_answer_too_large(second, error))
