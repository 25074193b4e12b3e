"""Ports that a parent binds and workers ask for: one socket for all, and who takes which connection."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, ServerFactory
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.errors import SettingError
from lfsproxy.net.listening import BoundPorts
from lfsproxy.settings import Address
from lfsproxy.workers import listening
from lfsproxy.workers.board import MOST_PORTS, Board, remove_abandoned
from lfsproxy.workers.listening import AskedPorts
from lfsproxy.workers.office import UNUSED_SECONDS, Desk, PortOffice

reactor = cast(Any, global_reactor)
ANY = Address("127.0.0.1", 0)


class BoardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.parent = Board.create(self.folder, 3)
        self.workers = [Board(self.folder, 3) for _ in range(3)]

    def ahead(self, index: int, port: int = 0) -> int:
        cells = self.workers[index].port(port, index)
        assert cells is not None
        return cells.ahead

    def test_processes_are_known_to_all(self) -> None:
        self.parent.began(0, 100)
        self.parent.began(2, 102)
        self.assertEqual(self.workers[1].running, [100, 102])
        self.assertEqual(self.workers[1].parent, os.getpid())
        self.parent.ended(0)
        self.assertEqual(self.workers[1].running, [102])

    def test_a_worker_sees_by_how_many_connections_it_is_ahead(self) -> None:
        for index, connections in ((0, 3), (1, 1)):
            cells = self.workers[index].port(0, index)
            assert cells is not None
            cells.serve()
            cells.count(connections)
        self.assertEqual((self.ahead(0), self.ahead(1)), (2, 0))
        self.assertEqual(self.ahead(0, port=1), 0)

    def test_a_worker_that_ended_is_no_longer_waited_for(self) -> None:
        for index in (0, 1):
            cells = self.workers[index].port(7, index)
            assert cells is not None
            cells.serve()
            cells.count(1 - index)
        self.assertEqual(self.ahead(0, 7), 1)
        self.parent.ended(1)
        self.assertEqual(self.ahead(0, 7), 0)

    def test_a_connection_that_ends_after_its_port_is_no_debt(self) -> None:
        first, second = self.workers[0].port(0, 0), self.workers[1].port(0, 1)
        assert first is not None and second is not None
        for cells in (first, second):
            cells.serve()
            cells.count(1)
        second.leave()
        second.count(-1)
        self.assertEqual(first.ahead, 0)

    def test_the_folder_of_a_fleet_that_is_gone_is_removed(self) -> None:
        used = Path(self.mktemp())
        begun, gone, other = (used.with_name(f"{used.name}-{name}") for name in ("begun", "gone", "other"))
        for folder in (used, begun, gone, other):
            folder.mkdir()
        board = Board.create(str(used), 2)
        (gone / "board").write_bytes(b"")
        (gone / "counter_0.db").write_bytes(b"")
        remove_abandoned([used, begun, gone, used / "none"])
        self.assertEqual([each.exists() for each in (used, begun, gone, other)], [True, True, False, True])
        late = Board(str(used), 2)
        del board
        remove_abandoned([used])
        self.assertTrue(used.exists())
        del late
        remove_abandoned([used])
        self.assertFalse(used.exists())

    def test_ports_beyond_the_board_have_no_cells(self) -> None:
        self.assertIsNone(self.workers[0].port(MOST_PORTS, 0))
        self.assertIsNotNone(self.workers[2].port(MOST_PORTS - 1, 2))


class Taking(ServerFactory[Any]):
    """Counts the connections that were ``taken``, and those of them that are ``lost`` again."""

    noisy = False

    def __init__(self) -> None:
        self.taken = 0
        self.lost = 0

    def buildProtocol(self, addr: object) -> Protocol:
        self.taken += 1
        return Taken(self)


class Taken(Protocol):
    def __init__(self, by: Taking) -> None:
        self.by = by

    def connectionLost(self, reason: Any = None) -> None:
        self.by.lost += 1


def descriptors() -> Iterator[int]:
    """All that this process has open."""
    for name in os.listdir("/proc/self/fd"):
        # The one by which they are listed is closed by now.
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            yield int(name)


class PortsTestCase(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.office = PortOffice(self.clock, BoundPorts(reactor))
        self.addCleanup(self.office.close)
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        Board.create(self.folder, 2)

    def asked(self, worker: int) -> socket.socket:
        """The worker's end of its connection to the parent's desk."""
        ours, theirs = socket.socketpair()
        desk = Desk(reactor, ours, self.office, worker)
        self.addCleanup(theirs.close)
        self.addCleanup(desk.close)
        return theirs

    def worker_port(self, worker: int, factory: ServerFactory[Any]) -> Any:
        """The port as a worker has it, which waits for its parent's answer: it is there before it asks."""
        theirs, answers = socket.socketpair()
        with theirs, answers:
            descriptor, number = self.office.take(worker, ANY, "LFS_X")
            socket.send_fds(answers, [json.dumps({"port": number}).encode() + b"\n"], [descriptor])
            ports = AskedPorts(reactor, theirs, Board(self.folder, 2), worker)
            port = ports.listen(ANY, factory, "LFS_X")
        self.addCleanup(port.stopListening)
        return port


class OfficeTests(PortsTestCase):
    def take(self, worker: int, setting: str = "LFS_X") -> int:
        """The number of a port's socket."""
        descriptor, _ = self.office.take(worker, ANY, setting)
        return os.fstat(descriptor).st_ino

    def test_a_port_is_bound_once_for_all(self) -> None:
        self.assertEqual(self.take(0), self.take(1))
        self.assertNotEqual(self.take(0), self.take(0, "LFS_Y"))

    def test_a_port_that_no_worker_serves_any_more_is_closed_in_the_end(self) -> None:
        before = self.take(0)
        self.take(1)
        self.office.ended(0)
        self.clock.advance(UNUSED_SECONDS)
        self.assertEqual(self.take(1), before)
        self.office.ended(1)
        self.clock.advance(UNUSED_SECONDS)
        self.assertNotEqual(self.take(1), before)

    def test_a_worker_that_follows_takes_the_port_again(self) -> None:
        before = self.take(0)
        self.office.ended(0)
        self.clock.advance(UNUSED_SECONDS - 1)
        self.assertEqual(self.take(0), before)
        self.clock.advance(UNUSED_SECONDS)
        self.assertEqual(self.take(0), before)

    def test_a_port_of_the_settings_stays(self) -> None:
        self.office.bind(ANY, "LFS_X")
        before = self.take(0)
        self.office.ended(0)
        self.clock.advance(UNUSED_SECONDS)
        self.assertEqual(self.take(0), before)

    async def test_the_parent_s_end_leaves_the_workers_sockets_alone(self) -> None:
        descriptor, _ = self.office.take(0, ANY, "LFS_X")
        with socket.socket(fileno=os.dup(descriptor)) as bound:
            self.office.close()
            await deferLater(reactor, 0.02)
            with socket.create_connection(bound.getsockname(), timeout=5):
                bound.settimeout(5)
                bound.accept()[0].close()

    async def test_connections_wait_while_no_worker_accepts(self) -> None:
        descriptor, _ = self.office.take(0, ANY, "LFS_X")
        with socket.socket(fileno=os.dup(descriptor)) as bound:
            client = socket.create_connection(bound.getsockname(), timeout=5)
            await deferLater(reactor, 0.02)
            bound.settimeout(5)
            bound.accept()[0].close()
        client.close()


class AskedPortsTests(PortsTestCase):
    async def test_a_worker_serves_a_port_that_its_parent_bound(self) -> None:
        factory = Taking()
        port = self.worker_port(0, factory)
        client = socket.create_connection(("127.0.0.1", port.getHost().port), timeout=5)
        while not factory.taken:
            await deferLater(reactor, 0.005)
        client.close()

    async def test_a_port_in_use_is_the_line_that_names_the_setting(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            theirs = self.asked(0)
            asked = {
                "host": "127.0.0.1",
                "port": taken.getsockname()[1],
                "setting": "LFS_KAFKA_BROKER_PORT_BASE",
            }
            theirs.sendall(json.dumps(asked).encode() + b"\n")
            answer = json.loads(await deferToThread(theirs.recv, 65536))
        self.assertIn("the port is already in use; LFS_KAFKA_BROKER_PORT_BASE says", answer["refused"])

    async def test_the_desk_hands_a_worker_a_descriptor_of_the_port(self) -> None:
        theirs = self.asked(0)
        asked = {"host": ANY.host, "port": ANY.port, "setting": "LFS_X"}
        # In two pieces, as bytes may come.
        line = json.dumps(asked).encode() + b"\n"
        theirs.sendall(line[:9])
        await deferLater(reactor, 0.01)
        theirs.sendall(line[9:])
        data, descriptors, _, _ = await deferToThread(socket.recv_fds, theirs, 65536, 1)
        self.assertEqual(json.loads(data), {"port": 0})
        with socket.socket(fileno=descriptors[0]) as bound:
            wanted, _ = self.office.take(0, ANY, "LFS_X")
            self.assertEqual(os.fstat(bound.fileno()).st_ino, os.fstat(wanted).st_ino)

    async def test_a_refusal_is_raised(self) -> None:
        first, second = socket.socketpair()
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        second.sendall(b'{"refused": "cannot listen"}\n')
        ports = AskedPorts(reactor, first, Board(self.folder, 2), 0)
        error = self.assertRaises(SettingError, ports.listen, ANY, Taking(), "LFS_X")
        self.assertEqual(str(error), "cannot listen")

    async def test_a_parent_that_is_gone_is_a_line_too(self) -> None:
        first, second = socket.socketpair()
        self.addCleanup(first.close)
        second.close()
        ports = AskedPorts(reactor, first, Board(self.folder, 2), 0)
        error = self.assertRaises(SettingError, ports.listen, ANY, Taking(), "LFS_X")
        self.assertIn("the parent process does not answer", str(error))

    def late(self) -> tuple[AskedPorts, socket.socket, Callable[[], str]]:
        """A worker's side, the parent's, and what the worker is told when it asks for a port."""
        first, second = socket.socketpair()
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        ports = AskedPorts(reactor, first, Board(self.folder, 2), 0)

        def ask() -> str:
            return str(self.assertRaises(SettingError, ports.listen, ANY, Taking(), "LFS_X"))

        return ports, second, ask

    async def test_an_answer_that_comes_too_late_is_not_taken_for_that_to_the_next_question(self) -> None:
        self.patch(listening, "ANSWER_SECONDS", 0.02)
        ports, parent, ask = self.late()
        self.assertIn("does not answer", ask())
        sockets = []
        for setting in ("LFS_LATE", "LFS_X"):
            descriptor, number = self.office.take(0, ANY, setting)
            sockets.append(os.fstat(descriptor).st_ino)
            socket.send_fds(parent, [json.dumps({"port": number}).encode() + b"\n"], [descriptor])
        port = cast(Any, ports.listen(ANY, Taking(), "LFS_X"))
        self.addCleanup(port.stopListening)
        open_now = [os.fstat(each).st_ino for each in descriptors()]
        # The parent's own; and the worker's, which has none of the answer that was late.
        self.assertEqual([open_now.count(each) for each in sockets], [1, 2])
        self.assertEqual(os.fstat(port.fileno()).st_ino, sockets[1])

    async def test_a_parent_that_does_not_answer_is_waited_for_once(self) -> None:
        self.patch(listening, "ANSWER_SECONDS", 0.02)
        _, parent, ask = self.late()
        self.assertIn("does not answer", ask())
        self.patch(listening, "ANSWER_SECONDS", 1.0)
        for _ in range(3):
            self.assertIn("does not answer", ask())
        self.assertEqual(parent.recv(65536).count(b"\n"), 1)

    async def test_a_worker_without_a_free_descriptor_says_so(self) -> None:
        _, parent, ask = self.late()
        parent.sendall(b'{"port": 0}\n')
        self.assertIn("Too many open files", ask())


class SpreadTests(PortsTestCase):
    """Two workers' ports in one process: their reactor is the same, so that the first asked always wins."""

    def ports(self) -> tuple[list[Taking], list[Any]]:
        factories = [Taking(), Taking()]
        return factories, [self.worker_port(index, factories[index]) for index in (0, 1)]

    async def connect(self, port: Any, count: int) -> list[Any]:
        """Connections, one after the other."""
        made = []
        for _ in range(count):
            endpoint = HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port)
            made.append(await endpoint.connect(Factory.forProtocol(Protocol)))
            self.addCleanup(cast(Any, made[-1]).transport.abortConnection)
            await deferLater(reactor, 0.002)
        return made

    async def until(self, factories: list[Taking], count: int) -> None:
        while sum(each.taken for each in factories) < count:
            await deferLater(reactor, 0.005)

    async def test_idle_workers_take_as_many_connections(self) -> None:
        factories, ports = self.ports()
        await self.connect(ports[0], 6)
        await self.until(factories, 6)
        self.assertEqual([each.taken for each in factories], [3, 3])

    async def test_connections_that_ended_count_no_more(self) -> None:
        factories, ports = self.ports()
        connections = await self.connect(ports[0], 4)
        await self.until(factories, 4)
        for each in connections:
            cast(Any, each).transport.abortConnection()
        while sum(each.lost for each in factories) < 4:
            await deferLater(reactor, 0.005)
        await self.connect(ports[0], 4)
        await self.until(factories, 8)
        self.assertEqual([each.taken for each in factories], [4, 4])

    async def test_nobody_waits_for_a_worker_that_is_busy(self) -> None:
        factories, ports = self.ports()
        ports[1].stopReading()
        await self.connect(ports[0], 5)
        await self.until(factories, 5)
        self.assertEqual([each.taken for each in factories], [5, 0])
        ports[1].startReading()
        await self.connect(ports[0], 5)
        await self.until(factories, 10)
        self.assertEqual([each.taken for each in factories], [5, 5])

    async def test_a_port_that_is_closed_while_it_leaves_one_alone_takes_it_no_more(self) -> None:
        factories, ports = self.ports()
        ports[1].stopReading()
        await self.connect(ports[0], 1)
        await self.until(factories, 1)
        connecting = self.connect(ports[0], 1)
        waiting = Deferred.fromCoroutine(connecting)
        await deferLater(reactor, 0.001)
        closed = ports[0].stopListening()
        await DeferredList([waiting, closed])
        await deferLater(reactor, 0.02)
        self.assertEqual([each.taken for each in factories], [1, 0])
