package io.github.lfsproxy.client;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * An S3 server on a raw socket, so that a test sees each request as sent and can cut any answer.
 */
public final class FakeS3 implements Closeable {
  /** One request: its target as it was on the wire, its headers by lower-case name. */
  public static final class Request {
    final String target;
    final Map<String, String> headers;
    final InputStream body;

    Request(String target, Map<String, String> headers, InputStream body) {
      this.target = target;
      this.headers = headers;
      this.body = body;
    }

    public String header(String name) {
      return headers.get(name);
    }

    /** bucket/key, with only the percent-encoding undone. */
    String path() {
      ByteArrayOutputStream path = new ByteArrayOutputStream();
      String raw = target.split("\\?", 2)[0].substring(1);
      for (int at = 0; at < raw.length(); at++) {
        if (raw.charAt(at) == '%') {
          path.write(Integer.parseInt(raw.substring(at + 1, at + 3), 16));
          at += 2;
        } else {
          path.write(raw.charAt(at));
        }
      }
      return new String(path.toByteArray(), StandardCharsets.UTF_8);
    }
  }

  /** Answers one request; the connection stays open where it returns true. */
  public interface Answer {
    boolean to(Request request, OutputStream out) throws IOException;
  }

  /** What the store has under bucket/key. */
  public final Map<String, Blob> blobs = new ConcurrentHashMap<>();

  /** The answers to the next requests, in order; after them the server answers as a store does. */
  public final Deque<Answer> script = new ConcurrentLinkedDeque<>();

  public final List<Request> requests = new CopyOnWriteArrayList<>();

  private final ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final List<Socket> sockets = new CopyOnWriteArrayList<>();

  public FakeS3() throws IOException {
    threads.execute(this::accept);
  }

  public String endpoint() {
    return "http://127.0.0.1:" + server.getLocalPort();
  }

  private void accept() {
    try {
      while (true) {
        Socket socket = server.accept();
        sockets.add(socket);
        threads.execute(() -> serve(socket));
      }
    } catch (IOException error) {
      if (!server.isClosed()) {
        throw new UncheckedIOException(error);
      }
    }
  }

  private void serve(Socket socket) {
    try (socket) {
      InputStream in = new BufferedInputStream(socket.getInputStream());
      OutputStream out = socket.getOutputStream();
      boolean open = true;
      for (Request request = read(in); open && request != null; request = open ? read(in) : null) {
        requests.add(request);
        Answer scripted = script.poll();
        open = (scripted == null ? (Answer) this::store : scripted).to(request, out);
        out.flush();
      }
    } catch (IOException error) {
      sockets.remove(socket); // The client has gone: that is its right, and what some tests do.
    }
  }

  private static Request read(InputStream in) throws IOException {
    String first = line(in);
    if (first == null) {
      return null;
    }
    Map<String, String> headers = new TreeMap<>();
    for (String line = line(in); line != null && !line.isEmpty(); line = line(in)) {
      int colon = line.indexOf(':');
      headers.put(
          line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).strip());
    }
    return new Request(first.split(" ")[1], headers, in);
  }

  private static String line(InputStream in) throws IOException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    for (int next = in.read(); next != '\n'; next = in.read()) {
      if (next < 0) {
        return null;
      }
      line.write(next);
    }
    return line.toString(StandardCharsets.ISO_8859_1).strip();
  }

  /** What a store answers to a GET. */
  public boolean store(Request request, OutputStream out) throws IOException {
    Blob blob = blobs.get(request.path());
    if (blob == null) {
      return error(404, "NoSuchKey").to(request, out);
    }
    String wanted = request.header("if-match");
    if (wanted != null && !wanted.equals(blob.etag)) {
      return error(412, "PreconditionFailed").to(request, out);
    }
    long first = first(request);
    head(out, request, blob, blob.length - first);
    blob.write(out, first, blob.length);
    return true;
  }

  private static long first(Request request) {
    String range = request.header("range");
    return range == null
        ? 0
        : Long.parseLong(range.substring("bytes=".length(), range.length() - 1));
  }

  private static void head(OutputStream out, Request request, Blob blob, long length)
      throws IOException {
    String status = request.header("range") == null ? "200 OK" : "206 Partial Content";
    String encoding = blob.encoding == null ? "" : "Content-Encoding: " + blob.encoding + "\r\n";
    ascii(out, "HTTP/1.1 " + status + "\r\nETag: " + blob.etag + "\r\n" + encoding);
    ascii(out, length < 0 ? "Connection: close\r\n\r\n" : "Content-Length: " + length + "\r\n\r\n");
  }

  /** Sends {@code bytes} of what was asked for, and cuts the connection. */
  public Answer cutAfter(long bytes) {
    return (request, out) -> {
      Blob blob = blobs.get(request.path());
      long first = first(request);
      head(out, request, blob, blob.length - first);
      blob.write(out, first, first + bytes);
      return false;
    };
  }

  /** Sends everything, without saying how much it will be. */
  public Answer withoutLength() {
    return (request, out) -> {
      Blob blob = blobs.get(request.path());
      head(out, request, blob, -1);
      blob.write(out, first(request), blob.length);
      return false;
    };
  }

  /** Answers with an error of S3. */
  public static Answer error(int status, String code) {
    return (request, out) -> {
      String body = "<Error><Code>" + code + "</Code><Message>no</Message></Error>";
      ascii(out, "HTTP/1.1 " + status + " Error\r\nContent-Type: application/xml\r\n");
      ascii(out, "Content-Length: " + body.length() + "\r\n\r\n" + body);
      return true;
    };
  }

  private static void ascii(OutputStream out, String text) throws IOException {
    out.write(text.getBytes(StandardCharsets.US_ASCII));
  }

  @Override
  public void close() throws IOException {
    server.close();
    for (Socket socket : sockets) {
      socket.close();
    }
    threads.shutdown();
  }
}
