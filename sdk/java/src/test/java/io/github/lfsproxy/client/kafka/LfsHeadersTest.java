package io.github.lfsproxy.client.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.lfsproxy.client.ChecksumAlgorithm;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;

class LfsHeadersTest {
  private static final byte[] HELLO = "hello".getBytes(StandardCharsets.UTF_8);

  private final ProducerRecord<byte[], byte[]> record = new ProducerRecord<>("t", HELLO);

  private List<String> headers() {
    return Arrays.stream(record.headers().toArray())
        .map(header -> header.key() + "=" + new String(header.value(), StandardCharsets.UTF_8))
        .collect(Collectors.toList());
  }

  @Test
  void markIsOneEmptyHeader() {
    assertSame(record, LfsHeaders.mark(record, LfsMark.blob()));
    assertEquals(List.of("LFS_BLOB="), headers());
  }

  @Test
  void markCarriesChecksumAlgorithmAndType() {
    LfsHeaders.mark(record, LfsMark.of(HELLO, ChecksumAlgorithm.MD5).contentType("image/png"));
    assertEquals(
        List.of(
            "LFS_BLOB=5d41402abc4b2a76b9719d911017c592",
            "LFS_BLOB_ALG=md5",
            "content-type=image/png"),
        headers());
  }

  @Test
  void laterMarkReplacesEarlierOneAndKeepsOtherHeaders() {
    record.headers().add("mine", HELLO);
    LfsHeaders.mark(record, LfsMark.of(HELLO, ChecksumAlgorithm.CRC32).contentType("a/b"));
    LfsHeaders.mark(record, LfsMark.blob().algorithm(ChecksumAlgorithm.SHA256));
    assertEquals(
        List.of("mine=hello", "content-type=a/b", "LFS_BLOB=", "LFS_BLOB_ALG=sha256"), headers());
  }

  @Test
  void tombstoneStaysAsItIs() {
    ProducerRecord<byte[], byte[]> tombstone = new ProducerRecord<>("t", null);
    assertSame(tombstone, LfsHeaders.mark(tombstone, LfsMark.blob()));
    assertEquals(0, tombstone.headers().toArray().length);
  }

  @Test
  void expectationThatIsNoChecksumIsRefused() {
    for (String wrong : new String[] {"", "00", "z".repeat(64)}) {
      assertThrows(
          IllegalArgumentException.class,
          () -> LfsMark.blob().expecting(ChecksumAlgorithm.SHA256, wrong));
    }
  }
}
