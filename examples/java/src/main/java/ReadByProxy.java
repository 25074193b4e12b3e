import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.ProxySource;
import io.github.lfsproxy.client.Resolved;
import io.github.lfsproxy.client.kafka.LfsRecords;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads blobs without S3. Arguments: Kafka's bootstrap address, a topic, the proxy's URL. */
public class ReadByProxy {
  private static final Duration SILENCE = Duration.ofSeconds(10); // Ends then. A service goes on.

  public static void main(String[] arguments) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("group.id", "read-by-proxy");
    properties.put("auto.offset.reset", "earliest");
    properties.put("key.deserializer", ByteArrayDeserializer.class);
    properties.put("value.deserializer", ByteArrayDeserializer.class);
    ProxySource proxy = new ProxySource(arguments[2], null); // Or with an API key.
    try (LfsReader reader = LfsReader.builder().source(proxy).build();
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
      consumer.subscribe(List.of(arguments[1]));
      while (true) {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(SILENCE);
        if (records.isEmpty()) {
          return;
        }
        for (ConsumerRecord<byte[], byte[]> record : records) {
          Resolved blob = LfsRecords.resolve(reader, record); // By topic, partition and offset.
          System.out.printf("offset %d: %s%n", record.offset(), blob);
        }
      }
    }
  }
}
