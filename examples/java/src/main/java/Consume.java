import io.github.lfsproxy.client.kafka.LfsDeserializer;
import io.github.lfsproxy.client.kafka.LfsPollInterceptor;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Consumes blobs as values. Arguments: Kafka's bootstrap address, a topic, bytes in one poll. */
public class Consume {
  private static final Duration SILENCE = Duration.ofSeconds(10); // Ends then. A service goes on.

  public static void main(String[] arguments) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("group.id", "consume");
    properties.put("auto.offset.reset", "earliest");
    properties.put("key.deserializer", StringDeserializer.class);
    properties.put("value.deserializer", LfsDeserializer.class);
    properties.put("interceptor.classes", LfsPollInterceptor.class.getName());
    properties.put("lfs.inner.deserializer", ByteArrayDeserializer.class);
    properties.put("lfs.max.poll.bytes", arguments[2]);
    try (KafkaConsumer<String, byte[]> consumer = new KafkaConsumer<>(properties)) {
      consumer.subscribe(List.of(arguments[1]));
      while (true) {
        ConsumerRecords<String, byte[]> records = consumer.poll(SILENCE);
        if (records.isEmpty()) {
          return;
        }
        System.out.printf("%d records in this poll%n", records.count());
        for (ConsumerRecord<String, byte[]> record : records) {
          int length = record.value() == null ? 0 : record.value().length;
          System.out.printf("offset %d: %d bytes%n", record.offset(), length);
        }
      }
    }
  }
}
