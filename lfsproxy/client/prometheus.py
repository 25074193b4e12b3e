"""A consumer's reads as metrics of prometheus-client: ``BlobReader(..., on_resolve=PrometheusHook())``."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from lfsproxy.client.results import Resolution

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Seconds: from a small blob nearby to a large one far away."""


class PrometheusHook:
    """Counts every read in ``registry``. Make one for a process, and share it among its readers.

    lfs_client_reads_total{topic,result}, lfs_client_read_bytes_total{topic}, lfs_client_read_seconds. The
    topic is empty where the reader's caller named no record.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._reads = Counter(
            "lfs_client_reads_total",
            "Blobs that were read, by result.",
            ["topic", "result"],
            registry=registry,
        )
        self._bytes = Counter(
            "lfs_client_read_bytes_total", "Bytes of blobs that were received.", ["topic"], registry=registry
        )
        self._seconds = Histogram(
            "lfs_client_read_seconds",
            "From the start of a read to its end, its reader's own time included.",
            buckets=BUCKETS,
            registry=registry,
        )

    def __call__(self, resolution: Resolution) -> None:
        topic = resolution.record.topic if resolution.record else ""
        self._reads.labels(topic, resolution.result).inc()
        self._bytes.labels(topic).inc(resolution.size)
        self._seconds.observe(resolution.seconds)
