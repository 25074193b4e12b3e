package io.github.lfsproxy.client.opentelemetry;

import io.github.lfsproxy.client.RecordCoordinates;
import io.github.lfsproxy.client.Resolution;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.Meter;
import java.util.List;
import java.util.function.Consumer;

/**
 * Counts reads with OpenTelemetry: {@code lfs.client.reads} (topic, result), {@code
 * lfs.client.read.bytes} (topic) and the histogram {@code lfs.client.read.duration} in seconds.
 *
 * <pre>{@code
 * LfsReader.builder().onResolve(new OpenTelemetryHook(openTelemetry))
 * lfs.on.resolve=io.github.lfsproxy.client.opentelemetry.OpenTelemetryHook
 * }</pre>
 *
 * <p>Needs io.opentelemetry:opentelemetry-api, which this library does not bring.
 */
public final class OpenTelemetryHook implements Consumer<Resolution> {
  private static final AttributeKey<String> TOPIC = AttributeKey.stringKey("topic");
  private static final AttributeKey<String> RESULT = AttributeKey.stringKey("result");

  /** From what a small blob takes to what a large one over a slow link does. In seconds. */
  private static final List<Double> BUCKETS =
      List.of(
          0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0);

  private final LongCounter reads;
  private final LongCounter bytes;
  private final DoubleHistogram duration;

  /** By the global OpenTelemetry. */
  public OpenTelemetryHook() {
    this(GlobalOpenTelemetry.get());
  }

  /** By this OpenTelemetry. */
  public OpenTelemetryHook(OpenTelemetry openTelemetry) {
    Meter meter = openTelemetry.getMeter("io.github.lfsproxy.client");
    reads =
        meter
            .counterBuilder("lfs.client.reads")
            .setDescription("Envelopes that were resolved, by what came of them")
            .build();
    bytes =
        meter
            .counterBuilder("lfs.client.read.bytes")
            .setDescription("Bytes of blobs that were received")
            .setUnit("By")
            .build();
    duration =
        meter
            .histogramBuilder("lfs.client.read.duration")
            .setDescription("How long reads of blobs took, the reader's own time included")
            .setUnit("s")
            .setExplicitBucketBoundariesAdvice(BUCKETS)
            .build();
  }

  @Override
  public void accept(Resolution resolution) {
    String topic = resolution.record().map(RecordCoordinates::topic).orElse("");
    reads.add(1, Attributes.of(TOPIC, topic, RESULT, resolution.result()));
    bytes.add(resolution.size(), Attributes.of(TOPIC, topic));
    duration.record(resolution.seconds());
  }
}
