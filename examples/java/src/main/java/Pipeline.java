import io.github.lfsproxy.client.kafka.LfsSerde;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Repartitioned;

/** Kafka Streams with large values. Arguments: the proxy's bootstrap address, two topics, seconds. */
public class Pipeline {
  public static void main(String[] arguments) throws InterruptedException {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]); // The proxy, as it offloads what is marked.
    properties.put("application.id", "pipeline-of-" + arguments[1]);
    properties.put("auto.offset.reset", "earliest");
    properties.put("default.key.serde", Serdes.StringSerde.class);
    properties.put("default.value.serde", LfsSerde.class);
    properties.put("lfs.inner.serializer", StringSerializer.class);
    properties.put("lfs.inner.deserializer", StringDeserializer.class);
    properties.put("lfs.mark.min.size", 900_000); // Bytes. Brokers take 1 MiB by default.
    properties.put("max.request.size", 64 * 1024 * 1024); // The largest value, and some more.
    properties.put("buffer.memory", 128L * 1024 * 1024);

    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, String> texts = builder.stream(arguments[1]);
    texts
        .map((key, text) -> KeyValue.pair(text.substring(0, 1), text.replace(' ', '\n')))
        .repartition(Repartitioned.as("by-first-letter")) // Large values are offloaded here, too.
        .to(arguments[2]);
    try (KafkaStreams streams = new KafkaStreams(builder.build(), properties)) {
      streams.start();
      Thread.sleep(Long.parseLong(arguments[3]) * 1000); // A service goes on.
    }
  }
}
