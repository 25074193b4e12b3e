"""Deserializers: a consumer that is given one hands out blobs in place of envelopes.

They fetch while the consumer polls, so a blob counts against its poll interval (max.poll.interval.ms), and is
held whole in memory: set ``max_size`` on the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lfsproxy.client.reader import BlobReader


class LfsDeserializer:
    """For confluent-kafka: ``value.deserializer`` of DeserializingConsumer and AvroDeserializer's like.

    ``inner`` is the deserializer of the payload, called with the blob (or the ordinary value) and the same
    context. Errors are LfsError; DeserializingConsumer wraps them in ValueDeserializationError.
    """

    def __init__(self, reader: BlobReader, inner: Callable[[bytes | None, Any], Any] | None = None) -> None:
        self._reader = reader
        self._inner = inner

    def __call__(self, value: bytes | None, ctx: Any = None) -> Any:
        payload = self._reader.fetch(value)
        return payload if self._inner is None else self._inner(payload, ctx)
