package io.github.lfsproxy.client;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Strict JSON (RFC 8259) as plain Java values.
 *
 * <p>A number without fraction and exponent is a BigInteger, any other a Double; of members of one
 * name the last counts. Nested deeper than 100 levels it is none.
 *
 * <p>Own code, as any parser's library would meet another version of itself in an application that
 * has Kafka, Spring or Connect beside it.
 */
final class Json {
  /** Levels of objects and arrays; a parser's own limit differs from language to language. */
  private static final int MAX_NESTING = 100;

  private static final Pattern NUMBER =
      Pattern.compile("-?(?:0|[1-9][0-9]*+)(\\.[0-9]++)?([eE][+-]?[0-9]++)?");

  private static final String ESCAPED = "\"\\/bfnrt";
  private static final String MEANT = "\"\\/\b\f\n\r\t";

  private final String text;
  private int at;
  private int nesting;

  private Json(String text) {
    this.text = text;
  }

  /** The members of a JSON object; empty for bytes that are not UTF-8, not JSON or no object. */
  static Optional<Map<String, Object>> object(byte[] text) {
    try {
      Json json =
          new Json(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(text)).toString());
      json.skipSpace();
      if (!json.text.startsWith("{", json.at)) {
        return Optional.empty();
      }
      Map<String, Object> members = json.members();
      json.skipSpace();
      return json.at == json.text.length() ? Optional.of(members) : Optional.empty();
    } catch (CharacterCodingException | NotJsonException error) {
      return Optional.empty();
    }
  }

  private Map<String, Object> members() throws NotJsonException {
    Map<String, Object> members = new LinkedHashMap<>();
    open();
    if (!skips('}')) {
      do {
        skipSpace();
        String name = string();
        require(':');
        members.put(name, value());
      } while (skips(','));
      require('}');
    }
    nesting--;
    return members;
  }

  private List<Object> items() throws NotJsonException {
    List<Object> items = new ArrayList<>();
    open();
    if (!skips(']')) {
      do {
        items.add(value());
      } while (skips(','));
      require(']');
    }
    nesting--;
    return items;
  }

  /** Goes past the bracket or brace. */
  private void open() throws NotJsonException {
    at++;
    nesting++;
    if (nesting > MAX_NESTING) {
      throw new NotJsonException();
    }
  }

  private Object value() throws NotJsonException {
    skipSpace();
    switch (at < text.length() ? text.charAt(at) : ' ') {
      case '{':
        return members();
      case '[':
        return items();
      case '"':
        return string();
      case 't':
        return word("true", Boolean.TRUE);
      case 'f':
        return word("false", Boolean.FALSE);
      case 'n':
        return word("null", null);
      default:
        return number();
    }
  }

  private Boolean word(String word, Boolean meaning) throws NotJsonException {
    if (!text.startsWith(word, at)) {
      throw new NotJsonException();
    }
    at += word.length();
    return meaning;
  }

  private Number number() throws NotJsonException {
    Matcher number = NUMBER.matcher(text).region(at, text.length());
    if (!number.lookingAt()) {
      throw new NotJsonException();
    }
    at = number.end();
    boolean whole = number.group(1) == null && number.group(2) == null;
    return whole
        ? (Number) new BigInteger(number.group())
        : (Number) Double.valueOf(number.group());
  }

  private String string() throws NotJsonException {
    if (next() != '"') {
      throw new NotJsonException();
    }
    StringBuilder string = new StringBuilder();
    for (char letter = next(); letter != '"'; letter = next()) {
      if (letter < ' ') {
        throw new NotJsonException();
      }
      string.append(letter == '\\' ? escaped() : letter);
    }
    return string.toString();
  }

  private char escaped() throws NotJsonException {
    char kind = next();
    if (kind == 'u') {
      int unit = 0;
      for (int digit = 0; digit < 4; digit++) {
        unit = unit << 4 | hex(next());
      }
      return (char) unit;
    }
    int known = ESCAPED.indexOf(kind);
    if (known < 0) {
      throw new NotJsonException();
    }
    return MEANT.charAt(known);
  }

  /** The value of a digit of ASCII: Character.digit takes those of other scripts too. */
  private static int hex(char digit) throws NotJsonException {
    int value = digit < 128 ? Character.digit(digit, 16) : -1;
    if (value < 0) {
      throw new NotJsonException();
    }
    return value;
  }

  private char next() throws NotJsonException {
    if (at == text.length()) {
      throw new NotJsonException();
    }
    return text.charAt(at++);
  }

  private void require(char letter) throws NotJsonException {
    if (!skips(letter)) {
      throw new NotJsonException();
    }
  }

  /** Whether this letter is next, after space; then it is behind. */
  private boolean skips(char letter) {
    skipSpace();
    boolean found = at < text.length() && text.charAt(at) == letter;
    at += found ? 1 : 0;
    return found;
  }

  private void skipSpace() {
    while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
  }

  /** The text is not JSON. */
  private static final class NotJsonException extends Exception {
    private static final long serialVersionUID = 1L;

    NotJsonException() {
      super("not JSON", null, false, false);
    }
  }
}
