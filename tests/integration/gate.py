"""A TCP forwarder between clients and the proxy that can hold bytes back, or go to another replica."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST


class Gate(Factory):
    """Listens at ``port`` and forwards to ``target``, a (host, port) that may change for new connections.

    ``hold_after(count)``: of each connection's bytes only so many pass until ``release``; the result fires
    when one connection is held. ``passed`` is how many bytes went from clients to the target.
    """

    noisy = False

    def __init__(self, test: TestCase, target: tuple[str, int] = ("", 0)) -> None:
        self.target = target
        self.passed = 0
        self.limit: int | None = None
        self.connections: set[_FromClient] = set()
        self._held: Deferred[None] | None = None
        listening = cast(Any, reactor).listenTCP(0, self, interface=HOST)
        self.port: int = listening.getHost().port
        test.addCleanup(self.cut)
        test.addCleanup(listening.stopListening)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _FromClient(self)

    def hold_after(self, count: int) -> Deferred[None]:
        self.limit = count
        self._held = Deferred()
        return self._held

    def held(self) -> None:
        waiting, self._held = self._held, None
        if waiting is not None:
            waiting.callback(None)

    def release(self) -> None:
        self.limit = None
        for connection in list(self.connections):
            connection.flush()

    def cut(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            cast(Any, connection.transport).abortConnection()


class _FromClient(Protocol):
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._passed = 0
        self._waiting = bytearray()
        self._target: Any = None

    def connectionMade(self) -> None:
        self._gate.connections.add(self)
        host, port = self._gate.target
        cast(Any, reactor).connectTCP(host, port, _TargetFactory(self))

    def target_is(self, transport: Any) -> None:
        self._target = transport
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        self._waiting += data
        self.flush()

    def flush(self) -> None:
        if self._target is None:
            return
        limit = self._gate.limit
        count = len(self._waiting) if limit is None else max(0, limit - self._passed)
        passing = bytes(self._waiting[:count])
        del self._waiting[:count]
        self._passed += len(passing)
        self._gate.passed += len(passing)
        if passing:
            self._target.write(passing)
        if self._waiting:
            self._gate.held()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._gate.connections.discard(self)
        if self._target is not None:
            self._target.loseConnection()


class _Target(Protocol):
    def __init__(self, client: _FromClient) -> None:
        self._client = client

    def connectionMade(self) -> None:
        self._client.target_is(self.transport)

    def dataReceived(self, data: bytes) -> None:
        cast(Any, self._client.transport).write(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        cast(Any, self._client.transport).loseConnection()


class _TargetFactory(ClientFactory):
    noisy = False

    def __init__(self, client: _FromClient) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Target(self._client)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        cast(Any, self._client.transport).loseConnection()
