import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.sink.SinkConnector;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;

/** One object for each record, as sinks of object stores write them, in the folder that "folder" names. */
public class ObjectSink extends SinkConnector {
    private Map<String, String> settings;

    @Override
    public void start(Map<String, String> given) {
        settings = given;
    }

    @Override
    public Class<? extends Task> taskClass() {
        return Writer.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int most) {
        return List.of(settings);
    }

    @Override
    public void stop() {}

    @Override
    public ConfigDef config() {
        return new ConfigDef().define("folder", ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "Where objects go.");
    }

    @Override
    public String version() {
        return "1";
    }

    public static class Writer extends SinkTask {
        private Path folder;

        @Override
        public void start(Map<String, String> given) {
            folder = Path.of(given.get("folder"));
        }

        @Override
        public void put(Collection<SinkRecord> records) {
            for (SinkRecord record : records) {
                String name = record.topic() + "+" + record.kafkaPartition() + "+" + record.kafkaOffset();
                try {
                    Path part = folder.resolve(name + ".part");
                    Files.write(part, (byte[]) record.value());
                    Files.move(part, folder.resolve(name + ".bin"));
                } catch (IOException error) {
                    throw new UncheckedIOException(error);
                }
            }
        }

        @Override
        public void stop() {}

        @Override
        public String version() {
            return "1";
        }
    }
}
