"""One round of everything: two uploads, a plain record, the envelopes, and both blobs read back."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfsproxy.cli.demo_screen import MIB, Screen
from lfsproxy.cli.demo_servers import TOPIC, Servers
from lfsproxy.cli.kafka_log import silence_kafka_log
from lfsproxy.devstack import DevstackError
from lfsproxy.devstack.ports import HOST
from lfsproxy.quoting import quoted
from lfsproxy.words import error_text

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

FILE_NAME = "large-file.bin"
PLAIN = b'{"hello": "kafka"}'
_CHUNK = 1 * MIB
_SECONDS = 60
"""How long one step may wait for an answer: the servers have just started."""


class RoundFailed(DevstackError):
    """A step of the round did not give what it should have; the message says what came instead."""


class Round:
    """The steps, in order; ``run`` raises RoundFailed (or DevstackError) at the first that fails."""

    def __init__(self, servers: Servers, screen: Screen, folder: Path) -> None:
        self._servers = servers
        self._screen = screen
        self._file = folder / FILE_NAME
        self._digests: dict[tuple[int, int], str] = {}

    def check_folder(self) -> None:
        """Raise DevstackError where the file cannot be in its folder: before anything is started."""
        try:
            if self._file.exists():
                self._file.open("rb").close()
            else:
                tempfile.TemporaryFile(dir=self._file.parent).close()
        except OSError as error:
            raise self._no_file(error) from error

    def _no_file(self, error: OSError) -> DevstackError:
        return DevstackError(
            f"{self._file} cannot be used ({error.strerror}): start the demo in a folder where you may write "
            "and there is room, or name one in LFS_DEMO_FOLDER."
        )

    def run(self) -> None:
        """All steps."""
        self._write_file()
        uploaded = self._upload()
        produced = self._produce()
        self._consume([uploaded, produced[0]], produced[1])

    def _write_file(self) -> None:
        self._screen.step(f"A file to upload: {self._file}")
        size = self._servers.plan.file_size
        if self._file.exists():
            self._screen.say(
                f"It is there already, with {self._file.stat().st_size / MIB:.0f} MiB: used as it is."
            )
            return
        try:
            with self._screen.moving("Writing", size) as move, self._file.open("xb") as file:
                for start in range(0, size, _CHUNK):
                    file.write(os.urandom(min(_CHUNK, size - start)))
                    move(min(start + _CHUNK, size))
        except OSError as error:
            raise self._no_file(error) from error

    def _upload(self) -> tuple[int, int]:
        url = f"http://localhost:{self._servers.plan.http_port}/v1/topics/{TOPIC}/records"
        self._screen.step("Upload it over HTTP, and publish its envelope, in one call")
        self._screen.say(f'$ curl -F "file=@{FILE_NAME}" {url}')
        with self._file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        curl = shutil.which("curl")
        status, body = self._by_curl(curl, url) if curl else self._by_python()
        if status != 201:
            raise RoundFailed(f"The upload was answered with {status}: {body.strip() or 'nothing'}")
        answer: dict[str, Any] = json.loads(body)
        envelope = answer["envelope"]
        if envelope["checksum"] != digest:
            raise RoundFailed(f"The envelope's checksum is {envelope['checksum']}, the file's is {digest}.")
        place = (int(answer["partition"]), int(answer["offset"]))
        self._screen.good(f"published at partition {place[0]}, offset {place[1]}; blob {envelope['s3_key']}")
        self._digests[place] = digest
        return place

    def _by_curl(self, curl: str, url: str) -> tuple[int, str]:
        meter = ["--progress-bar"] if self._screen.terminal else ["--silent"]
        answer = self._servers.data / "upload.json"
        done = subprocess.run(
            [
                *(curl, "--disable", *meter, "--show-error", "--noproxy", "*", "--output", str(answer)),
                *("--write-out", "%{http_code}", "--form", f"file=@{FILE_NAME}", url),
            ],
            cwd=self._file.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RoundFailed(f"curl ended with status {done.returncode}; it says why above.")
        return int(done.stdout), answer.read_text(errors="replace")

    def _by_python(self) -> tuple[int, str]:
        self._screen.say("There is no curl on this machine: the same request, made in Python.")
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{FILE_NAME}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = self._file.stat().st_size

        def parts() -> Iterator[bytes]:
            yield head
            with self._file.open("rb") as file, self._screen.moving("Uploading", size) as move:
                while chunk := file.read(_CHUNK):
                    yield chunk
                    move(file.tell())
            yield tail

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }
        connection = http.client.HTTPConnection(HOST, self._servers.plan.http_port, timeout=_SECONDS)
        try:
            connection.request("POST", f"/v1/topics/{TOPIC}/records", body=parts(), headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise RoundFailed(f"The upload broke off: {error_text(error)}.") from error
        finally:
            connection.close()

    def _produce(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The places of the large record, and of the plain one."""
        from kafka import KafkaProducer
        from kafka.errors import KafkaError

        silence_kafka_log()
        size = self._servers.plan.record_size
        address = f"localhost:{self._servers.plan.proxy_port}"
        self._screen.step(
            f"Produce a record of {size / MIB:.0f} MiB with any Kafka client, through {address}"
        )
        self._screen.say(f'producer.send("{TOPIC}", value, headers=[("LFS_BLOB", b"")])')
        value = os.urandom(size)
        try:
            producer = KafkaProducer(
                bootstrap_servers=f"{HOST}:{self._servers.plan.proxy_port}",
                acks="all",
                max_request_size=size + MIB,
                request_timeout_ms=_SECONDS * 1000,
            )
            try:
                with self._screen.moving("Producing", size) as move:
                    large = producer.send(TOPIC, value, headers=[("LFS_BLOB", b"")]).get(_SECONDS)
                    move(size)
                self._screen.good(f"acknowledged at partition {large.partition}, offset {large.offset}")
                self._screen.step("Produce an ordinary record through the same port: it passes untouched")
                plain = producer.send(TOPIC, PLAIN, headers=[("trace", b"abc")]).get(_SECONDS)
                self._screen.good(f"acknowledged at partition {plain.partition}, offset {plain.offset}")
            finally:
                producer.close(timeout=5)
        except KafkaError as error:
            raise RoundFailed(
                f"The proxy's Kafka port did not take the record: {error_text(error)}."
            ) from error
        place = (large.partition, large.offset)
        self._digests[place] = hashlib.sha256(value).hexdigest()
        return place, (plain.partition, plain.offset)

    def _consume(self, blobs: list[tuple[int, int]], plain: tuple[int, int]) -> None:
        self._screen.step(
            "What a consumer of Kafka sees: envelopes of some hundred bytes, and the ordinary record"
        )
        self._screen.say(f"$ kafka-console-consumer --topic {TOPIC} --from-beginning")
        records = {place: self._record(*place) for place in [*blobs, plain]}
        for record in records.values():
            self._screen.say(bytes(record.value or b"").decode(errors="replace"))
        ordinary = records[plain]
        if bytes(ordinary.value or b"") != PLAIN or [key for key, _ in ordinary.headers] != ["trace"]:
            raise RoundFailed(f"The ordinary record came back changed: {quoted(ordinary.value or b'')}.")
        for place in blobs:
            if any(key in ("LFS_BLOB", "LFS_BLOB_ALG") for key, _ in records[place].headers):
                raise RoundFailed(f"The record at {place} still has its LFS_BLOB header.")
        self._screen.good("two envelopes, and the ordinary record as it was sent")
        self._screen.step("Read both blobs back with the Python reader (lfsproxy.client), verified")
        for place in blobs:
            self._read_back(place, bytes(records[place].value or b""))

    def _record(self, partition: int, offset: int) -> ConsumerRecord:
        from kafka import KafkaConsumer, TopicPartition
        from kafka.errors import KafkaError

        try:
            consumer = KafkaConsumer(bootstrap_servers=self._servers.brokers)
            try:
                where = TopicPartition(TOPIC, partition)
                consumer.assign([where])
                consumer.seek(where, offset)
                deadline = time.monotonic() + 20
                while time.monotonic() < deadline:
                    for found in consumer.poll(500).values():
                        return found[0]
            finally:
                consumer.close()
        except KafkaError as error:
            raise RoundFailed(
                f"Kafka at {self._servers.brokers} could not be read: {error_text(error)}."
            ) from error
        raise RoundFailed(f"There is no record at partition {partition}, offset {offset} of {TOPIC}.")

    def _read_back(self, place: tuple[int, int], value: bytes) -> None:
        from lfsproxy.errors import LfsError

        reader = self._servers.reader()
        try:
            size = int(json.loads(value)["content_length"])
            digest = hashlib.sha256()
            blob = reader.open(value)
            with blob, self._screen.moving(f"Reading offset {place[1]}", size) as move:
                received = 0
                while chunk := blob.read(_CHUNK):
                    digest.update(chunk)
                    received += len(chunk)
                    move(received)
        except (ValueError, LookupError) as error:
            raise RoundFailed(f"The record at {place} is no envelope: {quoted(value)}.") from error
        except LfsError as error:
            raise RoundFailed(f"The blob of the record at {place} could not be read: {error}.") from error
        finally:
            reader.close()
        if digest.hexdigest() != self._digests[place]:
            raise RoundFailed(f"The blob of the record at {place} has another checksum than what was sent.")
        self._screen.good(f"sha256 {digest.hexdigest()}: what was sent")
