package io.github.lfsproxy.client.connect;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.lfsproxy.client.Blob;
import io.github.lfsproxy.client.BlobMissingException;
import io.github.lfsproxy.client.FakeS3;
import io.github.lfsproxy.client.StoreUnavailableException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.errors.RetriableException;
import org.apache.kafka.connect.storage.StringConverter;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LfsConverterTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final byte[] ENVELOPE = Blob.of("hello").envelope("kafscale", KEY);
  private static final byte[] HELLO = "hello".getBytes(StandardCharsets.UTF_8);

  private final Headers headers = new RecordHeaders();
  private final Map<String, Object> properties = new HashMap<>();
  private FakeS3 s3;

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
    s3.blobs.put("kafscale/" + KEY, Blob.of("hello"));
    properties.putAll(
        Map.of(
            "lfs.s3.bucket", "kafscale",
            "lfs.s3.endpoint", s3.endpoint(),
            "lfs.s3.path.style", "true",
            "lfs.s3.access.key", "id",
            "lfs.s3.secret.key", "secret",
            "lfs.read.timeout.ms", "2000"));
  }

  @AfterEach
  void stop() throws IOException {
    s3.close();
  }

  private LfsConverter configured(boolean isKey) {
    LfsConverter converter = new LfsConverter();
    converter.configure(properties, isKey);
    return converter;
  }

  @Test
  void sinkGetsTheBlobAsBytes() {
    try (LfsConverter converter = configured(false)) {
      assertArrayEquals(HELLO, (byte[]) converter.toConnectData("t", ENVELOPE).value());
      assertArrayEquals(HELLO, (byte[]) converter.toConnectData("t", headers, ENVELOPE).value());
      assertArrayEquals(HELLO, (byte[]) converter.toConnectData("t", headers, HELLO).value());
      assertNull(converter.toConnectData("t", headers, null).value());
    }
  }

  @Test
  void innerConverterMakesWhatItMakes() {
    properties.put("lfs.inner.converter", StringConverter.class.getName());
    try (LfsConverter converter = configured(false)) {
      assertEquals("hello", converter.toConnectData("t", headers, ENVELOPE).value());
      assertArrayEquals(HELLO, converter.fromConnectData("t", Schema.STRING_SCHEMA, "hello"));
    }
  }

  @Test
  void keysPass() {
    try (LfsConverter converter = configured(true)) {
      assertArrayEquals(ENVELOPE, (byte[]) converter.toConnectData("t", headers, ENVELOPE).value());
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void failureCanBeToleratedAndUnavailableStoreTriedAgain() {
    s3.blobs.clear();
    try (LfsConverter converter = configured(false)) {
      DataException lost =
          assertThrows(DataException.class, () -> converter.toConnectData("t", headers, ENVELOPE));
      assertInstanceOf(BlobMissingException.class, lost.getCause());
      for (int failure = 0; failure < 5; failure++) {
        s3.script.add(FakeS3.error(503, "SlowDown"));
      }
      RetriableException later =
          assertThrows(
              RetriableException.class, () -> converter.toConnectData("t", headers, ENVELOPE));
      assertInstanceOf(StoreUnavailableException.class, later.getCause());
    }
  }

  @Test
  void sourceMarksValuesOfTheSizeAskedFor() {
    properties.put("lfs.mark.min.size", "5");
    properties.put("lfs.mark.checksum", "md5");
    try (LfsConverter converter = configured(false)) {
      converter.fromConnectData("t", headers, Schema.BYTES_SCHEMA, new byte[4]);
      assertNull(headers.lastHeader("LFS_BLOB"));
      assertNull(converter.fromConnectData("t", headers, Schema.OPTIONAL_BYTES_SCHEMA, null));
      assertNull(headers.lastHeader("LFS_BLOB"));
      assertArrayEquals(HELLO, converter.fromConnectData("t", headers, Schema.BYTES_SCHEMA, HELLO));
    }
    assertEquals(
        "5d41402abc4b2a76b9719d911017c592",
        new String(headers.lastHeader("LFS_BLOB").value(), StandardCharsets.UTF_8));
    assertNotNull(headers.lastHeader("LFS_BLOB_ALG"));
  }

  @Test
  void nothingIsMarkedByDefault() {
    try (LfsConverter converter = configured(false)) {
      converter.fromConnectData("t", headers, Schema.BYTES_SCHEMA, new byte[1000]);
    }
    assertEquals(0, headers.toArray().length);
  }
}
