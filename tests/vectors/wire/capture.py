"""Makes the vectors of this folder anew: what real clients and a real Kafka say to each other.

    python tests/vectors/wire/capture.py [--go PROGRAM] [--js FOLDER] [client ...]

Starts a Kafka whose advertised address is a recorder on the loopback interface, which offers Produce up to
version 12 only, as the proxy does. Lets each client produce the same two records with each codec, and writes
``<client>.json``: each exchange with its bytes in hex, labelled with the client, its version, the codec, acks
and whether it was idempotent. ``--go`` is clients/main.go, built with the versions to record; ``--js`` is a
folder with kafkajs installed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiokafka
import click
import confluent_kafka
import kafka
from kafka.protocol.producer import ProduceRequest

from lfsproxy.devstack import KafkaServer
from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.tools import write_tools

HERE = Path(__file__).parent
PLAIN = b"plain value"
BLOB = b"blob value, " * 20
PLAIN_HEADERS: list[tuple[str, bytes]] = [("trace", b"1")]
BLOB_HEADERS: list[tuple[str, bytes]] = [("LFS_BLOB", b""), ("content-type", b"text/plain")]
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
NAMES = {0: "Produce", 3: "Metadata", 10: "FindCoordinator", 18: "ApiVersions", 60: "DescribeCluster"}
CAPS = {(0, 0, 13): 12}
Exchange = tuple[bytes, bytes | None]
"""A request's frame and its answer's."""


class Recorder:
    """Passes connections on to Kafka, and keeps both directions of each.

    ``caps``: (API key, lowest, highest version) as a broker offers them, and the highest that clients see.
    """

    def __init__(self, port: int, target: int, caps: Mapping[tuple[int, int, int], int] = CAPS) -> None:
        self._target = target
        self._caps = caps
        self._connections: list[tuple[bytearray, bytearray]] = []
        self._listener = socket.create_server((HOST, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self) -> list[Exchange]:
        """All complete exchanges since the last call."""
        found: list[Exchange] = []
        for asked, answered in self._connections:
            answers = {frame[4:8]: frame for frame in _frames(bytes(answered))}
            found += [(frame, answers.get(frame[8:12])) for frame in _frames(bytes(asked))]
        self._connections = []
        return found

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            broker = socket.create_connection((HOST, self._target))
            kept = (bytearray(), bytearray())
            self._connections.append(kept)
            for source, target, into in ((client, broker, kept[0]), (broker, client, kept[1])):
                copying = threading.Thread(target=self._copy, args=(source, target, into), daemon=True)
                copying.start()

    def _copy(self, source: socket.socket, target: socket.socket, into: bytearray) -> None:
        try:
            while data := source.recv(65536):
                capped = data
                if not into:
                    # The first answer is that to ApiVersions.
                    for (key, low, high), most in self._caps.items():
                        offered, seen = (struct.pack(">hhh", key, low, each) for each in (high, most))
                        capped = capped.replace(offered, seen, 1)
                into += data
                target.sendall(capped)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            target.close()


def _frames(data: bytes) -> list[bytes]:
    found = []
    while len(data) >= 4 and len(data) >= 4 + (size := struct.unpack_from(">i", data)[0]):
        found.append(data[: 4 + size])
        data = data[4 + size :]
    return found


def produce_confluent(bootstrap: str, topic: str, codec: str, acks: str = "all") -> None:
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.codec": codec,
            "acks": acks,
            "enable.idempotence": acks == "all",
            "linger.ms": 200,
        }
    )
    producer.produce(topic, PLAIN, b"k0", headers=[*PLAIN_HEADERS], partition=0)
    producer.produce(topic, BLOB, b"k1", headers=[*BLOB_HEADERS], partition=0)
    producer.flush(10)


def produce_kafka_python(bootstrap: str, topic: str, codec: str) -> None:
    producer = kafka.KafkaProducer(
        bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec, linger_ms=200
    )
    producer.send(topic, PLAIN, b"k0", headers=PLAIN_HEADERS, partition=0)
    producer.send(topic, BLOB, b"k1", headers=BLOB_HEADERS, partition=0)
    producer.close(timeout=10)
    if codec == "none":
        admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.describe_cluster()
        admin.close()
        consumer = kafka.KafkaConsumer(
            topic, bootstrap_servers=bootstrap, group_id="g", auto_offset_reset="earliest"
        )
        next(consumer)
        consumer.close()


def produce_aiokafka(bootstrap: str, topic: str, codec: str) -> None:
    async def produce() -> None:
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            linger_ms=200,
            acks="all",
        )
        await producer.start()
        sent = [
            await producer.send(topic, PLAIN, b"k0", partition=0, headers=PLAIN_HEADERS),
            await producer.send(topic, BLOB, b"k1", partition=0, headers=BLOB_HEADERS),
        ]
        await asyncio.gather(*sent)
        await producer.stop()

    asyncio.run(produce())


def produce_java(tools: Path) -> Callable[[str, str, str], None]:
    def produce(bootstrap: str, topic: str, codec: str) -> None:
        lines = f"trace:1\tk0\t{PLAIN.decode()}\nLFS_BLOB:,content-type:text/plain\tk1\t{BLOB.decode()}\n"
        command = [str(tools / "kafka-console-producer"), "--bootstrap-server", bootstrap, "--topic", topic]
        command += ["--compression-codec", codec, "--timeout", "500"]
        for name in ("parse.headers", "parse.key"):
            command += ["--property", f"{name}=true"]
        subprocess.run(command, input=lines.encode(), check=True, timeout=60)

    return produce


def exchange_fields(exchange: Exchange, codec: str) -> dict[str, Any]:
    """The label and the bytes of an exchange."""
    request, response = exchange
    key, version = struct.unpack_from(">hh", request, 4)
    fields: dict[str, Any] = {"api": NAMES[key], "api_key": key, "api_version": version}
    if key == 0:
        decoded = ProduceRequest.decode(request, version=version, header=True, framed=True)
        records = bytes(decoded.topic_data[0].partition_data[0].records)
        producer_id = struct.unpack_from(">q", records, 43)[0]
        fields |= {"codec": codec, "acks": decoded.acks, "idempotent": producer_id >= 0}
    fields["request"] = request.hex()
    fields["response"] = None if response is None else response.hex()
    return fields


@click.command()
@click.option("--go", type=click.Path(exists=True))
@click.option("--js", type=click.Path(exists=True, path_type=Path))
@click.argument("clients", nargs=-1)
def main(go: str | None, js: Path | None, clients: tuple[str, ...]) -> None:
    """Record each client, or those that are named."""
    port = free_port()
    server = KafkaServer(config={"advertised.listeners": f"PLAINTEXT://{HOST}:{port}"})
    recorder = Recorder(port, server.port)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tools = write_tools(Path(folder), f"{HOST}:{port}")
            for name, (version, codecs, produce) in drivers(go, js, tools).items():
                if not clients or name in clients:
                    record(recorder, f"{HOST}:{port}", name, version, codecs, produce)
    finally:
        server.close()


Driver = tuple[str, tuple[str, ...], Callable[[str, str, str], None]]


def drivers(go: str | None, js: Path | None, tools: Path) -> dict[str, Driver]:
    """Version, codecs and how to produce, by client."""
    found: dict[str, Driver] = {
        "librdkafka": (confluent_kafka.libversion()[0], CODECS, produce_confluent),
        "librdkafka-acks-0": (
            confluent_kafka.libversion()[0],
            ("none",),
            lambda bootstrap, topic, codec: produce_confluent(bootstrap, topic, codec, "0"),
        ),
        "kafka-python": (kafka.__version__, CODECS, produce_kafka_python),
        "aiokafka": (aiokafka.__version__, CODECS, produce_aiokafka),
        "java": ("4.1", CODECS, produce_java(tools)),
    }
    if go:
        versions = subprocess.run(
            ["go", "version", "-m", go], check=True, capture_output=True, text=True
        ).stdout
        for name, module in (
            ("franz-go", "twmb/franz-go"),
            ("sarama", "IBM/sarama"),
            ("kafka-go", "segmentio/kafka-go"),
        ):
            version = next(line.split()[2] for line in versions.splitlines() if f"{module}\t" in line)
            found[name] = (version, CODECS, _program([go, name]))
    if js:
        package = json.loads((js / "node_modules/kafkajs/package.json").read_text())
        shutil.copy(HERE / "clients/kafkajs.mjs", js)
        found["kafkajs"] = (package["version"], ("none", "gzip"), _program(["node", str(js / "kafkajs.mjs")]))
    return found


def _program(command: list[str]) -> Callable[[str, str, str], None]:
    def produce(bootstrap: str, topic: str, codec: str) -> None:
        subprocess.run([*command, bootstrap, topic, codec], check=True, timeout=60)

    return produce


def record(
    recorder: Recorder,
    bootstrap: str,
    name: str,
    version: str,
    codecs: tuple[str, ...],
    produce: Callable[[str, str, str], None],
) -> None:
    """Let one client produce with each codec, and write its file."""
    kept: list[dict[str, Any]] = []
    for codec in codecs:
        topic = f"{name}-{codec}"
        admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        recorder.take()
        produce(bootstrap, topic, codec)
        last: dict[int, Exchange] = {}
        for exchange in recorder.take():
            key = struct.unpack_from(">h", exchange[0], 4)[0]
            if key in NAMES and (exchange[1] is not None or key == 0):
                last[key] = exchange
        for key, exchange in sorted(last.items()):
            if key == 0 or codec == "none":
                kept.append(exchange_fields(exchange, codec))
    file = HERE / f"{name}.json"
    file.write_text(json.dumps({"client": name, "version": version, "exchanges": kept}, indent=1) + "\n")
    click.echo(f"{file.name}: {[(each['api'], each['api_version'], each.get('codec')) for each in kept]}")


if __name__ == "__main__":
    main()
