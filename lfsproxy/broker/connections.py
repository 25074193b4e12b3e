"""kafka-python's connections, for those who read: a Fetch answer may hold null for no records.

The protocol allows that (https://kafka.apache.org/protocol, Fetch: ``records`` is nullable). Apache Kafka
sends an empty byte string instead, KafScale's broker sends null, and kafka-python's consumer fails on it.
"""

from __future__ import annotations

from typing import Any

from kafka.net.manager import KafkaConnectionManager
from kafka.protocol.consumer import FetchRequest


class ConnectionManager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python is untyped
    """The connections of a KafkaConsumer."""

    def send(self, request: Any, *args: Any, **named: Any) -> Any:
        """Send a request; its answer comes as kafka-python's future."""
        answer = super().send(request, *args, **named)
        if isinstance(request, FetchRequest):
            # Called before what the consumer adds.
            answer.add_callback(_no_null_records)
        return answer


def _no_null_records(response: Any) -> None:
    for topic in response.responses:
        for partition in topic.partitions:
            if partition.records is None:
                partition.records = b""
