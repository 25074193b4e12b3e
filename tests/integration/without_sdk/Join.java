import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/**
 * Joins a stream with a table of large values: Join BOOTSTRAP APPLICATION STREAM TABLE OUTPUT STATE.
 *
 * <p>The output is the left value and the SHA-256 of the table's. With an empty STATE it begins with an empty store,
 * which it fills from its changelog.
 */
public class Join {
    public static void main(String[] given) {
        KafkaStreams streams = streams(given);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static KafkaStreams streams(String[] given) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", given[0]);
        settings.put("application.id", given[1]);
        settings.put("state.dir", given[5]);
        settings.put("replication.factor", "1");
        settings.put("commit.interval.ms", "200");
        settings.put("producer.max.request.size", "100000000");
        settings.put("consumer.auto.offset.reset", "earliest");
        // Streams does not leave its group: the next one waits until the group has missed it.
        settings.put("consumer.session.timeout.ms", "6000");
        StreamsBuilder builder = new StreamsBuilder();
        var table = builder.table(
                given[3],
                Consumed.with(Serdes.String(), Serdes.ByteArray()),
                Materialized.<String, byte[]>as(Stores.inMemoryKeyValueStore("values")).withCachingDisabled());
        builder.stream(given[2], Consumed.with(Serdes.String(), Serdes.String()))
                .join(table, (left, value) -> left + " " + sha256(value))
                .to(given[4], Produced.with(Serdes.String(), Serdes.String()));
        return new KafkaStreams(builder.build(), settings);
    }

    private static String sha256(byte[] value) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(value));
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
