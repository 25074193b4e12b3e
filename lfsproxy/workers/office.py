"""The parent's side of ports: each is bound once, and every worker that asks gets a descriptor of it.

A worker asks by a line of JSON, ``{"host", "port", "setting"}``, and waits for the answer: ``{"port": n}``
with a descriptor, or ``{"refused": line}``. The parent answers at once, and never waits for a worker.
"""

from __future__ import annotations

import json
import socket
from typing import Any, cast

import attrs
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime, IReadDescriptor
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.errors import SettingError
from lfsproxy.net.listening import IListener
from lfsproxy.settings import Address

UNUSED_SECONDS = 60.0
"""How long a port that no worker serves any more stays bound. Connections wait in it meanwhile."""


@attrs.define(eq=False)
class _Bound:
    port: IListeningPort
    number: int
    keep: bool
    users: set[int] = attrs.Factory(set)
    closing: IDelayedCall | None = None


class PortOffice:
    """Every port that any worker serves. ``listener`` binds them.

    The parent accepts nothing: it only keeps the sockets open, so that connections that wait to be accepted
    outlive a worker.
    """

    def __init__(self, clock: IReactorTime, listener: IListener) -> None:
        self._clock = clock
        self._listener = listener
        self._bound: dict[tuple[str, int, str], _Bound] = {}
        self._numbers = 0

    def bind(self, address: Address, setting: str) -> None:
        """Bind a port that stays, before any worker asks. Raises SettingError."""
        self._open(address, setting, keep=True)

    def take(self, worker: int, address: Address, setting: str) -> tuple[int, int]:
        """A descriptor of the port, and its number. The port is the worker's until ``ended``.

        Raises SettingError where it cannot be bound.
        """
        bound = self._open(address, setting, keep=False)
        bound.users.add(worker)
        if bound.closing is not None:
            bound.closing.cancel()
            bound.closing = None
        return cast(Any, bound.port).fileno(), bound.number

    def ended(self, worker: int) -> None:
        """A worker has ended. A port that it alone served is closed unless one asks for it in time."""
        for key, bound in self._bound.items():
            if worker in bound.users:
                bound.users.remove(worker)
                if not bound.users and not bound.keep:
                    bound.closing = self._clock.callLater(UNUSED_SECONDS, self._close, key)

    def close(self) -> None:
        """Close every port here; those of workers stay open until they close them."""
        for key in list(self._bound):
            self._close(key)

    def _open(self, address: Address, setting: str, keep: bool) -> _Bound:
        key = (address.host, address.port, setting)
        if key not in self._bound:
            port = self._listener.listen(address, _Nobody(setting), setting)
            cast(Any, port).stopReading()
            # Twisted shuts a socket down that it made, in all processes that have it. The workers' go on.
            cast(Any, port)._shouldShutdown = False
            self._bound[key] = _Bound(port, self._numbers, keep)
            self._numbers += 1
        return self._bound[key]

    def _close(self, key: tuple[str, int, str]) -> None:
        bound = self._bound.pop(key)
        if bound.closing is not None and bound.closing.active():
            bound.closing.cancel()
        bound.port.stopListening()


class _Nobody(ServerFactory[Any]):
    """For a port at which nothing is accepted."""

    noisy = False

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def logPrefix(self) -> str:
        """What Twisted calls the port."""
        return f"the port of {self._setting}, for workers,"


@implementer(IReadDescriptor)
class Desk:
    """Answers one worker's questions for ports, which come by ``connection``."""

    def __init__(self, reactor: Any, connection: socket.socket, office: PortOffice, worker: int) -> None:
        connection.setblocking(False)
        self._reactor = reactor
        self._connection = connection
        self._office = office
        self._worker = worker
        self._read = b""
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._connection.fileno()

    def logPrefix(self) -> str:
        """What Twisted calls it."""
        return "ports of a worker"

    def doRead(self) -> None:
        try:
            data = self._connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._read = (self._read + data).split(b"\n")
        for line in lines:
            self._answer(json.loads(line))

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    def close(self) -> None:
        """Answer no more."""
        self._reactor.removeReader(self)
        self._connection.close()

    def _answer(self, asked: dict[str, Any]) -> None:
        answer: dict[str, Any] = {}
        descriptors = []
        try:
            address = Address(asked["host"], asked["port"])
            descriptor, answer["port"] = self._office.take(self._worker, address, asked["setting"])
            descriptors.append(descriptor)
        except SettingError as error:
            answer["refused"] = str(error)
        try:
            socket.send_fds(self._connection, [json.dumps(answer).encode() + b"\n"], descriptors)
        except OSError:
            # The worker is gone.
            self.close()
