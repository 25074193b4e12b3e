"""TCP ports on the loopback interface: a free one, and which process has one that is taken."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from functools import partial

import psutil

from lfsproxy.devstack.errors import DevstackError

HOST = "127.0.0.1"


FIRST, LAST = 20_000, 32_767
"""Where free ports are looked for: below those that systems give to outgoing connections, so that none of
these takes a port between its choice and its use."""

_given: set[int] = set()
_part = range(FIRST, LAST + 1)


def take_part(number: int, count: int) -> None:
    """Look from now on in one of ``count`` equal parts only, the one with this ``number`` from 0 on.

    For processes that run side by side: a port is chosen before it is used, so two could choose the same.
    """
    global _part
    size = (LAST + 1 - FIRST) // count
    _part = range(FIRST + number * size, FIRST + (number + 1) * size)


def free_port() -> int:
    """A port that nothing listens on at this moment, and that this process was not given before."""
    return free_ports(1)


def free_ports(count: int, hosts: Sequence[str] = (HOST,)) -> int:
    """The first of ``count`` ports in a row that are free on each of ``hosts``; as ``free_port``.

    Raises DevstackError where there are none.
    """
    start = random.randrange(len(_part))
    for offset in range(len(_part)):
        first = _part[(start + offset) % len(_part)]
        row = range(first, first + count)
        if row[-1] in _part and _given.isdisjoint(row) and all(map(partial(is_free, hosts=hosts), row)):
            _given.update(row)
            return first
    raise DevstackError(f"No {count} ports in a row are free between {_part[0]} and {_part[-1]}.")


def is_free(port: int, hosts: Sequence[str] = (HOST,)) -> bool:
    """Whether nothing has ``port`` on any of ``hosts``."""
    for host in hosts:
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def require_free(port: int, purpose: str, variable: str | None = None) -> None:
    """Raise DevstackError where ``port`` cannot be listened on; it names the holder and the way out.

    ``variable`` is the environment variable that a user may set to another port.
    """
    move = f"set {variable} to another port" if variable else "choose another port"
    try:
        with socket.socket() as probe:
            # As servers do: connections of an earlier run that are still in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            probe.listen(1)
    except PermissionError as error:
        raise DevstackError(
            f"Port {port} ({purpose}) may not be opened by this user: {move}, from 1024 on."
        ) from error
    except OSError as error:
        holder = holder_of(port)
        raise DevstackError(
            f"Port {port} ({purpose}) is in use{f' by {holder}' if holder else ''}: stop that, or {move}."
        ) from error


def holder_of(port: int) -> str | None:
    """The process that listens on ``port``, as ``name (process id)``, where this user may know it."""
    for process in psutil.process_iter(["name"]):
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return f"{process.info['name']} (process {process.pid})"
    return None
