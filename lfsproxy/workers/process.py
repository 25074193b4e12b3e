"""A worker's process as its parent has it: how it is started, what it tells, and how it ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.python.failure import Failure

from lfsproxy.workers import commands
from lfsproxy.workers.boot import CONTROL, PORTS, Boot
from lfsproxy.workers.fleet import Slot
from lfsproxy.workers.office import Desk, PortOffice


class WorkerProcess(ProcessProtocol):
    """Starts the process at once, and is the fleet's handle of it. Reports to ``slot``.

    ``began`` gets its process id; ``ended`` is called when it is gone, before the slot hears of it. ``said``
    gets what it writes to its standard output and error, where the log goes to the parent.
    """

    def __init__(
        self,
        reactor: Any,
        slot: Slot,
        boot: Boot,
        office: PortOffice,
        began: Callable[[int], None],
        ended: Callable[[], None],
        said: Callable[[bytes], None],
    ) -> None:
        self._slot = slot
        self._ended = ended
        self._said = said
        self._how = ""
        self._gone = False
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        desk, asking = socket.socketpair()
        with ours, theirs, asking:
            self._control = _Control(slot, self._control_lost)
            reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _Once(self._control))
            self._desk = Desk(reactor, desk, office, slot.index)
            output: Any = "r" if boot.events else None
            self._process: IProcessTransport = reactor.spawnProcess(
                self,
                sys.executable,
                # What ps shows. "python -m" would be as good, were not -m and its number two arguments.
                [sys.executable, "-m", "lfsproxy.workers", f"worker-{boot.index}-of-{boot.workers}"],
                env=os.environ,
                childFDs={
                    0: "w",
                    1: output or 1,
                    2: output or 2,
                    CONTROL: theirs.fileno(),
                    PORTS: asking.fileno(),
                },
            )
        began(cast(Any, self._process).pid)
        writes: Any = self._process
        writes.writeToChild(0, boot.dump())
        writes.closeChildFD(0)

    # As the fleet's handle

    def tell_fleet(self, ready: bool, problems: list[str]) -> None:
        self._control.tell(commands.FleetState, ready=ready, problems=commands.fitting(problems))

    def ping(self) -> None:
        answered = self._control.tell(commands.Ping)
        if answered is not None:
            answered.addCallbacks(lambda _: self._slot.alive(), lambda _: None)

    def stop(self, why: str) -> None:
        self._control.tell(commands.Stop, why=why)

    def hurry(self) -> None:
        self._control.tell(commands.Hurry)

    def kill(self) -> None:
        # Its end may be on its way here.
        with suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")

    # As the process's protocol

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._said(data)

    def processEnded(self, reason: Failure) -> None:
        self._how = how_ended(reason.value)
        self._look_whether_over()

    def _control_lost(self) -> None:
        self._gone = True
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        # What it said last is read before its end counts.
        if not (self._gone and self._how):
            return
        self._desk.close()
        self._ended()
        self._slot.ended(self._how)


def how_ended(value: Any) -> str:
    """How a process ended, as the rest of a sentence that begins "worker 0 has"."""
    if value.signal is not None:
        return f"been ended by {signal.Signals(value.signal).name}"
    return f"ended with exit code {value.exitCode}"


class _Control(commands.Channel):
    """The parent's end of a worker's connection."""

    def __init__(self, slot: Slot, lost: Callable[[], None]) -> None:
        super().__init__()
        self._slot = slot
        self.lost = lost  # type: ignore[method-assign]

    @commands.Started.responder
    def _started(self) -> dict[str, Any]:
        self._slot.started()
        return {}

    @commands.Refused.responder
    def _refused(self, text: str) -> dict[str, Any]:
        self._slot.refused(text)
        return {}

    @commands.State.responder
    def _state(self, problems: list[str]) -> dict[str, Any]:
        self._slot.state(problems)
        return {}


class _Once(Factory):
    """Makes the one protocol of a connection that is there already."""

    noisy = False

    def __init__(self, protocol: commands.Channel) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> commands.Channel:
        return self._protocol
