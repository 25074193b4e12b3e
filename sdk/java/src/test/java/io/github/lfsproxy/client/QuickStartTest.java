package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The quick start of the documentation compiles, and does what it says. */
class QuickStartTest {
  private static final Path PAGE = Path.of("../../docs/sdk/java.md");

  @TempDir private Path folder;

  @Test
  void blockOfThePageCompilesAndRuns() throws Exception {
    Matcher block =
        Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(PAGE));
    assertEquals(true, block.find(), "the page has no Java block");
    Path source = Files.writeString(folder.resolve("QuickStart.java"), block.group(1));
    String classes =
        Path.of(LfsReader.class.getProtectionDomain().getCodeSource().getLocation().toURI())
            .toString();
    int failed =
        ToolProvider.getSystemJavaCompiler()
            .run(
                null,
                null,
                null,
                "-proc:none",
                "-cp",
                classes,
                "-d",
                folder.toString(),
                source.toString());
    assertEquals(0, failed);
    Blob blob = Blob.large(1_000_000);
    try (FakeS3 s3 = new FakeS3();
        LfsReader reader = TestReader.builder(s3).build();
        URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()})) {
      s3.blobs.put("kafscale/lfs/k", blob);
      Method length =
          loader.loadClass("QuickStart").getDeclaredMethod("length", LfsReader.class, byte[].class);
      length.setAccessible(true);
      assertEquals(1_000_000L, length.invoke(null, reader, blob.envelope("kafscale", "lfs/k")));
    }
  }
}
