"""Binding an address: both families, ports in use, and addresses that are not ours."""

from __future__ import annotations

import errno
import socket
from typing import Any, cast
from unittest import SkipTest

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, ServerFactory
from twisted.trial.unittest import TestCase

from lfsproxy.errors import SettingError
from lfsproxy.net.listening import listen
from lfsproxy.settings import Address

reactor = cast(Any, global_reactor)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


class SayWhoCalled(Protocol):
    def connectionMade(self) -> None:
        transport = cast(Any, self.transport)
        transport.write(f"{transport.getPeer().host} {transport.getHost().host}".encode())
        transport.loseConnection()


class Collect(Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.done: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: object = None) -> None:
        self.done.callback(self.received)


class ListenTests(TestCase):
    def listen(self, host: str, port: int = 0) -> int:
        factory: ServerFactory[Any] = ServerFactory()
        factory.protocol = SayWhoCalled
        factory.noisy = False
        port_object = listen(reactor, Address(host, port), factory, "LFS_HTTP_ADDR")
        self.addCleanup(port_object.stopListening)
        return int(cast(Any, port_object.getHost()).port)

    async def ask(self, host: str, port: int) -> str:
        collect: Any = await HostnameEndpoint(reactor, host, port).connect(Factory.forProtocol(Collect))
        received: bytes = await collect.done
        return received.decode()

    async def test_empty_host_serves_ipv4(self) -> None:
        self.assertIn("127.0.0.1", await self.ask("127.0.0.1", self.listen("")))

    async def test_empty_host_serves_ipv6_on_the_same_port(self) -> None:
        if not has_ipv6():
            raise SkipTest("no IPv6 on this machine")
        self.assertEqual(await self.ask("::1", self.listen("")), "::1 ::1")

    async def test_works_where_ipv6_is_absent(self) -> None:
        real = socket.socket

        def without_ipv6(family: int = -1, *rest: int, **named: int) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            return real(family, *rest, **named)

        self.patch(socket, "socket", without_ipv6)
        self.patch(socket, "has_ipv6", False)
        port = self.listen("")
        self.patch(socket, "socket", real)
        self.assertEqual(await self.ask("127.0.0.1", port), "127.0.0.1 127.0.0.1")

    def test_port_in_use_is_one_line_that_names_the_variable_and_the_port(self) -> None:
        taken = self.listen("127.0.0.1")
        for host in ("", "127.0.0.1", "localhost"):
            error = self.assertRaises(SettingError, self.listen, host, taken)
            self.assertEqual(
                str(error),
                f"cannot listen at {host}:{taken}: the port is already in use; "
                "LFS_HTTP_ADDR says where to listen instead",
            )

    def test_foreign_address_is_named(self) -> None:
        error = self.assertRaises(SettingError, self.listen, "192.0.2.1", 8080)
        self.assertRegex(str(error), "cannot listen at 192.0.2.1:8080: .*; LFS_HTTP_ADDR says")
        self.assertNotIn("\n", str(error))
