"""The deserializer for kafka-python 3: ``KafkaConsumer(..., value_deserializer=LfsDeserializer(reader))``."""

from __future__ import annotations

from typing import Any

from kafka.serializer import Deserializer

from lfsproxy.client.reader import BlobReader
from lfsproxy.client.results import RecordCoordinates


class LfsDeserializer(Deserializer):  # type: ignore[misc]  # kafka-python has no types
    """Hands out the blob in place of an envelope; ``inner`` is a deserializer of the payload.

    It fetches while the consumer polls, so a blob counts against max_poll_interval_ms, and is held whole in
    memory: up to 256 MiB, or ``max_size`` of the reader. ``missing`` is what becomes of a blob that is
    skipped (on_missing="skip"): MISSING tells it from a null value, which stays None; ``inner`` is asked for
    None only. An LfsError comes out of ``poll``: seek past that record before the next one, from which
    kafka-python 3.0.12 never comes back otherwise.
    """

    def __init__(self, reader: BlobReader, inner: Deserializer | None = None, *, missing: Any = None) -> None:
        self._reader = reader
        self._inner = inner
        self._missing = missing

    def deserialize(self, topic: str, headers: list[tuple[str, bytes]], data: bytes | None) -> Any:
        resolved = self._reader.resolve(data, record=RecordCoordinates(topic))
        if resolved.missing and resolved.value is None and self._missing is not None:
            return self._missing
        return (
            resolved.value if self._inner is None else self._inner.deserialize(topic, headers, resolved.value)
        )

    def close(self) -> None:
        """Called by the consumer when it is closed. The reader is the caller's, and stays open."""
        if self._inner is not None:
            self._inner.close()
