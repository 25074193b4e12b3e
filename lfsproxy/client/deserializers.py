"""Deserializers: a consumer that is given one hands out blobs in place of envelopes.

They fetch while the consumer polls, so a blob counts against its poll interval (max.poll.interval.ms), and is
held whole in memory: up to 256 MiB, or ``max_size`` of the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lfsproxy.client.reader import BlobReader
from lfsproxy.client.results import RecordCoordinates


class LfsDeserializer:
    """For confluent-kafka: ``value.deserializer`` of DeserializingConsumer and AvroDeserializer's like.

    ``inner`` is the deserializer of the payload, called with the blob (or the ordinary value) and the same
    context. ``missing`` is what becomes of a blob that the reader skips (on_missing="skip"): MISSING tells it
    from a null value, which stays None; ``inner`` is asked for None only. Errors are LfsError;
    DeserializingConsumer wraps them in ValueDeserializationError.
    """

    def __init__(
        self,
        reader: BlobReader,
        inner: Callable[[bytes | None, Any], Any] | None = None,
        *,
        missing: Any = None,
    ) -> None:
        self._reader = reader
        self._inner = inner
        self._missing = missing

    def __call__(self, value: bytes | None, ctx: Any = None) -> Any:
        topic = getattr(ctx, "topic", None)
        record = None if topic is None else RecordCoordinates(topic)
        resolved = self._reader.resolve(value, record=record)
        if resolved.missing and resolved.value is None and self._missing is not None:
            return self._missing
        return resolved.value if self._inner is None else self._inner(resolved.value, ctx)
