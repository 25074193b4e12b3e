import io.github.lfsproxy.client.LfsException;
import io.github.lfsproxy.client.kafka.LfsDeserializer;
import io.github.lfsproxy.client.kafka.LfsPollInterceptor;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.RecordDeserializationException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Goes past records whose blob cannot be had. Arguments: Kafka's bootstrap address, a topic. */
public class SkipPoison {
  private static final Duration SILENCE = Duration.ofSeconds(10); // Ends then. A service goes on.

  public static void main(String[] arguments) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("group.id", "skip-poison");
    properties.put("auto.offset.reset", "earliest");
    properties.put("key.deserializer", ByteArrayDeserializer.class);
    properties.put("value.deserializer", LfsDeserializer.class);
    properties.put("interceptor.classes", LfsPollInterceptor.class.getName());
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
      consumer.subscribe(List.of(arguments[1]));
      while (true) {
        try {
          ConsumerRecords<byte[], byte[]> records = consumer.poll(SILENCE);
          if (records.isEmpty()) {
            return;
          }
          for (ConsumerRecord<byte[], byte[]> record : records) {
            int length = record.value() == null ? 0 : record.value().length;
            System.out.printf("offset %d: %d bytes%n", record.offset(), length);
          }
        } catch (RecordDeserializationException error) {
          LfsException reason = reason(error);
          if (reason == null || reason.retriable()) {
            throw error; // Not the record's fault: come back later to this very record.
          }
          System.out.printf("offset %d: skipped, %s%n", error.offset(), reason.name());
          consumer.seek(error.topicPartition(), error.offset() + 1);
        }
      }
    }
  }

  /** The library's error among the causes; null where it is another's. */
  private static LfsException reason(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof LfsException) {
        return (LfsException) cause;
      }
    }
    return null;
  }
}
