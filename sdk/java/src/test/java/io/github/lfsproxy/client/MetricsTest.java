package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.lfsproxy.client.micrometer.MicrometerHook;
import io.github.lfsproxy.client.opentelemetry.OpenTelemetryHook;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.data.HistogramPointData;
import io.opentelemetry.sdk.metrics.data.LongPointData;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.testing.exporter.InMemoryMetricReader;
import java.io.IOException;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the adapters count: two reads of a topic that succeed, and one of none that fails. */
class MetricsTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";

  private FakeS3 s3;

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
  }

  @AfterEach
  void stop() throws IOException {
    s3.close();
  }

  private void read(Consumer<Resolution> hook) {
    byte[] value = Blob.of("hello").envelope(TestReader.BUCKET, KEY);
    s3.blobs.put(TestReader.BUCKET + "/" + KEY, Blob.of("hello"));
    ReadOptions options = ReadOptions.none().record(RecordCoordinates.ofTopic("t"));
    try (LfsReader reader = TestReader.builder(s3).onResolve(hook).build()) {
      reader.resolve(value, options);
      reader.resolve(value, options);
      s3.blobs.clear();
      assertThrows(BlobMissingException.class, () -> reader.fetch(value));
    }
  }

  @Test
  void prometheusSeesTheNamesThatAllLanguagesHave() {
    PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    read(new MicrometerHook(registry));
    String shown = registry.scrape();
    for (String line :
        new String[] {
          "lfs_client_reads_total{result=\"ok\",topic=\"t\"} 2.0",
          "lfs_client_reads_total{result=\"blob-missing\",topic=\"\"} 1.0",
          "lfs_client_read_bytes_total{topic=\"t\"} 10.0",
          "lfs_client_read_seconds_bucket{le=\"0.005\"} ",
          "lfs_client_read_seconds_bucket{le=\"300.0\"} 3",
          "lfs_client_read_seconds_count 3",
        }) {
      assertTrue(shown.contains(line), line + " is not in\n" + shown);
    }
  }

  @Test
  void openTelemetryCountsTheSame() {
    InMemoryMetricReader metrics = InMemoryMetricReader.create();
    try (OpenTelemetrySdk sdk =
        OpenTelemetrySdk.builder()
            .setMeterProvider(SdkMeterProvider.builder().registerMetricReader(metrics).build())
            .build()) {
      read(new OpenTelemetryHook(sdk));
      Map<String, MetricData> all =
          metrics.collectAllMetrics().stream()
              .collect(Collectors.toMap(MetricData::getName, Function.identity()));
      assertEquals(
          Map.of("{result=\"ok\", topic=\"t\"}", 2L, "{result=\"blob-missing\", topic=\"\"}", 1L),
          counts(all.get("lfs.client.reads")));
      assertEquals(10L, counts(all.get("lfs.client.read.bytes")).get("{topic=\"t\"}"));
      assertEquals("By", all.get("lfs.client.read.bytes").getUnit());
      MetricData duration = all.get("lfs.client.read.duration");
      assertEquals("s", duration.getUnit());
      HistogramPointData point = duration.getHistogramData().getPoints().iterator().next();
      assertEquals(3, point.getCount());
      assertEquals(0.005, point.getBoundaries().get(0));
      assertEquals(300.0, point.getBoundaries().get(point.getBoundaries().size() - 1));
    }
  }

  private static Map<String, Long> counts(MetricData metric) {
    return metric.getLongSumData().getPoints().stream()
        .collect(Collectors.toMap(point -> text(point.getAttributes()), LongPointData::getValue));
  }

  private static String text(Attributes attributes) {
    return attributes.toString();
  }
}
