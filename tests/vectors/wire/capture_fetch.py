"""Makes the vectors of the folder ``fetch`` anew: what real clients and Kafkas say when records are fetched.

    python -m tests.vectors.wire.capture_fetch RELEASE ...

Starts a Kafka of each release (``4.1``, a set of jars.toml; that of 4.4.0 was locked for the capture only),
lets librdkafka and Java produce to it (each codec, one aborted and one committed transaction, see
``produce``), and writes ``kafka-<release>.json``: requests of kafka-python's codec in each version that has
a layout of its own, and what consumers send and get through a recorder, with the answers, in hex.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiokafka
import click
import confluent_kafka
import kafka
from kafka.protocol.consumer import FetchRequest
from kafka.protocol.metadata import MetadataRequest, MetadataResponse

from lfsproxy.devstack import KafkaServer
from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.tools import write_tools
from tests.vectors.wire.capture import Recorder

HERE = Path(__file__).parent / "fetch"
TOPIC = "fetched"
VERSIONS = (4, 5, 7, 9, 11, 12, 13, 15)
"""Those that differ from the one before, in the request or in the answer."""
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ENVELOPE = (
    b'{"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/fetched/0/1-'
    b'6f1de2c5-8a4b-4f0c-9d59-35e9a4c1f0aa.bin","content_type":"text/plain","content_length":5,'
    b'"checksum_algo":"crc32","checksum":"3610a686"}'
)
CAPS = {(1, low, high): VERSIONS[-1] for low in (0, 4) for high in range(16, 20)}


def produce(bootstrap: str, tools: Path) -> None:
    """For each codec a batch of librdkafka's: plain, an envelope, null. Then one of Java's in snappy, and a
    transaction that is aborted, and one that is not."""
    for codec in CODECS:
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": bootstrap, "compression.codec": codec, "linger.ms": 300}
        )
        _send(producer)
        producer.flush(10)
    command = [str(tools / "kafka-console-producer"), "--bootstrap-server", bootstrap, "--topic", TOPIC]
    command += ["--compression-codec", "snappy", "--timeout", "500"]
    subprocess.run(command, input=b"plain\n" + ENVELOPE + b"\n", check=True, timeout=60)
    transactional = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": "t", "linger.ms": 300}
    )
    transactional.init_transactions(30)
    for end in (transactional.abort_transaction, transactional.commit_transaction):
        transactional.begin_transaction()
        _send(transactional)
        transactional.flush(10)
        end(10)


def _send(producer: confluent_kafka.Producer) -> None:
    producer.produce(TOPIC, b"plain", b"k0", headers=[("trace", b"1")], partition=0)
    producer.produce(TOPIC, ENVELOPE, b"k1", headers=[("content-type", b"text/plain")], partition=0)
    producer.produce(TOPIC, None, b"k2", partition=0)


def ask(port: int, request: Any) -> tuple[bytes, bytes]:
    """One exchange on a connection of its own: both frames, length fields included."""
    request.with_header(correlation_id=7, client_id="capture")
    sent = bytes(request.encode(header=True, framed=True))
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(sent)
        start = connection.recv(4, socket.MSG_WAITALL)
        return sent, start + connection.recv(struct.unpack(">i", start)[0], socket.MSG_WAITALL)


def topic_id(port: int) -> uuid.UUID:
    """The id that the broker has given to the topic."""
    topic = MetadataRequest.MetadataRequestTopic(version=12, topic_id=uuid.UUID(int=0), name=TOPIC)
    request = MetadataRequest(
        version=12,
        topics=[topic],
        allow_auto_topic_creation=False,
        include_topic_authorized_operations=False,
    )
    _, frame = ask(port, request)
    found: uuid.UUID = MetadataResponse.decode(frame[9:], version=12).topics[0].topic_id
    return found


def fetch_request(version: int, topic: uuid.UUID) -> Any:
    """Everything of partition 0, and a partition that does not exist; committed records only."""
    Topic = FetchRequest.FetchTopic
    asked = [
        Topic.FetchPartition(
            version=version,
            partition=number,
            current_leader_epoch=-1,
            fetch_offset=0,
            last_fetched_epoch=-1,
            log_start_offset=-1,
            partition_max_bytes=2**20,
        )
        for number in (0, 9)
    ]
    named: Mapping[str, Any] = {"topic_id": topic} if version >= 13 else {"topic": TOPIC}
    return FetchRequest(
        version=version,
        replica_id=-1,
        max_wait_ms=500,
        min_bytes=1,
        max_bytes=2**20,
        isolation_level=1,
        session_id=0,
        session_epoch=-1,
        topics=[Topic(version=version, partitions=asked, **named)],
        forgotten_topics_data=[],
        rack_id="",
    )


def consume_confluent(bootstrap: str) -> None:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "librdkafka", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([TOPIC])
    while not consumer.poll(10):
        pass
    consumer.close()


def consume_kafka_python(bootstrap: str) -> None:
    consumer = kafka.KafkaConsumer(
        TOPIC, bootstrap_servers=bootstrap, group_id="kafka-python", auto_offset_reset="earliest"
    )
    next(consumer)
    consumer.close()


def consume_aiokafka(bootstrap: str) -> None:
    async def consume() -> None:
        consumer = aiokafka.AIOKafkaConsumer(
            TOPIC, bootstrap_servers=bootstrap, group_id="aiokafka", auto_offset_reset="earliest"
        )
        await consumer.start()
        await consumer.getone()
        await consumer.stop()

    asyncio.run(consume())


def consume_java(tools: Path) -> Callable[[str], None]:
    def consume(bootstrap: str) -> None:
        command = [str(tools / "kafka-console-consumer"), "--bootstrap-server", bootstrap, "--topic", TOPIC]
        command += ["--from-beginning", "--max-messages", "1", "--isolation-level", "read_committed"]
        subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)

    return consume


def exchange_of(client: str, request: bytes, response: bytes) -> dict[str, Any]:
    """The label and the bytes of an exchange."""
    version = struct.unpack_from(">h", request, 6)[0]
    return {
        "client": client,
        "api": "Fetch",
        "api_version": version,
        "request": request.hex(),
        "response": response.hex(),
    }


def record(release: str) -> None:
    """Write the file of one release."""
    through = free_port()
    server = KafkaServer(release=release, listeners={"RECORDED": "PLAINTEXT"})
    inner = server.listener_ports["RECORDED"]
    addresses = {"PLAINTEXT": server.port, "RECORDED": through}
    server.config["advertised.listeners"] = ",".join(f"{k}://{HOST}:{v}" for k, v in addresses.items())
    recorder = Recorder(through, inner, CAPS)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tools = write_tools(Path(folder), server.bootstrap)
            admin = kafka.KafkaAdminClient(bootstrap_servers=server.bootstrap)
            admin.create_topics({TOPIC: {"num_partitions": 1, "replication_factor": 1}})
            admin.close()
            produce(server.bootstrap, tools)
            topic = topic_id(server.port)
            kept = [
                exchange_of(f"kafka-python {kafka.__version__}, by hand", *ask(server.port, request))
                for request in (fetch_request(version, topic) for version in VERSIONS)
            ]
            for client, consume in (
                (f"librdkafka {confluent_kafka.libversion()[0]}", consume_confluent),
                (f"kafka-python {kafka.__version__}", consume_kafka_python),
                (f"aiokafka {aiokafka.__version__}", consume_aiokafka),
                ("Java 4.1", consume_java(tools)),
            ):
                recorder.take()
                consume(f"{HOST}:{through}")
                fetched = [each for each in recorder.take() if each[0][4:6] == b"\0\1" and each[1]]
                request, response = max(fetched, key=lambda each: len(each[1] or b""))
                assert response is not None
                kept.append(exchange_of(client, request, response))
    finally:
        server.close()
    file = HERE / f"kafka-{release}.json"
    file.write_text(json.dumps({"broker": f"Kafka {release}", "exchanges": kept}, indent=1) + "\n")
    click.echo(f"{file.name}: {[(each['client'], each['api_version']) for each in kept]}")


@click.command()
@click.argument("releases", nargs=-1)
def main(releases: tuple[str, ...]) -> None:
    """Record each release."""
    for release in releases:
        record(release)


if __name__ == "__main__":
    main()
