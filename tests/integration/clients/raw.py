"""A Kafka client of raw frames, to send what no library would."""

from __future__ import annotations

import socket
import struct

from lfsproxy.devstack.ports import HOST

SECONDS = 20


class RawClient:
    """One connection. All methods block."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=SECONDS)

    def ask(self, frame: bytes) -> bytes | None:
        """Send a request; what follows the correlation id of its answer, None where the other side closes."""
        try:
            self.socket.sendall(frame)
        except ConnectionError:
            return None
        return self.receive()

    def receive(self) -> bytes | None:
        """What follows the correlation id of the next answer, None where the other side closes."""
        head = self._read(8)
        return None if head is None else self._read(struct.unpack_from(">i", head)[0] - 4)

    def _read(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                received = self.socket.recv(size - len(data))
            except ConnectionError:
                return None
            if not received:
                return None
            data += received
        return data

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
