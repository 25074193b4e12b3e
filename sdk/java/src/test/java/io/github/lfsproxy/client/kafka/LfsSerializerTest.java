package io.github.lfsproxy.client.kafka;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.lfsproxy.client.ChecksumAlgorithm;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;

class LfsSerializerTest {
  private final Headers headers = new RecordHeaders();
  private final Map<String, Object> properties =
      new HashMap<>(
          Map.of(
              "lfs.inner.serializer",
              StringSerializer.class.getName(),
              "lfs.inner.key.serializer",
              StringSerializer.class,
              "lfs.mark.min.size",
              "5"));

  private LfsSerializer<String> configured(boolean isKey) {
    LfsSerializer<String> serializer = new LfsSerializer<>();
    serializer.configure(properties, isKey);
    return serializer;
  }

  private String header(String name) {
    Header header = headers.lastHeader(name);
    return header == null ? null : new String(header.value(), StandardCharsets.UTF_8);
  }

  @Test
  void valuesOfTheSizeAreMarked() {
    try (LfsSerializer<String> serializer = configured(false)) {
      byte[] hello = "hello".getBytes(StandardCharsets.UTF_8);
      assertArrayEquals(hello, serializer.serialize("t", headers, "hello"));
      assertEquals("", header("LFS_BLOB"));
      assertNull(header("LFS_BLOB_ALG"));
      assertArrayEquals(hello, serializer.serialize("t", "hello"));
      assertArrayEquals(hello, serializer.serialize("t", null, "hello"));
    }
  }

  @Test
  void smallValuesTombstonesAndKeysAreNot() {
    try (LfsSerializer<String> serializer = configured(false);
        LfsSerializer<String> keys = configured(true)) {
      serializer.serialize("t", headers, "hell");
      assertNull(serializer.serialize("t", headers, null));
      keys.serialize("t", headers, "a long key");
    }
    assertEquals(0, headers.toArray().length);
  }

  @Test
  void markOfAnotherValueGoesAndTheApplicationsOwnStays() {
    properties.put("lfs.mark.checksum", "md5");
    try (LfsSerializer<String> serializer = configured(false)) {
      serializer.serialize("t", headers, "hello");
      assertEquals("5d41402abc4b2a76b9719d911017c592", header("LFS_BLOB"));
      assertEquals("md5", header("LFS_BLOB_ALG"));
      serializer.serialize("t", headers, "other");
      assertEquals("795f3202b17cb6bc3d4b771d8c6c9eaf", header("LFS_BLOB"));
      serializer.serialize("t", headers, "tiny");
      assertEquals(0, headers.toArray().length);
      LfsHeaders.mark(headers, LfsMark.blob().algorithm(ChecksumAlgorithm.CRC32));
      serializer.serialize("t", headers, "tiny");
      serializer.serialize("t", headers, "hello");
      assertEquals("", header("LFS_BLOB"));
      assertEquals("crc32", header("LFS_BLOB_ALG"));
    }
  }

  @Test
  void sizeIsAMillionBytesByDefaultAndZeroMarksAll() {
    properties.remove("lfs.mark.min.size");
    try (LfsSerializer<String> serializer = configured(false)) {
      serializer.serialize("t", headers, "x".repeat(999_999));
      assertNull(header("LFS_BLOB"));
      serializer.serialize("t", headers, "x".repeat(1_000_000));
      assertEquals("", header("LFS_BLOB"));
    }
    properties.put("lfs.mark.min.size", 0);
    properties.put("lfs.mark.checksum", "true");
    try (LfsSerializer<String> serializer = configured(false)) {
      serializer.serialize("t", headers, "");
      assertEquals(ChecksumAlgorithm.SHA256.hex(new byte[0]), header("LFS_BLOB"));
    }
  }

  @Test
  void badPropertyIsNamed() {
    for (String name : new String[] {"lfs.mark.min.size", "lfs.mark.checksum"}) {
      Map<String, Object> bad = new HashMap<>(properties);
      bad.put(name, "-2");
      try (LfsSerializer<String> serializer = new LfsSerializer<>()) {
        ConfigException error =
            assertThrows(ConfigException.class, () -> serializer.configure(bad, false));
        assertTrue(error.getMessage().contains(name), error.getMessage());
      }
    }
    assertThrows(IllegalArgumentException.class, () -> MarkBySize.of(-2));
  }
}
