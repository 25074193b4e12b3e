"""The deserializer for kafka-python 3: ``KafkaConsumer(..., value_deserializer=LfsDeserializer(reader))``."""

from __future__ import annotations

from typing import Any

from kafka.serializer import Deserializer

from lfsproxy.client.reader import BlobReader


class LfsDeserializer(Deserializer):  # type: ignore[misc]  # kafka-python has no types
    """Hands out the blob in place of an envelope; ``inner`` is a deserializer of the payload.

    It fetches while the consumer polls, so a blob counts against max_poll_interval_ms, and is held whole in
    memory. An LfsError comes out of ``poll``: seek past that record before the next one, from which
    kafka-python 3.0.12 never comes back otherwise. ``on_missing`` of the reader lets lost blobs pass.
    """

    def __init__(self, reader: BlobReader, inner: Deserializer | None = None) -> None:
        self._reader = reader
        self._inner = inner

    def deserialize(self, topic: str, headers: list[tuple[str, bytes]], data: bytes | None) -> Any:
        payload = self._reader.fetch(data)
        return payload if self._inner is None else self._inner.deserialize(topic, headers, payload)

    def close(self) -> None:
        """Called by the consumer when it is closed. The reader is the caller's, and stays open."""
        if self._inner is not None:
            self._inner.close()
