"""A worker's side of ports: it asks its parent for them, and leaves connections to workers that have fewer.

All workers wait for connections in the same queue. Whoever is idle takes the next one, so that nobody waits
for a busy worker. But of idle workers always the same might win, and Kafka clients keep few connections for
long. So a worker that is ahead in a port's connections leaves a new one alone for LEAVE_SECONDS. If nobody
has taken it then, the others are busy or gone, and it takes up to AT_ONCE of those that wait.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.errors import SettingError
from lfsproxy.net.listening import IListener
from lfsproxy.settings import Address
from lfsproxy.words import error_text
from lfsproxy.workers.board import Board, Cells

LEAVE_SECONDS = 0.005
AT_ONCE = 8
ANSWER_SECONDS = 10.0
"""The parent answers within a few milliseconds, unless it is stopped. So long a worker waits once: it asks
nothing more until the late answer is there."""


@implementer(IListener)
class AskedPorts:
    """Asks the parent for each port, and waits for it: the parent waits for nobody."""

    def __init__(self, reactor: Any, connection: socket.socket, board: Board, index: int) -> None:
        self._reactor = reactor
        self._connection = connection
        self._board = board
        self._index = index
        self._waits = False
        self._read = b""

    def listen(self, address: Address, factory: ServerFactory[Any], setting: str) -> IListeningPort:
        asked = {"host": address.host, "port": address.port, "setting": setting}
        try:
            answer, descriptors = self._ask(json.dumps(asked).encode() + b"\n")
        except OSError:
            raise SettingError(f"cannot listen at {address}: the parent process does not answer") from None
        if "refused" in answer:
            raise SettingError(answer["refused"])
        try:
            port = self._port(descriptors, factory)
        except OSError as error:
            raise SettingError(f"cannot listen at {address}: {error_text(error)}") from None
        port.cells = self._board.port(answer["port"], self._index)
        port.startListening()
        return cast(IListeningPort, port)

    def _port(self, descriptors: list[int], factory: ServerFactory[Any]) -> SharedPort:
        if not descriptors:
            # The kernel leaves out what this process has no number for.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        # Twisted's adoptStreamPort does the same with a Port of its own. Each makes a descriptor of its own.
        with socket.socket(fileno=descriptors[0]) as bound:
            make: Any = SharedPort._fromListeningDescriptor
            return cast(SharedPort, make(self._reactor, bound.fileno(), bound.family, factory))

    def _ask(self, question: bytes) -> tuple[dict[str, Any], list[int]]:
        if self._waits:
            # Of the question before this one: else its port would be taken for this one's.
            for late in self._answer(0)[1]:
                os.close(late)
        self._waits = True
        self._connection.settimeout(ANSWER_SECONDS)
        self._connection.sendall(question)
        return self._answer(ANSWER_SECONDS)

    def _answer(self, seconds: float) -> tuple[dict[str, Any], list[int]]:
        self._connection.settimeout(seconds)
        descriptors = list[int]()
        while not self._read.endswith(b"\n"):
            data, found, _, _ = socket.recv_fds(self._connection, 65536, 1)
            if not data:
                raise ConnectionError
            self._read += data
            descriptors += found
        answer, self._read, self._waits = json.loads(self._read), b"", False
        return answer, descriptors


class _Counted(tcp.Server):
    """A connection that its port counts as long as it is open."""

    server: SharedPort

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server.count(1)

    def connectionLost(self, reason: Failure) -> None:
        self.server.count(-1)
        super().connectionLost(reason)


class SharedPort(tcp.Port):
    """A port at which several processes accept. ``cells`` has the connections of each."""

    transport: Any = _Counted
    cells: Cells | None = None
    _leaving_alone: IDelayedCall | None = None

    def startListening(self) -> None:
        if self.cells is not None:
            self.cells.serve()
        super().startListening()

    def doRead(self) -> None:
        if self.cells is not None and self.cells.ahead > 0:
            self.stopReading()  # type: ignore[no-untyped-call]  # of Twisted
            later = cast(IReactorTime, self.reactor).callLater
            self._leaving_alone = later(LEAVE_SECONDS, self._take_what_is_left)
            return
        # One at a time, so that another idle worker gets the next.
        self._accept(1)

    def _take_what_is_left(self) -> None:
        self._leaving_alone = None
        self._accept(AT_ONCE)
        self.startReading()  # type: ignore[no-untyped-call]  # of Twisted

    def _accept(self, most: int) -> None:
        self.numberAccepts = most
        super().doRead()  # type: ignore[no-untyped-call]  # of Twisted

    def count(self, change: int) -> None:
        """A connection began (+1) or ended (-1)."""
        if self.cells is not None:
            self.cells.count(change)

    def stopListening(self) -> Any:  # type: ignore[override]  # as IListeningPort has it
        if self.cells is not None:
            self.cells.leave()
        if self._leaving_alone is not None:
            self._leaving_alone.cancel()
            self._leaving_alone = None
        return self.loseConnection()  # type: ignore[no-untyped-call]  # of Twisted
