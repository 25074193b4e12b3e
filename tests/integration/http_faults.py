"""Uploads over HTTP in whose midst something dies or hangs: what the client sees, and what stays behind.

Shared by ``test_http_faults`` and ``benchmarks/http_faults.py``, which prints the table of
docs/faults-http.md. A case takes the servers down, and has them up again when it returns. Everything blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import select
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import attrs

from lfsproxy.devstack import S3Server
from lfsproxy.devstack.ports import HOST
from tests.integration.http_door import read_records
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import BUCKET, Stack, s3_client

MIB = 1024 * 1024
PIECE = 64 * 1024
BLOCK = random.Random(1).randbytes(MIB)
SECONDS = 90.0
"""How long a client waits for anything, and how long what is left may take to be removed."""
HANG_SECONDS = 3.0


class Form(Enum):
    """How the file's bytes are sent."""

    RAW = "Content-Length"
    CHUNKED = "chunked"
    MULTIPART = "multipart"


class Fault(Enum):
    """What happens when so many bytes are with the proxy."""

    CLIENT_CLOSES = "the client closes"
    CLIENT_RESETS = "the client resets"
    S3_KILLED = "S3 is killed"
    S3_HANGS = "S3 hangs"
    BROKER_KILLED = "the broker is killed"
    BROKER_HANGS = "the broker hangs"
    PROXY_KILLED = "the proxy is killed"
    PROXY_HANGS = "the proxy hangs for 3 s"
    PROXY_HANGS_TOO_LONG = "the proxy hangs, the client closes"

    @property
    def client_leaves(self) -> bool:
        """Whether the client reads no answer."""
        return self in (Fault.CLIENT_CLOSES, Fault.CLIENT_RESETS, Fault.PROXY_HANGS_TOO_LONG)


@attrs.frozen
class Case:
    """``percent`` of the file's ``size`` bytes were sent when ``fault`` happens; with 100 the whole body."""

    fault: Fault
    form: Form
    percent: int
    size: int

    def __str__(self) -> str:
        return f"{self.fault.value}, {self.form.value}, {self.percent} % of {self.size // MIB} MiB"


@attrs.frozen
class Held:
    """What the store has below a topic's prefix. ``temporary``: S3Proxy's own files, left by its kill."""

    blobs: tuple[str, ...] = ()
    unfinished: int = 0
    temporary: int = 0


@attrs.frozen
class Observed:
    """What became of a case.

    ``answer`` is what the client saw: a status with its problem's type, ``closed``, or ``left``. ``records``
    are the envelopes in the topic, ``damaged`` those whose blob is not what was sent, ``unnamed`` the blobs
    without an envelope, ``unfinished`` the multipart uploads, ``temporary`` what a killed S3Proxy left of its
    own, ``orphans`` how many blobs and uploads the proxy counts as left.
    """

    answer: str
    seconds: float
    records: int
    damaged: int
    unnamed: int
    unfinished: int
    temporary: int
    orphans: int


class Client:
    """An upload on a raw socket, that looks for an answer while it sends, as good clients do."""

    def __init__(self, port: int, topic: str, case: Case) -> None:
        self._case = case
        self._socket = socket.create_connection((HOST, port), timeout=SECONDS)
        self._socket.setblocking(False)
        self._start, self._end = b"", b""
        headers = "Content-Type: application/octet-stream\r\n"
        length: int | None = case.size
        if case.form is Form.MULTIPART:
            self._start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
            self._end = b"\r\n--b--\r\n"
            headers = "Content-Type: multipart/form-data; boundary=b\r\n"
            length = case.size + len(self._start) + len(self._end)
        elif case.form is Form.CHUNKED:
            self._end, length = b"0\r\n\r\n", None
        headers += "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"
        head = f"POST /v1/topics/{topic}/records HTTP/1.1\r\nHost: proxy\r\n{headers}\r\n"
        self._pieces = self._body(head.encode())

    def _body(self, head: bytes) -> Iterator[tuple[bytes, int]]:
        """What goes out, piece by piece, with how many bytes of the file went out before."""
        yield head + self._start, 0
        for at in range(0, self._case.size, PIECE):
            data = BLOCK[at % MIB : at % MIB + min(PIECE, self._case.size - at)]
            if self._case.form is Form.CHUNKED:
                data = b"%x\r\n%s\r\n" % (len(data), data)
            yield data, at
        yield self._end, self._case.size

    def send(self, until: int | None = None) -> bool:
        """Send on, up to so many bytes of the file; False where the proxy has answered or closed before."""
        for data, before in self._pieces:
            if not self._send(data):
                return False
            if until is not None and before + PIECE >= until and before < self._case.size:
                return True
        return True

    def _send(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            readable, writable, _ = select.select([self._socket], [self._socket], [], SECONDS)
            if readable:
                return False
            if not writable:
                raise TimeoutError("the proxy takes no bytes, and gives no answer")
            with contextlib.suppress(ConnectionError):
                view = view[self._socket.send(view) :]
        return True

    def arrived(self) -> bool:
        """Whether the other side's kernel has everything that was sent."""
        waiting = fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4)
        return bool(struct.unpack("i", waiting)[0] == 0)

    def answer(self) -> str:
        """The status and the problem's type, ``closed`` where none comes."""
        received = b""
        self._socket.settimeout(SECONDS)
        with contextlib.suppress(ConnectionError):
            while data := self._socket.recv(PIECE):
                received += data
                head, end, body = received.partition(b"\r\n\r\n")
                if end and len(body) >= _length(head):
                    break
        head, _, body = received.partition(b"\r\n\r\n")
        if not head:
            return "closed"
        problem = json.loads(body).get("type", "")
        return f"{head.split(b' ')[1].decode()} {problem}".strip()

    def close(self, reset: bool = False) -> None:
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise ValueError(f"an answer without a length: {head!r}")


@attrs.frozen
class Scene:
    """Servers that may be killed, and a proxy in front of them; ``topic`` belongs to one case."""

    servers: Stack
    proxy: ProxyProcess

    def run(self, case: Case, topic: str) -> Observed:
        """Let it happen, bring everything up again, and see what is left when it has settled."""
        self.servers.kafka.create_topic(topic)
        _wait(self.proxy.is_ready, "the proxy is not ready")
        before = unfinished(self.servers.s3)
        counted = _orphans(self.proxy)
        started = time.monotonic()
        answer = self._upload(case, topic)
        seconds = time.monotonic() - started
        self._recover(case.fault)
        killed = case.fault is Fault.PROXY_KILLED

        def settled() -> bool:
            if self.proxy.metrics()["lfsproxy_upload_memory_bytes"]:
                return False
            left = self._held(topic, before)
            return killed or (not left.unfinished and len(left.blobs) == len(self._records(topic)))

        # What stays for good is the caller's to judge.
        with contextlib.suppress(TimeoutError):
            _wait(settled, "not settled", seconds=SECONDS / 2)
        records = self._records(topic)
        held = self._held(topic, before)
        s3 = self.servers.s3
        left = unfinished(s3) - before
        if s3.kind == "S3Proxy":
            left = {(key, upload_id) for key, upload_id in left if abort(s3, key, upload_id)}
        named = {json.loads(record.value)["s3_key"] for record in records}
        return Observed(
            answer,
            seconds,
            len(records),
            sum(not self._is_whole(json.loads(record.value), case) for record in records),
            len(set(held.blobs) - named),
            len(left),
            held.temporary + held.unfinished - len(left),
            _orphans(self.proxy) - (0 if killed else counted),
        )

    def _upload(self, case: Case, topic: str) -> str:
        client = Client(self.proxy.http_port, topic, case)
        try:
            whole = case.percent == 100
            open_still = client.send(None if whole else max(PIECE, case.size * case.percent // 100))
            if not whole:
                _wait(client.arrived, "the proxy does not read")
                _wait(self._has_begun, "the upload does not begin")
            self._strike(case.fault)
            if case.fault.client_leaves:
                client.close(case.fault is Fault.CLIENT_RESETS)
                return "left"
            if open_still and not whole:
                client.send()
            return client.answer()
        finally:
            client.close()

    def _has_begun(self) -> bool:
        return self.proxy.metrics()["lfsproxy_upload_memory_bytes"] > 0

    def _strike(self, fault: Fault) -> None:
        servers = self.servers
        strokes: dict[Fault, Callable[[], None]] = {
            Fault.S3_KILLED: servers.s3.kill,
            Fault.S3_HANGS: servers.s3.pause,
            Fault.BROKER_KILLED: servers.kafka.kill,
            Fault.BROKER_HANGS: servers.kafka.pause,
            Fault.PROXY_KILLED: self.proxy.kill,
            Fault.PROXY_HANGS_TOO_LONG: lambda: os.kill(self.proxy.pid, signal.SIGSTOP),
            Fault.PROXY_HANGS: self._hang,
        }
        if fault in strokes:
            strokes[fault]()

    def _hang(self) -> None:
        os.kill(self.proxy.pid, signal.SIGSTOP)
        time.sleep(HANG_SECONDS)
        os.kill(self.proxy.pid, signal.SIGCONT)

    def _recover(self, fault: Fault) -> None:
        if fault is Fault.PROXY_HANGS_TOO_LONG:
            os.kill(self.proxy.pid, signal.SIGCONT)
        servers = self.servers
        ways: dict[Fault, Callable[[], None]] = {
            Fault.S3_KILLED: servers.s3.start,
            Fault.S3_HANGS: servers.s3.resume,
            Fault.BROKER_KILLED: servers.kafka.start,
            Fault.BROKER_HANGS: servers.kafka.resume,
            Fault.PROXY_KILLED: self.proxy.start,
        }
        if fault in ways:
            ways[fault]()

    def _records(self, topic: str) -> list[Any]:
        return read_records(self.servers, topic)

    def _held(self, topic: str, before: set[tuple[str, str]]) -> Held:
        prefix = f"lfs/default/{topic}/"
        listed = self.servers.s3_client().list_objects_v2(Bucket=self.servers.bucket, Prefix=prefix)
        keys = [item["Key"] for item in listed.get("Contents", [])]
        blobs = tuple(key for key in keys if key.endswith(".bin"))
        return Held(blobs, len(unfinished(self.servers.s3) - before), len(keys) - len(blobs))

    def _is_whole(self, envelope: dict[str, object], case: Case) -> bool:
        body = self.servers.s3_client().get_object(
            Bucket=str(envelope["s3_bucket"]), Key=str(envelope["s3_key"])
        )
        found, expected = hashlib.sha256(), hashlib.sha256()
        for piece in body["Body"].iter_chunks(MIB):
            found.update(piece)
        for at in range(0, case.size, MIB):
            expected.update(BLOCK[: min(MIB, case.size - at)])
        return envelope["checksum"] == found.hexdigest() == expected.hexdigest()


def unfinished(server: S3Server) -> set[tuple[str, str]]:
    """Key and id of each unfinished multipart upload.

    MinIO lists them only by the whole key, which nobody knows here: its folder has their ids.
    """
    if server.kind == "MinIO":
        return {("", path.name) for path in (server.data_dir / "objects/.minio.sys/multipart").glob("*/*")}
    listed = s3_client(server).list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return {(one["Key"], one["UploadId"]) for one in listed}


def abort(server: S3Server, key: str, upload_id: str) -> bool:
    """Whether there is such an upload, and then it is ended.

    An S3Proxy that is killed while it creates one may list it ever after, and say NoSuchUpload when it is
    asked to end it: that is its own damage, and nobody can remove it through the API.
    """
    client = s3_client(server)
    try:
        client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload_id)
    except client.exceptions.NoSuchUpload:
        return False
    return True


def _orphans(proxy: ProxyProcess) -> int:
    metrics = proxy.metrics()
    return int(sum(metrics[name] for name in metrics if name.startswith("lfsproxy_orphans_total")))


def _wait(is_so: Callable[[], bool], otherwise: str, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(0.05)
