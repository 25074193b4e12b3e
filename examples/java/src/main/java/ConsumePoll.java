import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.Prefetch;
import io.github.lfsproxy.client.Prefetched;
import io.github.lfsproxy.client.kafka.LfsRecords;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Fetches the blobs of a poll eight at a time. Arguments: Kafka's bootstrap address, a topic. */
public class ConsumePoll {
  private static final Duration SILENCE = Duration.ofSeconds(10); // Ends then. A service goes on.
  private static final Prefetch BOUNDS = Prefetch.of(8, 256L * 1024 * 1024); // Fetches, bytes held.

  public static void main(String[] arguments) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("group.id", "consume-poll");
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    properties.put("key.deserializer", ByteArrayDeserializer.class);
    properties.put("value.deserializer", ByteArrayDeserializer.class);
    try (LfsReader reader = LfsReader.fromEnvironment();
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
      consumer.subscribe(List.of(arguments[1]));
      while (true) {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(SILENCE);
        if (records.isEmpty()) {
          return;
        }
        try (var blobs = LfsRecords.resolveAll(reader, records, BOUNDS)) {
          for (var entry : blobs) { // In the order of the records.
            handle(entry);
          }
        }
        consumer.commitSync();
      }
    }
  }

  private static void handle(Prefetched.Entry<ConsumerRecord<byte[], byte[]>> entry) {
    long offset = entry.item().offset();
    if (entry.error().isPresent()) { // Only of this record: the others are there.
      System.out.printf("offset %d: %s%n", offset, entry.error().get().name());
    } else if (entry.value() == null) {
      System.out.printf("offset %d: a tombstone%n", offset);
    } else {
      System.out.printf("offset %d: %d bytes%n", offset, entry.value().length);
    }
  }
}
