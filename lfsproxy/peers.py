"""Whether the other end of a connection is gone, also while nothing is read from it.

A transport whose reading is paused sees no end of the stream; the kernel does. On systems that do not tell
(TCP_INFO is Linux's), a paused peer counts as there until it is read again.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.protocols.policies import ProtocolWrapper

CHECK_SECONDS = 1.0
"""How often a paused connection is worth a look."""

# linux/tcp.h and net/tcp_states.h: the first byte of struct tcp_info is the state.
_ESTABLISHED = 1


def beneath(transport: Any) -> Any:
    """The transport that has the socket: ``transport`` itself, or what TLS goes over."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def peer_is_gone(transport: Any) -> bool:
    """Whether the peer has closed or reset its end. ``transport`` may be TCP, or TLS over it."""
    transport = beneath(transport)
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if not isinstance(handle, socket.socket) or not hasattr(socket, "TCP_INFO"):
        return False
    try:
        state: int = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return False
    return state != _ESTABLISHED
