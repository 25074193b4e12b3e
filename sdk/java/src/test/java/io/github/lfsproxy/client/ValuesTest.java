package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.lfsproxy.client.kafka.LfsMark;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What a value says of itself in a log. */
class ValuesTest {
  private static final Envelope ENVELOPE =
      Envelope.parse(Blob.of("hello").envelope("kafscale", "lfs/default/t/0/7-x.bin"))
          .orElseThrow();

  @Test
  void uploadedRecordNamesItsPlaceAndItsBlob() {
    String answer =
        "{\"topic\":\"t\",\"partition\":2,\"offset\":7,\"timestamp\":1700000000000,\"envelope\":"
            + new String(
                Blob.of("hello").envelope("kafscale", "lfs/default/t/0/7-x.bin"),
                StandardCharsets.UTF_8)
            + "}";
    Map<String, Object> fields = Json.object(answer.getBytes(StandardCharsets.UTF_8)).orElseThrow();
    assertEquals(
        "t-2@7: kafscale/lfs/default/t/0/7-x.bin (5 bytes)", new UploadedRecord(fields).toString());
  }

  @Test
  void resolvedValueSaysWhatItIsAndNotItsBytes() {
    byte[] hello = "hello".getBytes(StandardCharsets.UTF_8);
    assertEquals("an ordinary value (5 bytes)", Resolved.ordinary(hello).toString());
    assertEquals("null", Resolved.ordinary(null).toString());
    assertEquals(ENVELOPE.toString(), new Resolved(hello, ENVELOPE, false).toString());
    assertEquals("missing: " + ENVELOPE, new Resolved(null, ENVELOPE, true).toString());
  }

  @Test
  void resolutionSaysWhatCameOfAnEnvelope() {
    Locale before = Locale.getDefault();
    Locale.setDefault(Locale.GERMANY);
    try {
      assertEquals(
          "ok: " + ENVELOPE + ", 5 bytes in 0.250 s",
          new Resolution(ENVELOPE, "ok", 5, 0.25, 1, null, null).toString());
    } finally {
      Locale.setDefault(before);
    }
  }

  @Test
  void optionsAndMarksAreShownAsTheyAreSent() {
    assertEquals("options", UploadOptions.none().toString());
    assertEquals(
        "options?partition=3&header=a%3Ab",
        UploadOptions.none().partition(3).header("a", "b").toString());
    assertEquals("LFS_BLOB=", LfsMark.blob().toString());
    assertEquals(
        "LFS_BLOB=3610a686, LFS_BLOB_ALG=crc32, content-type=image/png",
        LfsMark.of("hello".getBytes(StandardCharsets.UTF_8), ChecksumAlgorithm.CRC32)
            .contentType("image/png")
            .toString());
  }
}
