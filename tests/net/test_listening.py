"""Binding an address: both families, ports in use, and addresses that are not ours."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, cast
from unittest import SkipTest

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, ServerFactory
from twisted.trial.unittest import TestCase

from lfsproxy.errors import SettingError
from lfsproxy.net.listening import AdoptedPorts, BoundPorts, IListener
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


class ListenTestCase(TestCase):
    """``listener`` is where ports come from."""

    listener: IListener = BoundPorts(reactor)

    def open(self, host: str, port: int = 0) -> IListeningPort:
        factory: ServerFactory[Any] = ServerFactory()
        factory.protocol = SayWhoCalled
        factory.noisy = False
        opened = self.listener.listen(Address(host, port), factory, "LFS_HTTP_ADDR")
        self.addCleanup(opened.stopListening)
        return opened

    def listen(self, host: str, port: int = 0) -> int:
        return int(cast(Any, self.open(host, port).getHost()).port)

    async def ask(self, host: str, port: int) -> str:
        collect: Any = await HostnameEndpoint(reactor, host, port).connect(Factory.forProtocol(Collect))
        received: bytes = await collect.done
        return received.decode()


class BoundPortsTests(ListenTestCase):
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


class AdoptedPortsTests(ListenTestCase):
    def bound(self, host: str = "127.0.0.1") -> socket.socket:
        """A socket that listens already, as systemd or a parent process has it."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host, 0), family=family)
        self.addCleanup(found.close)
        return found

    def adopt(self, *sockets: socket.socket) -> AdoptedPorts:
        """A listener that is given copies of their descriptors, as a child process is."""
        self.listener = adopted = AdoptedPorts(
            reactor, [os.dup(each.fileno()) for each in sockets], BoundPorts(reactor)
        )
        self.addCleanup(adopted.close)
        return adopted

    async def test_a_socket_that_listens_already_is_served(self) -> None:
        first, second = self.bound(), self.bound()
        adopted = self.adopt(first, second)
        port = second.getsockname()[1]
        self.assertEqual(self.listen("127.0.0.1", port), port)
        self.assertEqual(await self.ask("127.0.0.1", port), "127.0.0.1 127.0.0.1")
        self.assertEqual(adopted.left, 1)

    async def test_who_connected_before_is_served_as_well(self) -> None:
        bound = self.bound()
        port = bound.getsockname()[1]
        asking = Deferred.fromCoroutine(self.ask("127.0.0.1", port))
        self.adopt(bound)
        self.listen("127.0.0.1", port)
        self.assertEqual(await asking, "127.0.0.1 127.0.0.1")

    def test_every_address_is_one_address_however_it_is_written(self) -> None:
        bound = self.bound("0.0.0.0")
        adopted = self.adopt(bound)
        self.listen("", bound.getsockname()[1])
        self.assertEqual(adopted.left, 0)

    async def test_an_address_that_none_is_bound_to_is_bound(self) -> None:
        adopted = self.adopt(self.bound())
        self.assertEqual(await self.ask("127.0.0.1", self.listen("127.0.0.1")), "127.0.0.1 127.0.0.1")
        self.assertEqual(adopted.left, 1)

    async def test_a_port_that_stops_closes_its_socket(self) -> None:
        bound = self.bound()
        adopted = self.adopt(bound)
        port = bound.getsockname()[1]
        bound.close()
        await maybeDeferred(self.open("127.0.0.1", port).stopListening)
        self.assertEqual(adopted.left, 0)
        socket.create_server(("127.0.0.1", port)).close()

    def test_a_socket_that_was_inherited_is_handed_to_no_child(self) -> None:
        number = os.dup(self.bound().fileno())
        os.set_inheritable(number, True)
        self.addCleanup(AdoptedPorts(reactor, [number], BoundPorts(reactor)).close)
        self.assertFalse(os.get_inheritable(number))

    def test_sockets_that_nobody_took_are_closed(self) -> None:
        bound = self.bound()
        adopted = self.adopt(bound)
        port = bound.getsockname()[1]
        bound.close()
        self.assertRaises(OSError, socket.create_server, ("127.0.0.1", port))
        adopted.close()
        socket.create_server(("127.0.0.1", port)).close()

    def test_a_descriptor_that_is_no_listening_socket_is_named(self) -> None:
        with socket.socket() as idle, open(os.devnull) as file:
            for number in (idle.fileno(), file.fileno()):
                error = self.assertRaises(SettingError, AdoptedPorts, reactor, [number], self.listener)
                self.assertRegex(str(error), f"^file descriptor {number} cannot be adopted: ")
            # It is still its owner's.
            self.assertNotEqual(idle.fileno(), -1)
            os.fstat(idle.fileno())
