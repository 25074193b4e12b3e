"""kafka-python's connections, for those who read: null for no records, and answers that are too large.

The protocol allows that (https://kafka.apache.org/protocol, Fetch: ``records`` is nullable). Apache Kafka
sends an empty byte string instead, KafScale's broker sends null, and kafka-python's consumer fails on it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.manager import KafkaConnectionManager
from kafka.protocol.consumer import FetchRequest


class ConnectionManager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python is untyped
    """The connections of a KafkaConsumer."""

    def send(self, request: Any, *args: Any, **named: Any) -> Any:
        """Send a request; its answer comes as kafka-python's future."""
        answer = super().send(request, *args, **named)
        answer.add_errback(partial(_blame, request))
        if isinstance(request, FetchRequest):
            # Called before what the consumer adds.
            answer.add_callback(_no_null_records)
        return answer


def is_own_answer_too_large(request: Any, error: Exception) -> bool:
    """Whether it was the answer to this request that was larger than ``receive_message_max_bytes``.

    kafka-python fails every request of the connection with one error then. Answers come in the order of
    their requests, and the requests fail in it: the first is the one.
    """
    return getattr(error, "lfs_request", None) is request


def _blame(request: Any, error: Exception) -> None:
    if isinstance(error, kafka_errors.InvalidReceiveError) and not hasattr(error, "lfs_request"):
        error.lfs_request = request


def _no_null_records(response: Any) -> None:
    for topic in response.responses:
        for partition in topic.partitions:
            if partition.records is None:
                partition.records = b""
