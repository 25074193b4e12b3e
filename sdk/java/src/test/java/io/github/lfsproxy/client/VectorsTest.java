package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** The record values that the readers of all languages share, and what each makes of them. */
class VectorsTest {
  private static final Path VECTORS = Path.of("../../tests/vectors/envelopes.json");

  @SuppressWarnings("unchecked")
  private static Map<String, Object> fields(Object object) {
    return (Map<String, Object>) object;
  }

  private static Stream<DynamicTest> each(Function<LfsReader, Function<byte[], byte[]>> read)
      throws IOException {
    Map<String, Object> file = Json.object(Files.readAllBytes(VECTORS)).orElseThrow();
    Map<String, Object> options = fields(file.get("reader"));
    return ((List<?>) file.get("vectors"))
        .stream()
            .map(VectorsTest::fields)
            .map(
                vector ->
                    DynamicTest.dynamicTest(
                        (String) vector.get("name"), () -> hold(options, vector, read)));
  }

  @TestFactory
  Stream<DynamicTest> resolvedWhole() throws IOException {
    return each(reader -> reader::fetch);
  }

  @TestFactory
  Stream<DynamicTest> streamed() throws IOException {
    return each(reader -> value -> TestReader.readAll(reader.open(value)));
  }

  private static void hold(
      Map<String, Object> options,
      Map<String, Object> vector,
      Function<LfsReader, Function<byte[], byte[]>> read)
      throws IOException {
    byte[] value = value(vector);
    String outcome = (String) vector.get("outcome");
    try (FakeS3 s3 = new FakeS3();
        LfsReader reader =
            TestReader.builder(s3)
                .buckets(strings(options.get("buckets")))
                .prefixes(strings(options.get("prefixes")))
                .maxSize(((BigInteger) options.get("max_size")).longValueExact())
                .build()) {
      if (vector.get("blob") != null) {
        Map<String, Object> found = Json.object(value).orElseThrow();
        s3.blobs.put(
            found.get("s3_bucket") + "/" + found.get("s3_key"),
            Blob.of((String) vector.get("blob")));
      }
      if (outcome.equals("ordinary")) {
        assertArrayEquals(value, read.apply(reader).apply(value));
        assertSame(value, reader.resolve(value).value());
      } else if (outcome.equals("blob")) {
        String blob = (String) vector.get("blob");
        assertArrayEquals(blob.getBytes(StandardCharsets.UTF_8), read.apply(reader).apply(value));
        assertEquals(vector.get("envelope"), asVector(Envelope.parse(value).orElseThrow()));
      } else {
        LfsException error =
            assertThrows(LfsException.class, () -> read.apply(reader).apply(value));
        assertEquals(outcome, error.name());
        assertNotNull(error.getMessage());
      }
    }
  }

  private static byte[] value(Map<String, Object> vector) {
    if (vector.get("value_base64") != null) {
      return Base64.getDecoder().decode((String) vector.get("value_base64"));
    }
    String text = (String) vector.get("value");
    return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
  }

  private static List<String> strings(Object list) {
    return ((List<?>) list).stream().map(String.class::cast).collect(Collectors.toList());
  }

  private static Map<String, Object> asVector(Envelope envelope) {
    return Map.of(
        "s3_bucket", envelope.bucket(),
        "s3_key", envelope.key(),
        "content_type", envelope.contentType(),
        "content_length", BigInteger.valueOf(envelope.contentLength()),
        "checksum_algo", envelope.checksumAlgorithm().id(),
        "checksum", envelope.checksum());
  }
}
