"""TCP ports on the loopback interface: a free one, and who has one that is taken."""

from __future__ import annotations

import socket

import psutil

from lfsproxy.devstack.errors import DevstackError

HOST = "127.0.0.1"


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, purpose: str, variable: str | None = None) -> None:
    """Raise DevstackError, naming who has ``port`` and how to move, when it cannot be listened on.

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
    """Who listens on ``port``, as ``name (process id)``, where this user may know it."""
    for process in psutil.process_iter(["name"]):
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return f"{process.info['name']} (process {process.pid})"
    return None
