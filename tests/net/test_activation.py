"""Sockets of systemd's: which are ours, who takes them, and what is said of those that nobody takes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any, cast

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import ServerFactory
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.errors import SettingError
from lfsproxy.net.activation import ActivatedPorts, take_descriptors
from lfsproxy.net.listening import BoundPorts
from lfsproxy.settings import Address

reactor = cast(Any, global_reactor)
ME = str(os.getpid())


class TakeDescriptorsTests(SynchronousTestCase):
    def take(self, **environment: str) -> list[int]:
        self.environment = {"PATH": "/bin", **environment}
        return take_descriptors(self.environment, {})

    def test_descriptors_begin_at_three(self) -> None:
        taken = self.take(LISTEN_PID=ME, LISTEN_FDS="2", LISTEN_FDNAMES="lfsproxy:lfsproxy")
        self.assertEqual(taken, [3, 4])

    def test_names_may_be_missing(self) -> None:
        self.assertEqual(self.take(LISTEN_PID=ME, LISTEN_FDS="2"), [3, 4])

    def test_those_of_another_process_are_not_taken(self) -> None:
        self.assertEqual(self.take(LISTEN_PID="1", LISTEN_FDS="2"), [])

    def test_no_count_is_none(self) -> None:
        self.assertEqual(self.take(), [])
        self.assertEqual(self.take(LISTEN_FDS="1"), [])
        self.assertEqual(self.take(LISTEN_PID=ME), [])
        self.assertEqual(self.take(LISTEN_PID=ME, LISTEN_FDS="-1"), [])

    def test_processes_that_are_started_later_inherit_nothing(self) -> None:
        for process in (ME, "1"):
            self.take(LISTEN_PID=process, LISTEN_FDS="1", LISTEN_FDNAMES="x")
            self.assertEqual(self.environment, {"PATH": "/bin"})

    def test_descriptors_are_found_after_twisted_took_them_from_the_environment(self) -> None:
        began_with = {"LISTEN_PID": ME, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
        environment = {"LISTEN_FDNAMES": "x"}
        self.assertEqual(take_descriptors(environment, began_with), [3])
        self.assertEqual(environment, {})

    def test_the_environment_at_exec_is_that_of_the_command(self) -> None:
        program = (
            "import os; from lfsproxy.net.activation import environment_at_exec as at_exec; "
            "del os.environ['GIVEN']; print(at_exec()['GIVEN'])"
        )
        given = {**os.environ, "GIVEN": "a=b"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout, "a=b\n")


class ActivatedPortsTests(TestCase):
    def bound(self, host: str = "127.0.0.1") -> tuple[int, int]:
        """Descriptor and port of a socket that listens already."""
        found = socket.create_server((host, 0))
        self.addCleanup(found.close)
        return os.dup(found.fileno()), found.getsockname()[1]

    def ports(self, *descriptors: int, brokers: Address | None = None) -> ActivatedPorts:
        ports = ActivatedPorts(
            reactor, list(descriptors), BoundPorts(reactor), brokers or Address("127.0.0.1", 65535)
        )
        self.addCleanup(ports.stopService)
        return ports

    def listen(self, ports: ActivatedPorts, address: Address) -> int:
        opened = ports.listen(address, ServerFactory(), "LFS_HTTP_ADDR")
        self.addCleanup(lambda: maybeDeferred(opened.stopListening))
        return int(cast(Any, opened.getHost()).port)

    def said(self, ports: ActivatedPorts) -> list[tuple[LogLevel, str]]:
        with capturedLogs() as events:
            ports.startService()
        return [(event["log_level"], formatEvent(event)) for event in events]

    def test_a_socket_is_taken_by_its_address_and_others_are_bound(self) -> None:
        descriptor, port = self.bound()
        ports = self.ports(descriptor)
        self.assertEqual(self.listen(ports, Address("127.0.0.1", port)), port)
        self.assertNotEqual(self.listen(ports, Address("127.0.0.1", 0)), port)
        self.assertEqual(self.said(ports), [])

    def test_a_socket_of_another_address_at_the_same_port_is_named(self) -> None:
        descriptor, port = self.bound("0.0.0.0")
        error = self.assertRaises(
            SettingError, self.listen, self.ports(descriptor), Address("127.0.0.1", port)
        )
        self.assertEqual(
            str(error),
            f"cannot listen at 127.0.0.1:{port}: systemd has a socket at 0.0.0.0:{port}; "
            "LFS_HTTP_ADDR and ListenStream= must be the same address",
        )

    def test_a_port_that_somebody_else_has_is_told_as_ever(self) -> None:
        descriptor, _ = self.bound()
        taken, port = self.bound()
        self.addCleanup(os.close, taken)
        error = self.assertRaises(
            SettingError, self.listen, self.ports(descriptor), Address("127.0.0.1", port)
        )
        self.assertIn("the port is already in use", str(error))

    def test_a_socket_that_nobody_takes_is_warned_of(self) -> None:
        descriptor, port = self.bound()
        [(level, text)] = self.said(self.ports(descriptor))
        self.assertEqual(level, LogLevel.warn)
        self.assertIn(f"systemd's socket at 127.0.0.1:{port} is for nobody", text)

    def test_a_socket_of_a_broker_that_is_not_known_yet_is_kept_for_it(self) -> None:
        descriptor, port = self.bound()
        ports = self.ports(descriptor, brokers=Address("127.0.0.1", port - 3))
        self.assertEqual(
            self.said(ports),
            [(LogLevel.info, f"systemd's socket at 127.0.0.1:{port} is for broker 3, once that is known")],
        )
        self.assertEqual(self.listen(ports, Address("127.0.0.1", port)), port)

    def test_a_brokers_port_at_another_address_is_for_nobody(self) -> None:
        descriptor, port = self.bound()
        [(level, _)] = self.said(self.ports(descriptor, brokers=Address("127.0.0.2", port)))
        self.assertEqual(level, LogLevel.warn)

    async def test_systemds_own_socket_outlives_the_port_that_stops(self) -> None:
        held = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(held.close)
        address = Address("127.0.0.1", held.getsockname()[1])
        port = self.ports(os.dup(held.fileno())).listen(address, ServerFactory(), "LFS_HTTP_ADDR")
        await maybeDeferred(port.stopListening)
        with socket.create_connection((address.host, address.port)):
            held.accept()[0].close()

    def test_what_nobody_took_is_closed_with_the_service(self) -> None:
        held = socket.create_server(("127.0.0.1", 0))
        port = held.getsockname()[1]
        ports = self.ports(os.dup(held.fileno()))
        held.close()
        ports.startService()
        ports.stopService()
        socket.create_server(("127.0.0.1", port)).close()

    def test_a_descriptor_that_is_no_socket_is_named(self) -> None:
        with open(os.devnull) as file:
            error = self.assertRaises(SettingError, self.ports, file.fileno())
        self.assertRegex(str(error), "^file descriptor [0-9]+ cannot be adopted: ")
