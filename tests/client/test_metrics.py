"""The hook's adapters: the same reads, as metrics of prometheus-client and of OpenTelemetry."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import RecordCoordinates
from lfsproxy.client.opentelemetry import OpenTelemetryHook
from lfsproxy.client.prometheus import PrometheusHook
from lfsproxy.errors import BlobMissing
from tests.client.doubles import FakeStore, reader, stored

PLACE = RecordCoordinates("demo", 3, 41)


def read_three(test: SynchronousTestCase, hook: Any) -> None:
    """Two blobs of five bytes, one of them with its record, and one that is not there."""
    store, value = stored(b"hello")
    reader(store, on_resolve=hook).fetch(value, record=PLACE)
    reader(store, on_resolve=hook).fetch(value)
    test.assertRaises(BlobMissing, reader(FakeStore(), on_resolve=hook).fetch, value, record=PLACE)


class PrometheusTests(SynchronousTestCase):
    def test_names_labels_and_values(self) -> None:
        registry = CollectorRegistry()
        read_three(self, PrometheusHook(registry))

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(name, labels)

        self.assertEqual(value("lfs_client_reads_total", topic="demo", result="ok"), 1)
        self.assertEqual(value("lfs_client_reads_total", topic="demo", result="blob-missing"), 1)
        self.assertEqual(value("lfs_client_reads_total", topic="", result="ok"), 1)
        self.assertEqual(value("lfs_client_read_bytes_total", topic="demo"), 5)
        self.assertEqual(value("lfs_client_read_seconds_count"), 3)
        bounds = [
            sample.labels["le"]
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == "lfs_client_read_seconds_bucket"
        ]
        self.assertEqual((bounds[0], bounds[-2]), ("0.005", "300.0"))


class OpenTelemetryTests(SynchronousTestCase):
    def test_names_attributes_and_values(self) -> None:
        exported = InMemoryMetricReader()
        provider = MeterProvider([exported])
        self.addCleanup(provider.shutdown)
        read_three(self, OpenTelemetryHook(provider))
        data = exported.get_metrics_data()
        assert data is not None
        metrics = {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
        self.assertEqual(
            {name: metric.unit for name, metric in metrics.items()},
            {"lfs.client.reads": "{read}", "lfs.client.read.bytes": "By", "lfs.client.read.duration": "s"},
        )

        def points(name: str) -> dict[Any, Any]:
            found: Any = metrics[name].data.data_points
            return {tuple(sorted((point.attributes or {}).items())): point for point in found}

        reads = points("lfs.client.reads")
        self.assertEqual(
            {key: point.value for key, point in reads.items()},
            {
                (("result", "ok"), ("topic", "demo")): 1,
                (("result", "blob-missing"), ("topic", "demo")): 1,
                (("result", "ok"), ("topic", "")): 1,
            },
        )
        self.assertEqual(points("lfs.client.read.bytes")[("topic", "demo"),].value, 5)
        duration = points("lfs.client.read.duration")[()]
        self.assertEqual((duration.count, duration.explicit_bounds[0]), (3, 0.005))
        self.assertEqual(duration.explicit_bounds[-1], 300)
