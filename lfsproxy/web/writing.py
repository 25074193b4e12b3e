"""How a response leaves: its head together with the first bytes of its body, and large pieces at once.

Twisted's channel writes the head by itself, which costs a call of the kernel for each response.
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from lfsproxy.net.writing import write_through

LARGE_WRITE = 64 * 1024
"""Bytes that are given to the socket at once, as the head of a response is; smaller writes of one turn leave
together."""


class WritingChannel(HTTPChannel):
    """Twisted's, whose socket is given bytes at once where it takes them."""

    _head = b""

    @property
    def is_full(self) -> bool:
        """What was written has not left yet: the writer has to wait."""
        return bool(self._waitingForTransport)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Keep the head of a response: it leaves at once, together with the first bytes of the body."""
        lines = [b"%b %b %b\r\n" % (version, code, reason)]
        lines += [b"%b: %b\r\n" % (name, each) for name, all_ in headers.getAllRawHeaders() for each in all_]
        self._head = b"".join([*lines, b"\r\n"])

    def write(self, data: bytes) -> None:
        if self._head or len(data) >= LARGE_WRITE:
            self._write_at_once([data])
        else:
            super().write(data)

    def writeSequence(self, iovec: list[bytes]) -> None:
        if self._head:
            self._write_at_once(iovec)
        else:
            super().writeSequence(iovec)

    def send_head(self) -> None:
        if self._head:
            self._write_at_once([])

    def _write_at_once(self, pieces: Sequence[bytes]) -> None:
        head, self._head = self._head, b""
        write_through(self.transport, [head, *pieces] if head else pieces)
