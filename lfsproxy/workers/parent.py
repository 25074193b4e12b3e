"""The parent: binds the ports, starts the workers, and stops when they have. It serves nothing itself."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from twisted.application.service import Service

from lfsproxy.errors import SettingError
from lfsproxy.logs import Logger
from lfsproxy.net.listening import IListener
from lfsproxy.opening import say_settings, warn_of_unknown
from lfsproxy.settings import LoadedSettings, check_files
from lfsproxy.workers.board import Board
from lfsproxy.workers.boot import Boot, share_of
from lfsproxy.workers.fleet import Fleet, Handle, Slot
from lfsproxy.workers.logs import EventLines, goes_to_stdout
from lfsproxy.workers.metrics import SharedMetrics, forget, new_folder
from lfsproxy.workers.office import PortOffice
from lfsproxy.workers.process import WorkerProcess

CLEAN_UP_SECONDS = 40.0
"""How long a stop may take besides LFS_DRAIN_DELAY and LFS_DRAIN_TIMEOUT: as long as that of one process."""
END_SECONDS = 2.0
"""What is left of it for the parent's own end, when workers had to be killed."""


class Parent(Service):
    """All workers as one service. ``privilegedStartService`` raises SettingError where a port is not free.

    ``twistd`` are twistd's options: what they say of the log and of the reactor holds for workers too.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, loaded: LoadedSettings, listener: IListener, twistd: Mapping[str, Any]
    ) -> None:
        self._reactor = reactor
        self._loaded = loaded
        self._twistd = twistd
        self._office = PortOffice(reactor, listener)
        self._folder = ""
        self._fleet: Fleet | None = None
        self._stopping = False

    def privilegedStartService(self) -> None:
        settings = self._loaded.settings
        say_settings(self._loaded)
        try:
            for address, setting in (
                (settings.kafka_addr, "LFS_KAFKA_ADDR"),
                (settings.http_addr, "LFS_HTTP_ADDR"),
                (settings.metrics_addr, "LFS_METRICS_ADDR"),
            ):
                self._office.bind(address, setting)
        except SettingError:
            self._office.close()
            raise

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        settings = self._loaded.settings
        self._folder = new_folder()
        self._board = Board.create(self._folder, settings.workers)
        self._metrics = SharedMetrics(version("lfsproxy"), self._folder, "parent", self._board)
        self._fleet = Fleet(
            self._reactor,
            settings.workers,
            self._begin,
            self._metrics.worker_restarted,
            self._refused,
            self.stop_seconds - END_SECONDS,
        )
        self._log.info("{count} workers are started (LFS_WORKERS)", count=settings.workers)
        self._reactor.callWhenRunning(self._fleet.start)

    async def stopService(self) -> None:
        """Let every worker drain, as long as a single process would."""
        super().stopService()  # type: ignore[no-untyped-call]  # of Twisted
        self._stopping = True
        # Each worker has descriptors of its own, and closes them when it is time.
        self._office.close()
        if self._fleet is not None:
            await self._fleet.stop("the proxy is asked to stop")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._log.info("stopped")

    def hurry(self) -> None:
        """Pass a second signal on."""
        if self._fleet is not None:
            self._fleet.hurry()

    @property
    def stop_seconds(self) -> float:
        """The most that a stop takes, with the end of the process."""
        settings = self._loaded.settings
        return settings.drain_delay + settings.drain_timeout + CLEAN_UP_SECONDS

    def ready(self) -> bool:
        """Whether /readyz is green."""
        return not self._stopping and self._fleet is not None and self._fleet.ready

    def status(self) -> str:
        """How the workers are, on one line."""
        slots = [] if self._fleet is None else self._fleet.slots
        running = sum(slot.handle is not None for slot in slots)
        if self._stopping:
            return f"stopping: workers: {running}"
        workers = f"{running} of {self._loaded.settings.workers} workers"
        problems = [] if self._fleet is None else self._fleet.problems
        if self.ready():
            return f"ready: {workers}"
        return f"not ready: {'; '.join(problems) or workers}"

    def _begin(self, slot: Slot) -> Handle:
        settings = self._loaded.settings
        index = slot.index
        boot = Boot(
            index,
            settings.workers,
            share_of(settings),
            self._folder,
            self._twistd.get("reactor") or "",
            events=not goes_to_stdout(self._twistd),
        )
        return WorkerProcess(
            self._reactor,
            slot,
            boot,
            self._office,
            began=partial(self._board.began, index),
            ended=partial(self._ended, index),
            said=EventLines(index),
        )

    def _ended(self, index: int) -> None:
        self._office.ended(index)
        self._board.ended(index)
        forget(self._folder, index)

    def _refused(self, text: str) -> None:
        """A setting does not let the fleet start. The worker has logged the line."""
        if not self._stopping:
            self._stopping = True
            exit_with(1)
            self._reactor.stop()


def exit_with(status: int) -> None:
    """End the process with this status when it ends: twistd has only 0 once its reactor has run."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    # The last that is registered runs first; the others have nothing to do here that outlives a process.
    atexit.register(leave)


def make_parent(
    reactor: Any,
    loaded: LoadedSettings,
    environment: Mapping[str, str],
    listener: IListener,
    twistd: Mapping[str, Any],
) -> Parent:
    """The parent of LFS_WORKERS workers. Nothing is bound before it starts. Raises SettingError."""
    check_files(loaded)
    warn_of_unknown(environment)
    return Parent(reactor, loaded, listener, twistd)
