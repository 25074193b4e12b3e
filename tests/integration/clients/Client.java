// Apache Kafka's own producer under the tests' command: a JSON object per line in, one per line out.
//
// In:  {"config": {..}, "transactional": false, "records": [{"topic", "partition", "key", "value", "headers"}]}
// Out: {"results": [{"offset": 3} or {"error": "CorruptRecordException", "message": ".."}], "fatal": null or ".."}
//
// Keys, values and header values are base64 or null; a value may instead be read from a "file". Records are
// sent without waiting for each other. A transaction is committed, or aborted where one of its records failed.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Client {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            System.out.println(JSON.writeValueAsString(produce(JSON.readTree(line))));
            System.out.flush();
        }
    }

    private static ObjectNode produce(JsonNode command) throws Exception {
        Properties config = new Properties();
        command.get("config").fields().forEachRemaining(e -> config.put(e.getKey(), e.getValue().asText()));
        boolean transactional = command.get("transactional").asBoolean();
        ObjectNode answer = JSON.createObjectNode();
        ArrayNode results = answer.putArray("results");
        answer.putNull("fatal");
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (JsonNode record : command.get("records")) {
            records.add(read(record));
        }
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, bytes, bytes)) {
            if (transactional) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            List<Object> sent = new ArrayList<>();
            for (ProducerRecord<byte[], byte[]> record : records) {
                try {
                    sent.add(producer.send(record));
                } catch (KafkaException error) {
                    sent.add(error);
                }
            }
            producer.flush();
            boolean failed = false;
            for (Object one : sent) {
                failed |= !report(one, results.addObject());
            }
            if (transactional && failed) {
                producer.abortTransaction();
            } else if (transactional) {
                producer.commitTransaction();
            }
        } catch (KafkaException error) {
            answer.put("fatal", error.getClass().getSimpleName() + ": " + error.getMessage());
        }
        return answer;
    }

    private static boolean report(Object sent, ObjectNode result) throws InterruptedException {
        Throwable error;
        if (sent instanceof Throwable) {
            error = (Throwable) sent;
        } else {
            try {
                Object metadata = ((Future<?>) sent).get();
                result.put("offset", ((RecordMetadata) metadata).offset());
                return true;
            } catch (ExecutionException failure) {
                error = failure.getCause();
            }
        }
        result.put("error", error.getClass().getSimpleName());
        result.put("message", error.getMessage());
        return false;
    }

    private static ProducerRecord<byte[], byte[]> read(JsonNode record) throws IOException {
        byte[] value = record.has("file")
                ? Files.readAllBytes(Path.of(record.get("file").asText()))
                : decode(record.get("value"));
        ProducerRecord<byte[], byte[]> made = new ProducerRecord<>(
                record.get("topic").asText(), record.get("partition").asInt(), decode(record.get("key")), value);
        for (JsonNode header : record.get("headers")) {
            made.headers().add(header.get(0).asText(), decode(header.get(1)));
        }
        return made;
    }

    private static byte[] decode(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }
}
