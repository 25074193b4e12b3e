// Apache Kafka's own consumer, as the package readers describes it.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedOutputStream;
import java.io.PrintStream;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Reader {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        JsonNode job = JSON.readTree(System.in);
        Properties config = new Properties();
        config.put("bootstrap.servers", job.get("bootstrap").asText());
        config.put("client.id", job.get("client_id").asText());
        config.put("client.rack", job.get("rack").asText());
        config.put("enable.auto.commit", "false");
        config.put("isolation.level", job.get("committed").asBoolean() ? "read_committed" : "read_uncommitted");
        config.put("check.crcs", "true");
        config.put("fetch.max.wait.ms", "100");
        config.put("fetch.max.bytes", job.get("max_bytes").asText());
        config.put("max.partition.fetch.bytes", job.get("partition_max_bytes").asText());
        Map<TopicPartition, Long> open = new HashMap<>();
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, "UTF-8");
                KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, bytes, bytes)) {
            for (JsonNode part : job.get("parts")) {
                open.put(place(part), part.get("until").asLong());
            }
            consumer.assign(open.keySet());
            for (JsonNode part : job.get("parts")) {
                consumer.seek(place(part), part.get("start").asLong());
            }
            while (!open.isEmpty()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    out.println(JSON.writeValueAsString(line(record)));
                    TopicPartition place = new TopicPartition(record.topic(), record.partition());
                    if (record.offset() >= open.getOrDefault(place, Long.MAX_VALUE)) {
                        open.remove(place);
                    }
                }
            }
        }
    }

    private static TopicPartition place(JsonNode part) {
        return new TopicPartition(part.get("topic").asText(), part.get("partition").asInt());
    }

    private static ObjectNode line(ConsumerRecord<byte[], byte[]> record) throws Exception {
        ObjectNode line = JSON.createObjectNode();
        line.put("topic", record.topic());
        line.put("partition", record.partition());
        line.put("offset", record.offset());
        line.put("key", encoded(record.key()));
        line.put("timestamp", record.timestamp());
        line.put("timestamp_type", record.timestampType().id);
        ArrayNode headers = line.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(encoded(header.value()));
        }
        byte[] value = record.value();
        line.put("length", value == null ? -1 : value.length);
        line.put("sha256", value == null
                ? "" : HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(value)));
        return line;
    }

    private static String encoded(byte[] data) {
        return data == null ? null : Base64.getEncoder().encodeToString(data);
    }
}
