package io.github.lfsproxy.client;

import io.github.lfsproxy.client.kafka.LfsHeaders;
import io.github.lfsproxy.client.kafka.LfsMark;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Does what the end-to-end tests ask of every language: JSON lines in, one JSON line out for each.
 */
public final class ConformanceDriver {
  private LfsReader reader;

  private ConformanceDriver() {}

  public static void main(String[] arguments) throws Exception {
    ConformanceDriver driver = new ConformanceDriver();
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Map<String, Object> asked = Json.object(line.getBytes(StandardCharsets.UTF_8)).orElseThrow();
      System.out.println(driver.answer(asked));
      System.out.flush();
    }
  }

  private String answer(Map<String, Object> asked) throws Exception {
    switch ((String) asked.get("op")) {
      case "configure":
        configure(asked);
        return outcome("ok", "");
      case "read":
      case "stream":
        return read(asked);
      case "poll":
        return poll(asked);
      case "produce":
        return produce(asked);
      case "upload":
        return upload(asked);
      default:
        return outcome("unsupported", "");
    }
  }

  private void configure(Map<String, Object> asked) {
    List<String> prefixes =
        ((List<?>) asked.get("prefixes"))
            .stream().map(String.class::cast).collect(Collectors.toList());
    reader =
        LfsReader.builder()
            .bucket((String) asked.get("bucket"))
            .endpoint((String) asked.get("endpoint"))
            .region((String) asked.get("region"))
            .pathStyle((Boolean) asked.get("path_style"))
            .prefixes(prefixes)
            .maxSize(((BigInteger) asked.get("max_size")).longValueExact())
            .onMissing(OnMissing.of((String) asked.get("on_missing")))
            .build();
  }

  private String read(Map<String, Object> asked) throws IOException {
    String encoded = (String) asked.get("value");
    byte[] value = encoded == null ? null : Base64.getDecoder().decode(encoded);
    try {
      boolean ordinary = Envelope.parse(value).isEmpty();
      if ("stream".equals(asked.get("op"))) {
        return streamed(value, ordinary);
      }
      return resolved(reader.resolve(value));
    } catch (LfsException error) {
      return failed(error);
    }
  }

  private static String resolved(Resolved resolved) {
    if (resolved.missing() && resolved.value() == null) {
      return outcome("skipped", ",\"length\":null,\"sha256\":null");
    }
    byte[] bytes = resolved.value() == null ? new byte[0] : resolved.value();
    return handed(
        resolved.envelope().isEmpty() || resolved.missing(),
        bytes.length,
        ChecksumAlgorithm.SHA256.hex(bytes));
  }

  private static String failed(LfsException error) {
    return outcome(error.name(), ",\"length\":null,\"sha256\":null,\"message\":" + quoted(error));
  }

  private String poll(Map<String, Object> asked) {
    List<byte[]> values = new ArrayList<>();
    for (Object encoded : (List<?>) asked.get("values")) {
      values.add(encoded == null ? null : Base64.getDecoder().decode((String) encoded));
    }
    Prefetch prefetch =
        Prefetch.of(
            ((BigInteger) asked.get("concurrency")).intValueExact(),
            ((BigInteger) asked.get("max_bytes")).longValueExact());
    List<String> records = new ArrayList<>();
    try (Prefetched<byte[]> all =
        reader.resolveAll(values, value -> value, value -> ReadOptions.none(), prefetch)) {
      for (Prefetched.Entry<byte[]> entry : all) {
        records.add(
            entry
                .error()
                .map(ConformanceDriver::failed)
                .orElseGet(() -> resolved(entry.resolved())));
      }
    }
    return outcome("ok", ",\"records\":[" + String.join(",", records) + "]");
  }

  private String streamed(byte[] value, boolean ordinary) throws IOException {
    Checksum checksum = new Checksum(ChecksumAlgorithm.SHA256);
    byte[] chunk = new byte[64 * 1024];
    long length = 0;
    try (LfsBlob blob = reader.open(value)) {
      InputStream in = blob.stream();
      if (in == null && !ordinary) {
        return outcome("skipped", ",\"length\":null,\"sha256\":null");
      }
      for (int count = in == null ? -1 : in.read(chunk); count >= 0; count = in.read(chunk)) {
        checksum.update(chunk, 0, count);
        length += count;
      }
    }
    return handed(ordinary, length, checksum.hex());
  }

  private static String produce(Map<String, Object> asked)
      throws IOException, InterruptedException {
    byte[] value = Files.readAllBytes(Path.of((String) asked.get("file")));
    ChecksumAlgorithm algorithm =
        ChecksumAlgorithm.of((String) asked.get("algorithm")).orElseThrow();
    LfsMark mark =
        Boolean.TRUE.equals(asked.get("expected"))
            ? LfsMark.of(value, algorithm)
            : LfsMark.blob().algorithm(algorithm);
    Map<String, Object> properties =
        Map.of(
            "bootstrap.servers",
            asked.get("bootstrap"),
            "acks",
            "all",
            "max.request.size",
            Integer.MAX_VALUE,
            "buffer.memory",
            32L * 1024 * 1024 + 2L * value.length,
            "key.serializer",
            ByteArraySerializer.class,
            "value.serializer",
            ByteArraySerializer.class);
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties)) {
      ProducerRecord<byte[], byte[]> record =
          new ProducerRecord<>((String) asked.get("topic"), value);
      LfsHeaders.mark(record, mark.contentType((String) asked.get("content_type")));
      RecordMetadata sent = producer.send(record).get();
      return published(sent.partition(), sent.offset());
    } catch (ExecutionException error) {
      return outcome("error", ",\"message\":" + quoted(error.getCause()));
    }
  }

  private static String upload(Map<String, Object> asked) throws IOException {
    Path file = Path.of((String) asked.get("file"));
    ChecksumAlgorithm algorithm =
        ChecksumAlgorithm.of((String) asked.get("algorithm")).orElseThrow();
    UploadOptions options =
        UploadOptions.none()
            .contentType((String) asked.get("content_type"))
            .checksum(algorithm, algorithm.hex(file));
    try {
      UploadedRecord record =
          LfsUploader.builder((String) asked.get("url"))
              .build()
              .upload((String) asked.get("topic"), file, options);
      return published(record.partition(), record.offset());
    } catch (UploadException error) {
      return outcome(error.name(), ",\"message\":" + quoted(error));
    }
  }

  private static String published(int partition, long offset) {
    return outcome("ok", String.format(",\"partition\":%d,\"offset\":%d", partition, offset));
  }

  private static String handed(boolean ordinary, long length, String sha256) {
    return outcome(
        ordinary ? "ordinary" : "blob",
        String.format(",\"length\":%d,\"sha256\":\"%s\",\"message\":\"\"", length, sha256));
  }

  private static String outcome(String name, String more) {
    return "{\"outcome\":\"" + name + "\"" + more + "}";
  }

  private static String quoted(Throwable error) {
    StringBuilder quoted = new StringBuilder("\"");
    for (char letter : String.valueOf(error.getMessage()).toCharArray()) {
      if (letter < ' ' || letter == '"' || letter == '\\' || letter > '~') {
        quoted.append(String.format("\\u%04x", (int) letter));
      } else {
        quoted.append(letter);
      }
    }
    return quoted.append('"').toString();
  }
}
