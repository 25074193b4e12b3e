"""A whole relay that gives blobs to its consumers, in memory, and what they get."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from lfsproxy.envelope import Envelope, object_key
from lfsproxy.testing import MemoryBlob
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.fetch import FetchPartition, FetchRequest, FetchTopic, TopicRef, parse_fetch_request
from lfsproxy.wire.fetch_answers import FetchAnswer, FetchedPartition, FetchedTopic, read_fetch_answer
from tests.relay.broker import Request
from tests.relay.fetch.log import seen
from tests.relay.records import batch, record, request
from tests.relay.rig import KIB, Client, RelayTestCase

TOPIC = "demo-topic"
SMALL, LARGE = b"s" * 1000, b"L" * 600 * KIB
VERSION = 11
LIMIT = 2**30


class HydrationTestCase(RelayTestCase):
    """A relay that gives blobs, and a broker with ``partitions``: records by topic and partition."""

    overrides: dict[str, Any] = {
        "hydrate_topics": ("demo-*", "__*"),
        "hydrate_client_ids": ("*", "!sdk-*"),
        "upload_memory": 16 * 1024 * KIB,
    }

    def prepare(self) -> None:
        self.numbers = itertools.count()
        self.partitions: dict[tuple[TopicRef, int], bytes] = {}
        self.cluster.others[KafkaApi.FETCH] = self.fetched

    def fetched(self, one: Request) -> bytes:
        """What the broker answers: everything that it has of what is asked."""
        asked = parse_fetch_request(one.version, one.body)
        answer = FetchAnswer(
            session_id=0 if asked.session_epoch < 0 else 77,
            topics=[
                FetchedTopic(
                    topic.topic,
                    [
                        FetchedPartition(
                            each.partition, 0, 9, 9, self.partitions.get((topic.topic, each.partition), b"")
                        )
                        for each in topic.partitions
                    ],
                )
                for topic in asked.topics
            ],
        )
        pieces = answer.layout(one.version, 0)
        return b"".join(bytes(piece) for piece in pieces if not isinstance(piece, FetchedPartition))[8:]

    def put(self, data: bytes, topic: str = TOPIC, **fields: Any) -> bytes:
        """A blob in the store, and its envelope."""
        key = object_key("default", topic, 0, 0, UUID(int=next(self.numbers)))
        self.store.blobs[key] = MemoryBlob(data, "text/plain", {})
        said = {"content_length": len(data), "checksum": hashlib.sha256(data).hexdigest(), **fields}
        return Envelope(
            s3_bucket=self.store.bucket,
            s3_key=key,
            content_type="text/plain",
            checksum_algo="sha256",
            **said,
        ).to_bytes()

    def key_of(self, index: int = -1) -> str:
        """The key of a blob that was put."""
        return list(self.store.blobs)[index]

    def serve(self, *values: bytes, topic: TopicRef = TOPIC, partition: int = 0, codec: int = 0) -> bytes:
        """Have the broker give a batch with these values."""
        data = batch(*[record(value) for value in values], codec=codec)
        self.partitions[topic, partition] = data
        return data

    def fetch(
        self,
        correlation_id: int = 1,
        topics: Mapping[TopicRef, Sequence[int]] | None = None,
        version: int = VERSION,
        session: tuple[int, int] = (0, 0),
        max_bytes: int = LIMIT,
        client_id: bytes = b"a-consumer",
    ) -> bytes:
        """A Fetch request."""
        asked = FetchRequest(
            500,
            1,
            max_bytes,
            0,
            [
                FetchTopic(topic, [FetchPartition(each, 0, max_bytes) for each in partitions])
                for topic, partitions in (topics or {TOPIC: [0]}).items()
            ],
            *session,
        )
        return request(KafkaApi.FETCH, version, correlation_id, asked.to_bytes(version), client_id)

    def answer_of(self, client: Client, correlation_id: int = 1, version: int = VERSION) -> FetchAnswer:
        """An answer as the client got it."""
        (body,) = [reply.body for reply in client.replies if reply.correlation_id == correlation_id]
        return read_fetch_answer(version, body)

    def values(self, answer: FetchAnswer) -> list[list[bytes | None]]:
        """The values of each partition's records."""
        return [
            [value for _, value in seen(bytes(each.records or b""), 0)[0]]
            for topic in answer.topics
            for each in topic.partitions
        ]

    def results(self) -> list[tuple[object, ...]]:
        """What was counted, without the bytes."""
        return [(topic, result) for topic, result, _ in self.metrics.of("hydration")]

    def consume(self, *args: Any, **named: Any) -> Client:
        """A client that has fetched."""
        client = self.client()
        client.send(self.fetch(*args, **named))
        return client
