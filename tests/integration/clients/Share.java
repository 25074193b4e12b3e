// Apache Kafka's own share consumers under the tests' command: a JSON object per line in, one per line out.
//
// {"do": "open", "name", "bootstrap", "group", "topic"}          a consumer that acknowledges each record itself
// {"do": "poll", "name", "seconds"}                              the next records, as soon as there are any
// {"do": "acknowledge", "name", "acks": [[partition, offset, "ACCEPT"], ..]}
// {"do": "close", "name"}
// {"do": "read", "api", "version", "answer"}                     decode an answer (base64): its endpoints and topics
//
// Each answer may have an "error", the exception's name. Records have their partition, offset, delivery count, size
// and CRC-32. "errors" are those of the partitions whose acknowledgements failed.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.zip.CRC32;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.message.ShareAcknowledgeResponseData;
import org.apache.kafka.common.message.ShareFetchResponseData;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Share {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, Share> CONSUMERS = new HashMap<>();

    private final KafkaShareConsumer<byte[], byte[]> consumer;
    private final Map<String, ConsumerRecord<byte[], byte[]>> held = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // Where log4j writes.
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            ObjectNode answer = JSON.createObjectNode();
            try {
                run(JSON.readTree(line), answer);
            } catch (Exception error) {
                answer.put("error", error.getClass().getSimpleName());
                answer.put("message", String.valueOf(error.getMessage()));
            }
            answers.println(JSON.writeValueAsString(answer));
            answers.flush();
        }
    }

    private static void run(JsonNode command, ObjectNode answer) throws Exception {
        String name = command.path("name").asText();
        switch (command.get("do").asText()) {
            case "open" -> CONSUMERS.put(name, new Share(command));
            case "poll" -> CONSUMERS.get(name).poll(command.get("seconds").asInt(), answer);
            case "acknowledge" -> CONSUMERS.get(name).acknowledge(command.get("acks"), answer);
            case "close" -> CONSUMERS.remove(name).consumer.close();
            case "read" -> read(command, answer);
            default -> throw new IllegalArgumentException(command.toString());
        }
    }

    private Share(JsonNode command) {
        Properties config = new Properties();
        config.put("bootstrap.servers", command.get("bootstrap").asText());
        config.put("group.id", command.get("group").asText());
        config.put("share.acknowledgement.mode", "explicit");
        consumer = new KafkaShareConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(List.of(command.get("topic").asText()));
    }

    private void poll(int seconds, ObjectNode answer) {
        ArrayNode found = answer.putArray("records");
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        ConsumerRecords<byte[], byte[]> records;
        do {
            records = consumer.poll(Duration.ofMillis(100));
        } while (records.isEmpty() && System.nanoTime() < end);
        for (ConsumerRecord<byte[], byte[]> record : records) {
            held.put(record.partition() + " " + record.offset(), record);
            CRC32 crc = new CRC32();
            crc.update(record.value());
            ObjectNode one = found.addObject();
            one.put("partition", record.partition());
            one.put("offset", record.offset());
            one.put("delivery", record.deliveryCount().get());
            one.put("size", record.value().length);
            one.put("crc", crc.getValue());
        }
    }

    private void acknowledge(JsonNode acks, ObjectNode answer) {
        for (JsonNode ack : acks) {
            AcknowledgeType type = AcknowledgeType.valueOf(ack.get(2).asText());
            consumer.acknowledge(held.get(ack.get(0).asInt() + " " + ack.get(1).asLong()), type);
        }
        ArrayNode errors = answer.putArray("errors");
        consumer.commitSync().values().forEach(
                error -> error.ifPresent(each -> errors.add(each.getClass().getSimpleName())));
    }

    private static void read(JsonNode command, ObjectNode answer) {
        ByteBuffer bytes = ByteBuffer.wrap(Base64.getDecoder().decode(command.get("answer").asText()));
        short version = (short) command.get("version").asInt();
        ByteBufferAccessor reader = new ByteBufferAccessor(bytes);
        if (command.get("api").asInt() == 78) {
            ShareFetchResponseData read = new ShareFetchResponseData(reader, version);
            answer.put("endpoints", read.nodeEndpoints().size());
            answer.put("topics", read.responses().size());
        } else {
            ShareAcknowledgeResponseData read = new ShareAcknowledgeResponseData(reader, version);
            answer.put("endpoints", read.nodeEndpoints().size());
            answer.put("topics", read.responses().size());
        }
        answer.put("left", bytes.remaining());
    }
}
