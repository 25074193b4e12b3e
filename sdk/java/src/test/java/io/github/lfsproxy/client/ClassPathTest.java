package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.File;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.Test;

/**
 * What the core asks of the class path. The class loader here has the tests' class path, but gives
 * no class of the packages that are named: as where the library is not there, or is of any other
 * version.
 */
class ClassPathTest {
  private static final class Without extends URLClassLoader {
    private final List<String> packages;

    Without(List<String> packages) {
      super(classPath(), ClassLoader.getPlatformClassLoader());
      this.packages = packages;
    }

    private static URL[] classPath() {
      return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
          .map(Without::url)
          .toArray(URL[]::new);
    }

    private static URL url(String path) {
      try {
        return new File(path).toURI().toURL();
      } catch (MalformedURLException error) {
        throw new IllegalArgumentException(path, error);
      }
    }

    @Override
    protected Class<?> findClass(String name) throws ClassNotFoundException {
      if (packages.stream().anyMatch(name::startsWith)) {
        throw new ClassNotFoundException(name);
      }
      return super.findClass(name);
    }
  }

  /** Reads a blob; runs in the other class loader. */
  public static final class Read implements Callable<String> {
    @Override
    public String call() throws IOException {
      String key = "lfs/default/t/0/1-x.bin";
      try (FakeS3 s3 = new FakeS3();
          LfsReader reader = TestReader.builder(s3).build()) {
        s3.blobs.put(TestReader.BUCKET + "/" + key, Blob.of("hello"));
        byte[] value = Blob.of("hello").envelope(TestReader.BUCKET, key);
        return new String(reader.fetch(value), StandardCharsets.UTF_8);
      }
    }
  }

  private static String read(String... without) throws Exception {
    try (Without loader = new Without(List.of(without))) {
      Callable<?> read =
          (Callable<?>)
              loader.loadClass(Read.class.getName()).getDeclaredConstructor().newInstance();
      return (String) read.call();
    }
  }

  @Test
  void coreNeedsNeitherJacksonOfAnyVersionNorKafkaNorMetrics() throws Exception {
    assertEquals(
        "hello",
        read("com.fasterxml.jackson.", "org.apache.kafka.", "io.micrometer.", "io.opentelemetry."));
  }

  @Test
  void loaderWithholdsWhatItIsTold() {
    assertThrows(NoClassDefFoundError.class, () -> read("software.amazon.awssdk.services.s3."));
  }
}
