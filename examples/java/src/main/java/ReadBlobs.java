import io.github.lfsproxy.client.LfsBlob;
import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.kafka.LfsRecords;
import java.io.InputStream;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Streams the blob of each record. Arguments: Kafka's bootstrap address, a topic. */
public class ReadBlobs {
  private static final Duration SILENCE = Duration.ofSeconds(10); // Ends then. A service goes on.

  public static void main(String[] arguments) throws Exception {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("group.id", "read-blobs");
    properties.put("auto.offset.reset", "earliest");
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
        for (ConsumerRecord<byte[], byte[]> record : records) {
          System.out.printf("offset %d: %d bytes%n", record.offset(), length(reader, record));
        }
      }
    }
  }

  private static long length(LfsReader reader, ConsumerRecord<byte[], byte[]> record)
      throws Exception {
    long length = 0;
    try (LfsBlob blob = LfsRecords.open(reader, record)) { // An ordinary value is itself.
      InputStream in = blob.stream() == null ? InputStream.nullInputStream() : blob.stream();
      byte[] chunk = new byte[64 * 1024];
      for (int count = in.read(chunk); count >= 0; count = in.read(chunk)) {
        length += count; // Act on the bytes only when the end has come: it is verified there.
      }
    }
    return length;
  }
}
