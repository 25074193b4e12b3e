"""The shipped unit with a systemd of the tests' own: notifications, system calls, sockets over a restart."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST, free_port
from tests.integration import dynamic_user, sandbox
from tests.integration.dynamic_user import Unit
from tests.integration.gate import Gate
from tests.integration.notified import NotifySocket, activated
from tests.integration.proxy import NODE
from tests.integration.stack import Stack, in_thread, stack
from tests.integration.test_systemd import UNIT

SECONDS = 40
WATCHDOG_SECONDS = 0.5


class Service:
    """The unit's command as its user, with the unit's filter, told and heard as systemd does. All blocks."""

    def __init__(
        self, folder: Path, servers: Stack, s3_port: int, sockets: Sequence[socket.socket] = ()
    ) -> None:
        self.folder = folder
        folder.chmod(0o755)
        self.notify = NotifySocket(folder)
        self.sockets = sockets
        ports = [each.getsockname()[1] for each in sockets] or [free_port() for _ in range(4)]
        self.http, metrics, kafka, node = ports
        settings = {
            **servers.environment,
            # A name, so that it is looked up under the filter too.
            "LFS_S3_ENDPOINT": f"http://localhost:{s3_port}",
            "LFS_HTTP_ADDR": f"{HOST}:{self.http}",
            "LFS_METRICS_ADDR": f"{HOST}:{metrics}",
            "LFS_KAFKA_ADDR": f"{HOST}:{kafka}",
            "LFS_KAFKA_BROKER_PORT_BASE": str(node - NODE),
        }
        (folder / "lfsproxy.env").write_text("".join(f"{name}={text}\n" for name, text in settings.items()))
        self.unit = Unit(folder, UNIT)
        self.environment = {
            **self.unit.environment(),
            "NOTIFY_SOCKET": str(self.notify.path),
            "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6)),
        }
        self._log = folder / "log"

    def start(self) -> None:
        command = self.unit.command(through=self._restricted)
        if self.sockets:
            command = activated(self.sockets, command)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=self.environment,
                cwd="/",
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[each.fileno() for each in self.sockets],
            )

    def _restricted(self, command: list[str]) -> list[str]:
        return sandbox.restricted(UNIT, self.folder / "filter.json", command)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ask(self, path: str) -> int:
        """The status of an answer, however long it takes. Raises OSError where nothing listens."""
        connection = http.client.HTTPConnection(HOST, self.http, timeout=SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until it is so. Raises AssertionError with what was told and logged."""
        deadline = time.monotonic() + SECONDS
        while not reached():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.process.poll()}; told: {self.notify.lines}; log:\n{self.log}")
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.notify.close()


class SystemdTestCase(TestCase):
    async def service(self, s3_port: int | None = None, sockets: Sequence[socket.socket] = ()) -> Service:
        reason = dynamic_user.why_not() or sandbox.why_not()
        if reason:
            raise SkipTest(f"the systemd unit was NOT run with notifications and its filter: {reason}")
        servers = await stack()
        # Of /tmp, since the folders of trial are its user's alone.
        folder = tempfile.TemporaryDirectory(prefix="lfsproxy-unit-")
        self.addCleanup(folder.cleanup)
        service = Service(Path(folder.name), servers, s3_port or _port(servers.s3.endpoint), sockets)
        service.start()
        self.addCleanup(in_thread, service.close)
        return service


class NotifyTests(SystemdTestCase):
    async def test_the_life_of_the_unit_is_told_to_systemd(self) -> None:
        gate = Gate(self, (HOST, free_port()))
        service = await self.service(gate.port)
        await in_thread(self.waits_for_s3, service)
        gate.target = (HOST, _port((await stack()).s3.endpoint))
        await in_thread(self.is_ready, service)
        await in_thread(self.lives, service)
        await in_thread(self.stops, service)

    async def test_a_watchdog_that_ends_the_service_has_the_traceback_of_each_thread_logged(self) -> None:
        service = await self.service()
        await in_thread(self.is_ready, service)
        service.process.send_signal(signal.SIGABRT)
        await in_thread(service.process.wait, SECONDS)
        self.assertIn("Fatal Python error: Aborted", service.log)
        self.assertIn("(most recent call first):", service.log)
        self.assertIn(" in mainLoop\n", service.log)

    def waits_for_s3(self, service: Service) -> None:
        notify = service.notify
        service.until(lambda: notify.status.startswith("not ready: S3: http"))
        self.assertEqual(service.ask("/readyz"), 503)
        self.assertNotIn("READY=1", notify.lines)
        self.assertIn("EXTEND_TIMEOUT_USEC=30000000", notify.lines)

    def is_ready(self, service: Service) -> None:
        service.until(lambda: "READY=1" in service.notify.lines)
        self.assertEqual(service.ask("/readyz"), 200)
        self.assertEqual(service.notify.status, "ready")

    def lives(self, service: Service) -> None:
        count = service.notify.lines.count("WATCHDOG=1")
        service.until(lambda: service.notify.lines.count("WATCHDOG=1") >= count + 3)

    def stops(self, service: Service) -> None:
        with socket.create_connection((HOST, service.http)) as upload:
            upload.sendall(
                b"POST /v1/topics/t/records HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                b"Expect: 100-continue\r\n\r\n"
            )
            self.assertIn(b"100 Continue", upload.recv(1000))
            notify = service.notify
            service.process.send_signal(signal.SIGTERM)
            service.until(lambda: "STOPPING=1" in notify.lines)
            service.until(lambda: "HTTP requests in flight: 1" in notify.status)
            self.assertIn("EXTEND_TIMEOUT_USEC=70000000", notify.lines)
        self.assertEqual(service.process.wait(SECONDS), 0, service.log)
        self.assertEqual(notify.lines.count("READY=1"), 1)


class SocketTests(SystemdTestCase):
    async def test_a_restart_refuses_no_connection(self) -> None:
        sockets = [socket.create_server((HOST, 0), backlog=1024) for _ in range(4)]
        for each in sockets:
            self.addCleanup(each.close)
        service = await self.service(sockets=sockets)
        await in_thread(self.restarts, service)

    def restarts(self, service: Service) -> None:
        service.until(lambda: "READY=1" in service.notify.lines)
        answers: list[object] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                try:
                    answers.append(_repeated_once(service.ask, "/healthz"))
                except OSError as error:
                    answers.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            service.until(lambda: len(answers) > 0)
            self.assertEqual(service.stop(), 0, service.log)
            before = len(answers)
            # What a client connects to now waits for the next process.
            with socket.create_connection((HOST, service.sockets[2].getsockname()[1])):
                service.start()
                service.until(lambda: service.notify.lines.count("READY=1") == 2)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertGreater(len(answers), before)
        self.assertEqual(set(answers), {200})
        self.assertIn(f"is served at {HOST}:{service.sockets[3].getsockname()[1]}", service.log)
        self.assertNotIn("is for nobody", service.log)


def _repeated_once(ask: Callable[[str], int], path: str) -> int:
    """As HTTP clients do: a connection may be closed before its request is read, once."""
    try:
        return ask(path)
    except (ConnectionResetError, BrokenPipeError):
        return ask(path)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
