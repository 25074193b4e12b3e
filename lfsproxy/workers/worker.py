"""A worker: the whole proxy in a process whose parent gives it ports and tells it when to stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from importlib.metadata import version
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from lfsproxy.cycles import collect_seldom
from lfsproxy.errors import SettingError
from lfsproxy.log.file import Log
from lfsproxy.logs import Logger
from lfsproxy.readiness import FleetReadiness
from lfsproxy.service import LfsProxy, make_proxy
from lfsproxy.workers import commands
from lfsproxy.workers.board import Board
from lfsproxy.workers.boot import CONTROL, PORTS, Boot
from lfsproxy.workers.listening import AskedPorts
from lfsproxy.workers.metrics import SharedMetrics

GAUGE_SECONDS = 1.0
"""How old a gauge may be that another worker shows."""


class Worker:
    """Runs the proxy until its parent says stop, or is gone. ``status`` is the exit status then."""

    _log = Logger()

    def __init__(self, reactor: Any, boot: Boot, log: Log) -> None:
        self.status = 0
        self._lines = log
        self._reactor = reactor
        self._boot = boot
        self._proxy: LfsProxy | None = None
        self._stopping = False
        self._orphaned = False
        self._parent = os.getppid()
        self._control = _Control(self)
        self.fleet = FleetReadiness(self._tell_state)

    def run(self) -> int:
        """Run the reactor until the worker has ended; its exit status."""
        reactor = self._reactor
        for number in (signal.SIGTERM, signal.SIGINT):
            # A supervisor, or a terminal, may signal the parent and its workers at the same time. So a worker
            # takes a second signal for no hurry: only the parent tells it that.
            signal.signal(number, self._signalled)
        # As lfsproxy.tap.Process has it.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._signalled)
        control = socket.socket(fileno=CONTROL)
        control.setblocking(False)
        with control:
            reactor.adoptStreamConnection(
                control.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: self._control)
            )
        reactor.callWhenRunning(self._start)
        reactor.addSystemEventTrigger("before", "shutdown", self._stop_service)
        self._lines.start(reactor)
        reactor.run(installSignalHandlers=False)
        self._lines.stop()
        if os.getppid() != self._parent:
            # There is nobody else to do it; another worker may be doing the same. It may have been stopping
            # already when the parent ended.
            shutil.rmtree(self._boot.folder, ignore_errors=True)
        return self.status

    def _start(self) -> None:
        collect_seldom()
        boot = self._boot
        try:
            board = Board(boot.folder, boot.workers)
            metrics = SharedMetrics(version("lfsproxy"), boot.folder, str(boot.index), board)
            ports = AskedPorts(self._reactor, socket.socket(fileno=PORTS), board, boot.index)
            proxy = make_proxy(self._reactor, boot.loaded, os.environ, metrics, ports, self.fleet)
            proxy.privilegedStartService()
        except SettingError as error:
            self._log.critical("{error}", error=error)
            self._control.tell(commands.Refused, text=str(error)[: commands.MOST_CHARACTERS])
            self._give_up()
            return
        except Exception:
            # Else it would answer its parent's pings for ever, and serve nobody.
            self._log.failure("the worker cannot start")
            self._give_up()
            return
        proxy.startService()
        self._proxy = proxy
        gauges = LoopingCall(metrics.refresh)
        gauges.clock = self._reactor
        gauges.start(GAUGE_SECONDS, now=False)
        self._control.tell(commands.Started)

    def _give_up(self) -> None:
        """End once what was told to the parent is sent."""
        self.status = 1
        cast(Any, self._control.transport).loseConnection()

    def _stop_service(self) -> Deferred[None] | None:
        if self._proxy is None:
            return None
        stopping = Deferred.fromCoroutine(self._proxy.stopService())
        if self._orphaned and self._proxy.settings.drain_delay:
            # Whoever starts a new parent needs the ports.
            self._proxy.hurry()
        return stopping

    def _signalled(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self.stop, f"{signal.Signals(number).name} received")

    def stop(self, why: str) -> None:
        """Drain and end, if that has not begun."""
        if not self._stopping:
            self._stopping = True
            self._log.info("stopping: {why}", why=why)
            self._reactor.stop()

    def hurry(self) -> None:
        """Wait no longer."""
        if self._proxy is not None:
            self._proxy.hurry()

    def orphan(self) -> None:
        """The connection to the parent is closed: the parent is gone, or knows why this worker ends."""
        if self.status:
            self.stop("it cannot start")
        elif not self._stopping:
            self._orphaned = True
            self.stop("the parent process has ended")

    def _tell_state(self, problems: list[str]) -> None:
        self._control.tell(commands.State, problems=commands.fitting(problems))


class _Control(commands.Channel):
    """The worker's end of its connection to the parent."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    @commands.FleetState.responder
    def _fleet_state(self, ready: bool, problems: list[str]) -> dict[str, Any]:
        self._worker.fleet.ready, self._worker.fleet.others = ready, problems
        return {}

    @commands.Stop.responder
    def _stop(self, why: str) -> dict[str, Any]:
        self._worker.stop(why)
        return {}

    @commands.Hurry.responder
    def _hurry(self) -> dict[str, Any]:
        self._worker.hurry()
        return {}

    @commands.Ping.responder
    def _ping(self) -> dict[str, Any]:
        return {}

    def lost(self) -> None:
        self._worker.orphan()
