"""Writes that a socket takes at once, without waiting for the reactor's next turn.

Twisted's ``transport.write`` gathers what is written and sends it in the next turn, after it has asked the
kernel whether the socket takes it: that is two calls of epoll_ctl and one more of epoll_wait. A socket whose
peer keeps up takes it at once. What it does not take goes the usual way, with its back-pressure, and so does
everything over TLS.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.internet.tcp import Connection

MOST_PIECES = os.sysconf("SC_IOV_MAX")
"""Pieces that one system call takes."""

Piece = bytes | memoryview


def write_through(transport: Any, pieces: Sequence[Piece]) -> None:
    """Write ``pieces`` in order, after what was written before."""
    rest = write_at_once(transport, pieces)
    if rest:
        transport.write(b"".join(rest))


def write_at_once(transport: Any, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Write as much of ``pieces`` as the socket takes now; the rest of them, which was not copied."""
    sent = _sent_at_once(transport, pieces) if _takes_at_once(transport) else 0
    return _rest(pieces, sent) if sent < sum(map(len, pieces)) else ()


def resume_when_writable(transport: Any) -> bool:
    """Have the producer of ``transport`` resumed when its socket takes more. False where that cannot be."""
    if not isinstance(transport, Connection) or not transport.connected or transport._writeDisconnected:
        return False
    transport.producerPaused = True
    transport.startWriting()
    return True


def _takes_at_once(transport: Any) -> bool:
    """Whether it is a socket's own transport, open, and without anything that has to leave before."""
    return (
        isinstance(transport, Connection)
        and bool(transport.connected)
        and not transport._writeDisconnected
        and not transport.dataBuffer
        and not transport._tempDataLen
    )


def _sent_at_once(transport: Any, pieces: Sequence[Piece]) -> int:
    try:
        return int(transport.getHandle().sendmsg(pieces[:MOST_PIECES]))
    except OSError:
        return 0  # It is full, or broken: the reactor finds out which, and tells.


def _rest(pieces: Sequence[Piece], sent: int) -> Sequence[Piece]:
    """What is behind the first ``sent`` bytes."""
    if not sent:
        return pieces
    rest: list[Piece] = []
    for piece in pieces:
        if sent < len(piece):
            rest.append(memoryview(piece)[sent:] if sent else piece)
        sent = max(0, sent - len(piece))
    return rest
