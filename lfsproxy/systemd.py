"""What systemd is told of the process (sd_notify): that it is ready, how it is, that it lives, that it stops.

    starting ── ready ──▶ READY=1 ──────────────────▶ ── stop ──▶ STOPPING=1, with the time that it may take
    EXTEND_TIMEOUT_USEC every 10 s                    STATUS whenever it is another one
                                                      WATCHDOG=1 at half of WATCHDOG_USEC

Nothing is sent where systemd did not ask for it. A message that cannot be sent is sent again a second later,
and disturbs nothing. Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping

import attrs
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from lfsproxy.logs import Logger
from lfsproxy.quoting import printable
from lfsproxy.words import error_text

LOOK_SECONDS = 1.0
"""How often it is looked whether there is something new to tell."""
EXTEND_SECONDS = 10.0
"""How often a start that is not over asks for more time; it asks for three times as much."""
MOST_STATUS = 500
"""Characters of a status. systemd takes no message above 4096 bytes."""


@attrs.frozen
class Supervisor:
    """Where systemd wants to be told, and within how many seconds it wants to hear that the process lives."""

    address: str
    watchdog: float | None = None

    @classmethod
    def take_from(cls, environment: MutableMapping[str, str]) -> Supervisor | None:
        """What the environment says, and nobody that is started later; None: nobody wants to be told."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", "")
        if not address:
            return None
        watched = process in {"", str(os.getpid())} and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watched else None)

    def tell(self, lines: list[str]) -> None:
        """One message, without waiting. Raises OSError."""
        address = os.fsencode(self.address)
        if address.startswith(b"@"):
            address = b"\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(errors="replace"), address)


class Notifications(Service):
    """Tells systemd how the process is, from the start of the service until ``close``.

    ``ready`` is whether it can do its work, ``status`` is one line for people, and ``stop_seconds`` the most
    that its stop takes.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        supervisor: Supervisor,
        ready: Callable[[], bool],
        status: Callable[[], str],
        stop_seconds: float,
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._ready = ready
        self._status = status
        self._stopping = ["STOPPING=1", _extend(stop_seconds)]
        self._told: list[str] = []
        self._told_status = ""
        self._extend_at = 0.0
        self._silent = False
        self._loops: list[LoopingCall] = []

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        self._repeat(LOOK_SECONDS, self._look)
        if self._supervisor.watchdog is not None:
            self._repeat(self._supervisor.watchdog / 2, lambda: self._tell(["WATCHDOG=1"]))

    def _repeat(self, seconds: float, step: Callable[[], object]) -> None:
        loop = LoopingCall(step)
        loop.clock = self._clock
        self._loops.append(loop)
        loop.start(seconds).addErrback(
            lambda failure: self._log.failure("telling systemd failed", failure=failure)
        )

    def stopService(self) -> None:
        """The stop has begun. What changes until ``close`` is still told."""
        super().stopService()  # type: ignore[no-untyped-call]  # of Twisted
        self._look()

    def close(self) -> None:
        """The stop is over: tell nothing more."""
        for loop in self._loops:
            if loop.running:
                loop.stop()

    def _look(self) -> None:
        phase = self._phase()
        lines = [] if phase == self._told else list(phase)
        now = self._clock.seconds()
        if not phase and now >= self._extend_at:
            self._extend_at = now + EXTEND_SECONDS
            lines.append(_extend(3 * EXTEND_SECONDS))
        status = printable(self._status())[:MOST_STATUS]
        if status != self._told_status:
            lines.append(f"STATUS={status}")
        if lines and self._tell(lines):
            self._told, self._told_status = phase, status

    def _phase(self) -> list[str]:
        """What systemd has to know by now."""
        if not self.running:
            return self._stopping
        # Once ready, a service is up for systemd, whatever comes.
        return ["READY=1"] if self._told or self._ready() else []

    def _tell(self, lines: list[str]) -> bool:
        try:
            self._supervisor.tell(lines)
        except OSError as error:
            if not self._silent:
                self._log.warn(
                    "systemd cannot be told how the proxy is: NOTIFY_SOCKET is {address}: {error}",
                    address=self._supervisor.address,
                    error=error_text(error),
                )
            self._silent = True
            return False
        self._silent = False
        return True


def _extend(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}"
