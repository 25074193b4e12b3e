"""What the tests of downloads share: records put there by any way, and how they are asked for."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from confluent_kafka import Producer
from twisted.internet.utils import getProcessOutputAndValue

from tests.integration.http_door import HttpDoorTests
from tests.integration.stack import Stack, in_thread

PARTIAL_FILE = 18
"""curl's exit code for a body that ended before its Content-Length."""


@attrs.frozen
class Answer:
    """What curl has got. ``code`` is curl's own exit code; header names in lower case."""

    code: int
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        """The last part of the problem's type; empty where it is none."""
        if self.headers.get("content-type") != "application/problem+json":
            return ""
        return str(json.loads(self.body)["type"]).rpartition("/")[2]


def produce(
    servers: Stack,
    topic: str,
    value: bytes | None,
    headers: list[tuple[str, bytes]] | None = None,
    key: bytes | None = None,
    settings: Mapping[str, str] | None = None,
) -> int:
    """Append a record to partition 0, straight to the broker; its offset."""
    offsets: list[int | None] = []
    producer = Producer({"bootstrap.servers": servers.kafka.bootstrap, **(settings or {})})
    producer.produce(
        topic,
        value=value,
        key=key,
        headers=headers,  # type: ignore[arg-type]  # its stubs want a list of unions
        partition=0,
        on_delivery=lambda error, message: offsets.append(message.offset()),
    )
    producer.flush(30)
    (offset,) = offsets
    assert offset is not None
    return offset


def connect(port: int, path: str, buffer: int | None = None) -> tuple[socket.socket, bytes]:
    """Ask for a path on a raw socket: the socket, and what came of the answer's body with its head."""
    client = socket.socket()
    if buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(60)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        data = client.recv(4096)
        if not data:
            raise AssertionError(f"no head came: {received!r}")
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise AssertionError(head)
    return client, body


def read_to_end(client: socket.socket, body: bytes) -> tuple[int, str]:
    """How many bytes the body has in the end, and their SHA-256. A reset counts as an end."""
    digest, size = hashlib.sha256(body), len(body)
    try:
        while data := client.recv(256 * 1024):
            digest.update(data)
            size += len(data)
    except ConnectionResetError:
        pass
    finally:
        client.close()
    return size, digest.hexdigest()


class DownloadTests(HttpDoorTests):
    """Tests that download from a door of their own."""

    def path(self, offset: int, topic: str | None = None, partition: int = 0) -> str:
        return f"/v1/topics/{topic or self.topic}/partitions/{partition}/records/{offset}"

    async def upload(self, data: bytes, query: str = "partition=0", *form: str) -> Any:
        """Upload through the door; what it answers."""
        name = self.mktemp()
        await in_thread(Path(name).write_bytes, data)
        arguments = ["-F", f"file=@{name}{form[0]}"] if form else ["-X", "POST", "-T", name]
        status, answer, _ = await self.curl(*arguments, query=query)
        self.assertEqual(status, 201, answer)
        return answer

    async def ask(self, path: str, *arguments: str) -> Answer:
        """Run curl against a path of the door."""
        head = self.mktemp()
        out, _, code = await getProcessOutputAndValue(
            "curl",
            ["-sS", "-D", head, *arguments, f"http://127.0.0.1:{self.door.port}{path}"],
            env={**os.environ, "no_proxy": "*"},
        )

        def read_head() -> str:
            with open(head, encoding="latin-1", newline="") as file:
                return file.read()

        lines = (await in_thread(read_head)).split("\r\n\r\n")[-2].split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        return Answer(code, int(lines[0].split(" ")[1]), headers, out)

    async def get(self, offset: int, *arguments: str) -> Answer:
        """GET a record of the test's topic by curl."""
        return await self.ask(self.path(offset), *arguments)

    def downloads(self) -> list[tuple[object, object]]:
        """Topic and result of each download that the door has counted."""
        return [(call[0], call[1]) for call in self.door.metrics.of("download")]
