"""The way to the S3 server, over TLS: knows where a request and its answer end, and can spoil one."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import formatdate
from io import BufferedReader
from random import Random

import attrs

from lfsproxy.devstack import S3Server
from tests.certificates import Issued
from tests.integration.faults.link import HOST, PIECE, Link, abort

BLOB = "/lfs/"
"""What only the paths of blobs have."""


@attrs.frozen
class Refusal:
    """An answer instead of S3's. ``hours``: how far its clock is ahead."""

    status: int
    code: str
    message: str
    hours: float = 0.0


@attrs.frozen
class Spoiling:
    """What becomes of requests whose method is in ``methods``, and whose path has ``path``; of these, the
    share ``odds``. One thing at a time.
    """

    methods: tuple[str, ...] = ("GET", "PUT", "POST", "DELETE", "HEAD")
    path: str = ""
    odds: float = 1.0
    refusal: Refusal | None = None
    late: float = 0.0
    cut_request: bool = False
    spoil_request: bool = False
    cut_answer: bool = False
    spoil_answer: bool = False


@attrs.frozen
class Head:
    """The head of a request or an answer, as it came; ``first`` are the words of its first line."""

    raw: bytes
    first: list[str]
    fields: dict[str, str]

    @property
    def size(self) -> int:
        """The length of the body, as the head says."""
        return int(self.fields.get("content-length", "0"))


class StoreLink(Link):
    """Takes TLS connections with ``certificate``, which may be replaced, and speaks HTTP to the server."""

    def __init__(self, server: S3Server, certificate: Issued, random: Random) -> None:
        self.spoiling: Spoiling | None = None
        self.show(certificate)
        super().__init__(server.port, random)

    @property
    def endpoint(self) -> str:
        """By the server's own name: S3Proxy takes any other for a bucket's."""
        return f"https://{self.name}:{self.port}"

    def show(self, certificate: Issued) -> None:
        """Have this certificate from the next connection on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        self._context = context

    @contextlib.contextmanager
    def spoiled(self, spoiling: Spoiling) -> Iterator[None]:
        """Spoil requests meanwhile."""
        self.spoiling = spoiling
        try:
            yield
        finally:
            self.spoiling = None

    def _begin(self, client: socket.socket) -> None:
        try:
            plain = client
            client = self._context.wrap_socket(plain, server_side=True)
            server = socket.create_connection((HOST, self.target))
        except (OSError, ValueError):
            # The other side does not like the certificate.
            self.struck += 1
            client.close()
            return
        self._open |= {client, server}
        # A peer that resets, or a server that goes away, ends the connection and nothing else.
        with (
            contextlib.suppress(OSError, ValueError),
            client.makefile("rb") as asked,
            server.makefile("rb") as told,
        ):
            while self._exchange(asked, client, told, server):
                pass
        self._forget(client, server)

    def _exchange(
        self, asked: BufferedReader, client: socket.socket, told: BufferedReader, server: socket.socket
    ) -> bool:
        """One request and its answer; whether there may be another one."""
        request = _read_head(asked)
        if request is None:
            return False
        spoiling = self._chosen(request)
        if spoiling.refusal is not None:
            for _ in _pieces(asked, request.size):
                pass
            client.sendall(_refuse(spoiling.refusal, request.first[0]))
            return True
        server.sendall(request.raw)
        if not self._forward(
            _pieces(asked, request.size), request.size, server, spoiling.cut_request, spoiling.spoil_request
        ):
            abort(server)
            abort(client)
            return False
        if spoiling.late:
            time.sleep(spoiling.late)
        return self._answer(request, told, client, spoiling)

    def _answer(self, request: Head, told: BufferedReader, client: socket.socket, spoiling: Spoiling) -> bool:
        answer = _read_head(told)
        if answer is None:
            return False
        bare = request.first[0] == "HEAD" or answer.first[1] in ("204", "304")
        size = 0 if bare else answer.size
        if spoiling.cut_answer and not size:
            client.sendall(answer.raw[: len(answer.raw) // 2])
            return False
        client.sendall(answer.raw)
        if not bare and answer.fields.get("transfer-encoding") == "chunked":
            whole = b"".join(_chunks(told))
            return self._forward(
                iter([whole]), len(whole), client, spoiling.cut_answer, spoiling.spoil_answer
            )
        return self._forward(_pieces(told, size), size, client, spoiling.cut_answer, spoiling.spoil_answer)

    def _chosen(self, request: Head) -> Spoiling:
        spoiling = self.spoiling
        if (
            spoiling is None
            or request.first[0] not in spoiling.methods
            or spoiling.path not in request.first[1]
            or ((spoiling.cut_request or spoiling.spoil_request) and not request.size)
            or self._random.random() >= spoiling.odds
        ):
            return Spoiling()
        self.struck += 1
        return spoiling

    def _forward(
        self, pieces: Iterator[bytes], size: int, sink: socket.socket, cut: bool, spoil: bool
    ) -> bool:
        """Whether all was forwarded. The place at which it is cut or changed is anywhere."""
        place = self._random.randrange(size) if size else 0
        before = 0
        for piece in pieces:
            here = place - before
            if 0 <= here < len(piece):
                if cut:
                    sink.sendall(piece[:here])
                    return False
                if spoil:
                    piece = piece[:here] + bytes([piece[here] ^ 1]) + piece[here + 1 :]
            before += len(piece)
            sink.sendall(piece)
        return True


def _read_head(source: BufferedReader) -> Head | None:
    """None where the connection ends instead."""
    lines = []
    while (line := source.readline()) not in (b"\r\n", b""):
        lines.append(line)
    if not lines or not line:
        return None
    named = [each.decode("latin-1").partition(":") for each in lines[1:]]
    fields = {name.strip().lower(): value.strip() for name, _, value in named}
    return Head(b"".join(lines) + line, lines[0].decode("latin-1").split(" "), fields)


def _pieces(source: BufferedReader, size: int) -> Iterator[bytes]:
    """The ``size`` bytes of a body. Raises ConnectionError where they do not all come."""
    while size:
        piece = source.read1(min(size, PIECE))
        if not piece:
            raise ConnectionError("the body ended before its end")
        size -= len(piece)
        yield piece


def _chunks(source: BufferedReader) -> Iterator[bytes]:
    """The bytes of a chunked body, with its framing."""
    while True:
        line = source.readline()
        size = int(line.partition(b";")[0], 16)
        yield line
        yield from _pieces(source, size)
        yield source.readline()
        if not size:
            return


def _refuse(refusal: Refusal, method: str) -> bytes:
    body = (
        f'<?xml version="1.0"?><Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>'
    )
    date = formatdate(time.time() + refusal.hours * 3600, usegmt=True)
    head = (
        f"HTTP/1.1 {refusal.status} {refusal.code}\r\nDate: {date}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body.encode())
