"""A bare connection to the Kafka door, for what no client library would do. Every method blocks."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable, Sequence

from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from tests.integration import frames

SECONDS = 60.0


class RawClient:
    """Sends bytes and reads frames. Use it as a context manager."""

    def __init__(self, bootstrap: str, receive_buffer: int | None = None) -> None:
        host, _, port = bootstrap.rpartition(":")
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(SECONDS)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> bool:
        """Send everything; False where the connection is closed before."""
        return self.send_all(pieces)

    def send_all(self, pieces: Iterable[bytes]) -> bool:
        """As ``send``, piece by piece."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def answer(self) -> bytes | None:
        """The next frame without its length; None where the connection is closed."""
        with contextlib.suppress(ConnectionError):
            start = self._exactly(4)
            if start is not None:
                return self._exactly(struct.unpack(">i", start)[0])
        return None

    def _exactly(self, size: int) -> bytes | None:
        found = bytearray()
        while len(found) < size:
            data = self.socket.recv(min(size - len(found), 2**20))
            if not data:
                return None
            found += data
        return bytes(found)

    def verdicts(self) -> Sequence[PartitionAnswer]:
        """What the next answer, to a Produce request, says of its partitions; none where it is closed."""
        answer = self.answer()
        return [] if answer is None else ProduceResponse.decode(frames.VERSION, answer[4:]).partitions

    def said(self) -> str:
        """The next Produce answer in words: ``closed``, or its codes, ``ok`` for 0."""
        codes = sorted({verdict.error_code for verdict in self.verdicts()})
        return " and ".join(f"error {code}" if code else "ok" for code in codes) or "closed"
