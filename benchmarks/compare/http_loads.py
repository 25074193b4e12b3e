"""What an HTTP client does: uploads and downloads over plain sockets, which take it little time."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse

import attrs

from benchmarks.compare.jobs import Job, Work
from lfsproxy.devstack.ports import HOST

WARM_UP = 10
"""Requests before those that count."""
READ = 1024 * 1024


def connect(job: Job) -> HTTPConnection:
    """A new connection. What is sent leaves at once."""
    connection = HTTPConnection(HOST, job.http_port, timeout=300)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def accepted(answer: HTTPResponse) -> None:
    """Read an answer to its end. Raises RuntimeError where an upload was refused."""
    said = answer.read()
    if answer.status not in (200, 201):
        raise RuntimeError(f"the answer was {answer.status}: {said[:500]!r}")


def upload(job: Job) -> Work:
    """The file, again and again, from the kernel's cache (sendfile), each over a connection of its own."""

    def one(_: int) -> float:
        began = time.perf_counter()
        connection = connect(job)
        connection.putrequest("POST", job.path)
        for name, value in {**job.headers, "Content-Length": str(job.size)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        with open(job.file, "rb") as file:
            connection.sock.sendfile(file)
        accepted(connection.getresponse())
        connection.close()
        return time.perf_counter() - began

    return lambda: spread(job, one)


def download(job: Job) -> Work:
    """The blob behind a record, again and again, read and forgotten."""

    def one(_: int) -> float:
        began = time.perf_counter()
        connection, buffer, got = connect(job), bytearray(READ), 0
        connection.request("GET", job.path)
        answer = connection.getresponse()
        while count := answer.readinto(buffer):
            got += count
        connection.close()
        if answer.status != 200 or got != job.size:
            raise RuntimeError(f"the answer was {answer.status} with {got} bytes of {job.size}")
        return time.perf_counter() - began

    return lambda: spread(job, one)


def spread(job: Job, one: Callable[[int], float]) -> list[float]:
    """Do ``one`` for each number of ``job.count``, ``job.at_once`` of them at a time, in threads."""
    with ThreadPoolExecutor(job.at_once) as threads:
        return list(threads.map(one, range(job.count)))


def upload_in_turn(job: Job) -> Work:
    """Small bodies over one connection, each when the one before is answered."""
    connection, body = connect(job), os.urandom(job.size)

    def one() -> float:
        began = time.perf_counter()
        connection.request("POST", job.path, body, dict(job.headers))
        accepted(connection.getresponse())
        return time.perf_counter() - began

    for _ in range(WARM_UP):
        one()
    return lambda: [one() for _ in range(job.count)]


def upload_small_at_once(job: Job) -> Work:
    """Small bodies over many connections, by one thread that waits for all of them."""
    body = os.urandom(job.size)
    lines = [f"POST {job.path} HTTP/1.1", f"Host: {HOST}:{job.http_port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in job.headers.items()]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
    clients = [_Small(connect(job).sock, request) for _ in range(job.at_once)]
    _all(clients, len(clients))
    return lambda: _all(clients, job.count)


@attrs.define(eq=False)
class _Small:
    """A connection over which the same small request goes again and again."""

    connection: socket.socket
    request: bytes
    began: float = 0.0
    answer: bytes = b""

    def begin(self) -> None:
        self.began, self.answer = time.perf_counter(), b""
        self.connection.sendall(self.request)

    def ended(self) -> bool:
        """Take what came; whether that is the whole answer."""
        got = self.connection.recv(65536)
        self.answer += got
        if not got or not is_whole(self.answer):
            if not got:
                raise RuntimeError(f"the connection was closed after {self.answer!r}")
            return False
        if self.answer.split(b" ", 2)[1] not in (b"200", b"201"):
            raise RuntimeError(f"the answer was {self.answer[:500]!r}")
        return True


def is_whole(answer: bytes) -> bool:
    """Whether an answer of HTTP/1.1 has come to its end."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    fields = _fields(head)
    if fields.get(b"transfer-encoding") == b"chunked":
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(fields.get(b"content-length", b"0"))


def _fields(head: bytes) -> Mapping[bytes, bytes]:
    lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    return {name.strip().lower(): value.strip().lower() for name, _, value in lines}


def _all(clients: list[_Small], count: int) -> list[float]:
    """So many requests over all connections together; the seconds of each."""
    times: list[float] = []
    begun = 0
    with selectors.DefaultSelector() as selector:
        for client in clients[:count]:
            selector.register(client.connection, selectors.EVENT_READ, client)
            client.begin()
            begun += 1
        while len(times) < count:
            for key, _ in selector.select():
                client = key.data
                if client.ended():
                    times.append(time.perf_counter() - client.began)
                    if begun < count:
                        client.begin()
                        begun += 1
    return times


LOADS: Mapping[str, Callable[[Job], Work]] = {
    "upload": upload,
    "upload_in_turn": upload_in_turn,
    "upload_small_at_once": upload_small_at_once,
    "download": download,
}
