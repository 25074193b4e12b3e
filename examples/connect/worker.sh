# A Connect worker whose file sink writes the blobs that envelopes name. docs/how-to/kafka-connect.md has the steps.

# [build]
git clone https://github.com/lfsproxy/lfsproxy.git
mvn -q -DskipTests -f lfsproxy/sdk/java package
mkdir -p connect-plugins
unzip -q lfsproxy/sdk/java/target/lfsproxy-connect-0.1.0.zip -d connect-plugins
# [/build]

# [worker]
export KAFKA_HOME=/opt/kafka
cat > worker.properties <<END
bootstrap.servers=localhost:9092
listeners=http://localhost:8083
plugin.path=$PWD/connect-plugins,$(echo "$KAFKA_HOME"/libs/connect-file-*.jar)
plugin.discovery=service_load
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.converters.ByteArrayConverter
offset.storage.file.filename=connect.offsets
END
# [/worker]

# [sink]
cat > sink.properties <<END
name=blobs-to-file
connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector
topics=text-topic
file=blobs.txt
value.converter=io.github.lfsproxy.client.connect.LfsConverter
value.converter.lfs.inner.converter=org.apache.kafka.connect.storage.StringConverter
value.converter.lfs.s3.bucket=kafscale
value.converter.lfs.s3.endpoint=http://localhost:9000
value.converter.lfs.s3.path.style=true
value.converter.lfs.max.size=67108864
consumer.override.max.poll.records=4
END
# [/sink]

# [send]
seq -s ' ' 300000 > numbers.txt
curl -F file=@numbers.txt localhost:8080/v1/topics/text-topic/records
# [/send]

# [run]
export AWS_ACCESS_KEY_ID=minioadmin AWS_SECRET_ACCESS_KEY=minioadmin
"$KAFKA_HOME"/bin/connect-standalone.sh worker.properties sink.properties
# [/run]
