"""Producing with confluent-kafka: large values are marked for the proxy.

    producer = MarkingProducer({"bootstrap.servers": "localhost:19092", "message.max.bytes": 100_000_000})
    producer.produce("demo-topic", value=payload)

A serializer cannot give a record headers where its caller has given none: so ``LfsSerializer`` alone needs
``headers=[]``, and ``MarkingProducer`` sees to that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import SerializingProducer

from lfsproxy.client.mark import MarkBySize


class LfsSerializer:
    """``value.serializer`` of a SerializingProducer: marks what ``inner`` (None: bytes already) has made.

    Adds the mark to the list or dict of headers that ``produce`` was given: give each record its own. Raises
    ValueError, which the producer wraps in ValueSerializationError, for a large value without headers.
    """

    def __init__(
        self, inner: Callable[[Any, Any], bytes | None] | None = None, mark: MarkBySize | None = None
    ) -> None:
        self._inner = inner
        self._mark = MarkBySize() if mark is None else mark

    def __call__(self, value: Any, ctx: Any = None) -> bytes | None:
        payload = value if self._inner is None else self._inner(value, ctx)
        if isinstance(payload, str):
            payload = payload.encode("utf-8")
        headers = getattr(ctx, "headers", None)
        marked = self._mark.headers(payload, headers)
        added = marked[len(headers or ()) :]
        if isinstance(headers, dict):
            headers.update(added)
        elif isinstance(headers, list):
            headers.extend(added)
        elif added:
            raise ValueError("give produce a list of headers (headers=[]): the value is to be marked by one")
        return payload


class MarkingProducer(SerializingProducer):
    """A SerializingProducer whose large values are marked for the proxy.

    Takes its configuration; ``value.serializer`` there is that of the payload.
    """

    def __init__(self, conf: dict[str, Any], mark: MarkBySize | None = None) -> None:
        serializer = LfsSerializer(conf.get("value.serializer"), mark)
        super().__init__({**conf, "value.serializer": serializer})

    def produce(  # type: ignore[override]  # as SerializingProducer's own, of Producer's
        self,
        topic: str,
        key: Any = None,
        value: Any = None,
        partition: int = -1,
        on_delivery: Any = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        """See SerializingProducer. The headers given are not changed: the record gets a copy."""
        copied = dict(headers) if isinstance(headers, dict) else list(headers or ())
        super().produce(topic, key, value, partition, on_delivery, timestamp, copied)
