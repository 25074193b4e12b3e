import io.github.lfsproxy.client.ChecksumAlgorithm;
import io.github.lfsproxy.client.LfsUploader;
import io.github.lfsproxy.client.UploadException;
import io.github.lfsproxy.client.UploadOptions;
import io.github.lfsproxy.client.UploadedRecord;
import java.io.IOException;
import java.nio.file.Path;

/** Uploads a file over HTTP. Arguments: the proxy's URL, a topic, the file. */
public class Upload {
  public static void main(String[] arguments) throws IOException {
    String topic = arguments[1];
    Path file = Path.of(arguments[2]);
    LfsUploader uploader = LfsUploader.builder(arguments[0]).build(); // Perhaps with .apiKey(key).
    UploadOptions options =
        UploadOptions.none()
            .key("my-key")
            .contentType("application/octet-stream")
            .checksum(ChecksumAlgorithm.SHA256, ChecksumAlgorithm.SHA256.hex(file));
    try {
      UploadedRecord record = uploader.upload(topic, file, options);
      System.out.println(record); // topic-partition@offset: bucket/key (length)
    } catch (UploadException error) {
      System.err.printf("%s, may be tried again: %s%n", error.name(), error.retriable());
      throw error;
    }
  }
}
