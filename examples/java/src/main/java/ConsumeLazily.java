import io.github.lfsproxy.client.LfsBlob;
import io.github.lfsproxy.client.kafka.LfsValue;
import io.github.lfsproxy.client.kafka.LfsValueDeserializer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Saves the blob of each record. Arguments: Kafka's bootstrap address, a topic, a folder. */
public class ConsumeLazily {
  private static final Duration SILENCE = Duration.ofSeconds(10); // Ends then. A service goes on.

  public static void main(String[] arguments) throws Exception {
    Path folder = Files.createDirectories(Path.of(arguments[2]));
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("group.id", "consume-lazily");
    properties.put("auto.offset.reset", "earliest");
    properties.put("key.deserializer", StringDeserializer.class);
    properties.put("value.deserializer", LfsValueDeserializer.class);
    try (KafkaConsumer<String, LfsValue> consumer = new KafkaConsumer<>(properties)) {
      consumer.subscribe(List.of(arguments[1]));
      while (true) {
        ConsumerRecords<String, LfsValue> records = consumer.poll(SILENCE);
        if (records.isEmpty()) {
          return;
        }
        for (ConsumerRecord<String, LfsValue> record : records) {
          System.out.printf("offset %d: %s%n", record.offset(), record.value());
          if (record.value() != null) {
            save(record.value(), folder.resolve(record.offset() + ".bin"));
          }
        }
      }
    }
  }

  private static void save(LfsValue value, Path file) throws Exception {
    Path unfinished = file.resolveSibling(file.getFileName() + ".part");
    try (LfsBlob blob = value.open()) { // Fetched from S3 now.
      Files.copy(blob.stream(), unfinished, StandardCopyOption.REPLACE_EXISTING);
    }
    Files.move(unfinished, file, StandardCopyOption.REPLACE_EXISTING); // Verified to the end.
  }
}
