"""Whether the other end of a connection is gone, also while nothing is read from it, and how far it has read.

A transport whose reading is paused sees no end of the stream; the kernel does. On systems that do not tell
(TCP_INFO is Linux's), a paused peer counts as there until it is read again.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.protocols.policies import ProtocolWrapper

CHECK_SECONDS = 1.0
"""How often a paused connection is worth a look."""

# linux/tcp.h and net/tcp_states.h: the first byte of struct tcp_info is the state; since Linux 4.2 it has
# tcpi_bytes_acked.
_ESTABLISHED = 1
_BYTES_ACKED = 120
_INFO_SIZE = 128
"""Where tcpi_bytes_acked begins and ends in Linux's struct tcp_info (linux/tcp.h), in bytes."""


def plain_host(host: str) -> str:
    """An address as people write it: without the prefix of an IPv4 client on a socket for both."""
    return host.removeprefix("::ffff:") if "." in host else host


def host_of(peer: str) -> str:
    """The host of an address as lines of the log show it: host:port, [v6]:port, or a host alone."""
    if peer.startswith("["):
        return peer[1:].partition("]")[0]
    host, _, port = peer.rpartition(":")
    return host if port.isdecimal() and ":" not in host and host else peer


def beneath(transport: Any) -> Any:
    """The transport that has the socket: ``transport`` itself, or what TLS goes over."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def peer_is_gone(transport: Any) -> bool:
    """Whether the peer has closed or reset its end. ``transport`` may be TCP, or TLS over it."""
    info = _tcp_info(transport, 1)
    return info is not None and (not info or info[0] != _ESTABLISHED)


def has_unread(transport: Any) -> bool:
    """Whether the peer has sent bytes that were not read from the socket yet."""
    handle = _socket(transport)
    if handle is None:
        return False
    try:
        return bool(handle.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def bytes_acknowledged(transport: Any) -> int | None:
    """How many bytes the peer's system has taken of all that were sent; None where that is not known."""
    info = _tcp_info(transport, _INFO_SIZE)
    if info is None or len(info) < _INFO_SIZE:
        return None
    return int.from_bytes(info[_BYTES_ACKED:_INFO_SIZE], sys.byteorder)


def _socket(transport: Any) -> socket.socket | None:
    transport = beneath(transport)
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    return handle if isinstance(handle, socket.socket) else None


def _tcp_info(transport: Any, size: int) -> bytes | None:
    """The first bytes of the kernel's tcp_info: none of a socket that is closed, None where it has none."""
    handle = _socket(transport)
    if handle is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        return handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    except OSError:
        return b""
