"""Single records and their blobs, put into Kafka and S3 by hand: what no proxy would write."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from lfsproxy.envelope import object_key
from tests.integration.hydration.logs import NAMESPACE, envelope_for
from tests.integration.hydration.plans import EPOCH, Batch, Item
from tests.integration.hydration.requests import Requests, batch_bytes
from tests.integration.stack import Stack


class Placer:
    """Puts blobs of a topic into S3, and records into it. Every method blocks."""

    def __init__(self, servers: Stack, topic: str) -> None:
        self.topic = topic
        self._servers = servers
        self._s3 = servers.s3_client()

    def envelope(self, blob: bytes, **fields: Any) -> bytes:
        """Put a blob; its envelope, with some ``fields`` changed."""
        key = object_key(NAMESPACE, self.topic, 0, 0, uuid.uuid4())
        self._s3.put_object(Bucket=self._servers.bucket, Key=key, Body=blob)
        made = json.loads(envelope_for(self.topic, blob, key, "sha256", self._servers.bucket))
        return json.dumps({**made, **fields}, separators=(",", ":")).encode()

    def append(self, values: Sequence[bytes | None], codec: str = "none", partition: int = 0) -> int:
        """Append a batch with these values; its base offset."""
        batch = Batch([Item(None, (), EPOCH) for _ in values], codec)
        return self.append_bytes(batch_bytes(batch, list(values), None), partition)

    def append_bytes(self, batch: bytes, partition: int = 0) -> int:
        """Append a batch as it is; its base offset."""
        requests = Requests(self._servers.kafka.bootstrap)
        try:
            return requests.append(self.topic, partition, batch)[0]
        finally:
            requests.close()
