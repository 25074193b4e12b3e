"""The reads of a consumer as OpenTelemetry metrics: ``BlobReader(..., on_resolve=OpenTelemetryHook())``."""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider, get_meter

from lfsproxy.client.results import Resolution

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Seconds, a hint for the SDK: from a small blob nearby to a large one far away."""


class OpenTelemetryHook:
    """Counts every read by a meter of ``provider`` (None: the global one).

    lfs.client.reads {topic,result}, lfs.client.read.bytes {topic} (By), lfs.client.read.duration (s). The
    topic is empty where the reader's caller named no record.
    """

    def __init__(self, provider: MeterProvider | None = None) -> None:
        meter = get_meter("lfsproxy.client", meter_provider=provider)
        self._reads = meter.create_counter("lfs.client.reads", "{read}", "Blobs that were read, by result.")
        self._bytes = meter.create_counter(
            "lfs.client.read.bytes", "By", "Bytes of blobs that were received."
        )
        self._seconds = meter.create_histogram(
            "lfs.client.read.duration",
            "s",
            "From the start of a read to its end, its reader's own time included.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

    def __call__(self, resolution: Resolution) -> None:
        topic = {"topic": resolution.record.topic if resolution.record else ""}
        self._reads.add(1, {**topic, "result": resolution.result})
        self._bytes.add(resolution.size, topic)
        self._seconds.record(resolution.seconds)
