package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;

/** A store whose certificate is signed by nobody whom the Java runtime trusts. */
class AuthoritiesTest {
  private static final char[] PASSWORD = "password".toCharArray();
  private static final byte[] VALUE =
      Blob.of("hello").envelope(TestReader.BUCKET, "lfs/default/t/0/1-x.bin");

  @TempDir private static Path folder;
  private static HttpsServer server;
  private static Path ca;

  @BeforeAll
  static void start() throws Exception {
    KeyStore keys = keys(folder.resolve("keys.p12"));
    ca = folder.resolve("ca.pem");
    String encoded =
        Base64.getMimeEncoder().encodeToString(keys.getCertificate("mykey").getEncoded());
    Files.writeString(
        ca, "-----BEGIN CERTIFICATE-----\n" + encoded + "\n-----END CERTIFICATE-----\n");
    KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    own.init(keys, PASSWORD);
    SSLContext tls = SSLContext.getInstance("TLS");
    tls.init(own.getKeyManagers(), null, null);
    server = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setHttpsConfigurator(new HttpsConfigurator(tls));
    server.createContext(
        "/",
        exchange -> {
          exchange.sendResponseHeaders(200, 5);
          exchange.getResponseBody().write("hello".getBytes(StandardCharsets.UTF_8));
          exchange.close();
        });
    server.start();
  }

  private static KeyStore keys(Path file) throws Exception {
    Path keytool = Path.of(System.getProperty("java.home"), "bin", "keytool");
    List<String> command = new ArrayList<>(List.of(keytool.toString()));
    command.addAll(
        Arrays.asList(
            ("-genkeypair -keyalg EC -dname CN=127.0.0.1 -ext san=ip:127.0.0.1 -storetype PKCS12"
                    + " -storepass password -keystore")
                .split(" ")));
    command.add(file.toString());
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), said);
    KeyStore keys = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(file)) {
      keys.load(in, PASSWORD);
    }
    return keys;
  }

  @AfterAll
  static void stop() {
    server.stop(0);
  }

  private static LfsReaderBuilder builder(Map<String, String> environment) {
    return LfsReader.builder()
        .environment(environment)
        .bucket(TestReader.BUCKET)
        .endpoint("https://127.0.0.1:" + server.getAddress().getPort())
        .pathStyle(true)
        .credentials(StaticCredentialsProvider.create(AwsBasicCredentials.create("id", "secret")))
        .tries(1);
  }

  @Test
  void fileOfAuthoritiesIsTrusted() {
    for (Map<String, String> environment :
        List.of(
            Map.of("LFS_S3_CA", ca.toString()),
            Map.of("LFS_S3_CA", ca.toString(), "AWS_CA_BUNDLE", "/nowhere"),
            Map.of("LFS_S3_CA", "", "AWS_CA_BUNDLE", ca.toString()))) {
      try (LfsReader reader = builder(environment).build()) {
        assertEquals(5, reader.fetch(VALUE).length);
      }
    }
    try (LfsReader reader = builder(Map.of()).ca(ca).build()) {
      assertEquals(5, reader.fetch(VALUE).length);
    }
  }

  @Test
  void nobodyElseIs() {
    try (LfsReader reader = builder(Map.of()).build()) {
      assertThrows(StoreUnavailableException.class, () -> reader.fetch(VALUE));
    }
  }

  @Test
  void fileThatCannotBeUsedIsNamed() throws Exception {
    Path empty = Files.createFile(folder.resolve("empty"));
    for (Path wrong : List.of(folder.resolve("none"), empty, folder)) {
      for (String name : List.of("LFS_S3_CA", "AWS_CA_BUNDLE")) {
        LfsReaderBuilder builder = builder(Map.of(name, wrong.toString()));
        IllegalArgumentException error =
            assertThrows(IllegalArgumentException.class, builder::build);
        assertTrue(error.getMessage().startsWith(name + " is " + wrong), error.getMessage());
      }
    }
    LfsReaderBuilder plain =
        builder(Map.of("LFS_S3_CA", "/nowhere")).endpoint("http://127.0.0.1:1");
    plain.build().close(); // Not needed there.
  }
}
