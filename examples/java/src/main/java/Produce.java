import io.github.lfsproxy.client.ChecksumAlgorithm;
import io.github.lfsproxy.client.kafka.LfsHeaders;
import io.github.lfsproxy.client.kafka.LfsMark;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Produces a file as one record. Arguments: the proxy's bootstrap address, a topic, the file. */
public class Produce {
  public static void main(String[] arguments) throws Exception {
    byte[] value = Files.readAllBytes(Path.of(arguments[2]));
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("key.serializer", ByteArraySerializer.class);
    properties.put("value.serializer", ByteArraySerializer.class);
    properties.put("max.request.size", Integer.MAX_VALUE); // The client's own limit: 1 MiB.
    properties.put("buffer.memory", 32L * 1024 * 1024 + 2L * value.length);
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties)) {
      ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(arguments[1], value);
      LfsMark mark = LfsMark.of(value, ChecksumAlgorithm.SHA256).contentType("image/png");
      LfsHeaders.mark(record, mark); // All that the proxy needs; send it as any other record.
      System.out.println(producer.send(record).get()); // topic-partition@offset
    }
  }
}
