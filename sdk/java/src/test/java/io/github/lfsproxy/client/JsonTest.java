package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
  private static Optional<Map<String, Object>> object(String text) {
    return Json.object(text.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void valuesAreThoseOfJava() {
    Map<String, Object> found =
        object(
                " {\"text\" : \"a\\u00e4\\n\\/\\\"\\ud83d\\ude00\", \"whole\":-12,\t\"other\":1.5e1,"
                    + "\r\n\"list\":[true,false,null,[],{}],\"\":{\"a\":1,\"a\":2}} ")
            .orElseThrow();
    assertEquals("aä\n/\"\uD83D\uDE00", found.get("text"));
    assertEquals(BigInteger.valueOf(-12), found.get("whole"));
    assertEquals(15.0, found.get("other"));
    assertEquals(Arrays.asList(true, false, null, List.of(), Map.of()), found.get("list"));
    assertEquals(Map.of("a", BigInteger.TWO), found.get(""));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "{",
        "[]",
        "1",
        "{}x",
        "{} {}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":0x1}",
        "{\"a\":NaN}",
        "{\"a\":tru}",
        "{\"a\":nulll}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u\u0661\u0661\u0661\u0661\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"open}",
        "{\"a\":1/**/}",
        "\uFEFF{}",
        "{\u00a0}",
      })
  void whatIsNotJsonIsNone(String text) {
    assertTrue(object(text).isEmpty());
  }

  @Test
  void textThatIsNotUtf8IsNone() {
    byte[] wrong = "{\"a\":\"x\"}".getBytes(StandardCharsets.US_ASCII);
    wrong[6] = (byte) 0xff;
    assertTrue(Json.object(wrong).isEmpty());
  }

  @Test
  void nestingHasALimit() {
    String arrays = "[".repeat(99) + "]".repeat(99);
    assertTrue(object("{\"a\":" + arrays + "}").isPresent());
    assertTrue(object("{\"a\":[" + arrays + "]}").isEmpty());
    assertTrue(object("{\"a\":" + "[".repeat(60_000)).isEmpty());
  }
}
