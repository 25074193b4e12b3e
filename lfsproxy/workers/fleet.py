"""Which workers run, which are replaced and when, and whether the fleet is ready. No process, no socket.

A worker that ends by itself is replaced: at once, or after a pause that doubles with each one that has not
run for GOOD_SECONDS. While the fleet stops nobody is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from lfsproxy.logs import Logger
from lfsproxy.words import error_text

FIRST_PAUSE, MOST_PAUSE = 1.0, 30.0
"""Seconds before the second replacement in a row, and at most."""
GOOD_SECONDS = 60.0
"""A worker that ran for so long was well: the next replacement comes at once again."""
PING_SECONDS, MOST_UNANSWERED = 10.0, 6
"""A worker that answers nothing for a minute hangs, and is killed."""


class Handle(Protocol):
    """A running worker, as its fleet uses it. What it reports it reports to its Slot."""

    def tell_fleet(self, ready: bool, problems: list[str]) -> None:
        """Tell it about all workers."""

    def ping(self) -> None:
        """Ask it for a sign of life: ``Slot.alive``."""

    def stop(self, why: str) -> None:
        """Let it drain and end."""

    def hurry(self) -> None:
        """Let it wait no longer."""

    def kill(self) -> None:
        """End it at once."""


@attrs.define(eq=False)
class Slot:
    """The place of one worker, whose processes follow one another. Its process reports here."""

    index: int
    _fleet: Fleet
    handle: Handle | None = None
    problems: list[str] | None = None
    ever_started: bool = False
    refusal: str = ""
    unanswered: int = 0
    started_at: float = 0.0
    pause: float = 0.0
    waiting: IDelayedCall | None = None

    def started(self) -> None:
        """The worker serves."""
        self.ever_started = True
        self._fleet.tell_all()

    def refused(self, text: str) -> None:
        """A setting does not let the worker start; it ends."""
        self.refusal = text

    def state(self, problems: list[str]) -> None:
        """The worker's own problems; none: it is ready."""
        self.problems = problems
        self._fleet.changed()

    def alive(self) -> None:
        """The worker answered."""
        self.unanswered = 0

    def ended(self, how: str) -> None:
        """The worker's process has ended."""
        self._fleet.ended(self, how)


class Fleet:
    """``count`` workers, each begun by ``begin``.

    ``restarted`` is called for each replacement. ``refused`` is called with the line of a setting that does
    not let the fleet start; then the fleet is to be stopped. ``most_seconds`` is how long a stop may take
    before what is left is killed.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        count: int,
        begin: Callable[[Slot], Handle],
        restarted: Callable[[], None],
        refused: Callable[[str], None],
        most_seconds: float,
    ) -> None:
        self._clock = clock
        self._begin = begin
        self._restarted = restarted
        self._refused = refused
        self._most_seconds = most_seconds
        self.slots = [Slot(index, self) for index in range(count)]
        self._told: tuple[bool, list[str]] | None = None
        self._over: Deferred[None] | None = None
        self._late: IDelayedCall | None = None
        self._pings = LoopingCall(self._ping)
        self._pings.clock = clock

    def start(self) -> None:
        """Begin every worker."""
        for slot in self.slots:
            self._run(slot)
        self._pings.start(PING_SECONDS, now=False)

    def stop(self, why: str) -> Deferred[None]:
        """Let every worker drain; fires when none runs any more. Replaces nobody from now on."""
        self._over = Deferred()
        if self._pings.running:
            self._pings.stop()
        for slot in self.slots:
            if slot.waiting is not None:
                slot.waiting.cancel()
                slot.waiting = None
        for handle in self._handles():
            handle.stop(why)
        self._late = self._clock.callLater(self._most_seconds, self._kill)
        over = self._over
        self._look_whether_over()
        return over

    def hurry(self) -> None:
        """Tell every worker to wait no longer."""
        for handle in self._handles():
            handle.hurry()

    @property
    def ready(self) -> bool:
        """Whether any worker is: clients are served then."""
        return any(slot.problems == [] for slot in self.slots)

    @property
    def problems(self) -> list[str]:
        """What all workers say, each problem once."""
        found = [problem for slot in self.slots for problem in slot.problems or []]
        return list(dict.fromkeys(found))

    def changed(self) -> None:
        """A worker's problems changed."""
        if self._told != (self.ready, self.problems):
            self.tell_all()

    def tell_all(self) -> None:
        """Tell every worker how the fleet is."""
        self._told = (self.ready, self.problems)
        for handle in self._handles():
            handle.tell_fleet(*self._told)

    def ended(self, slot: Slot, how: str) -> None:
        """A worker's process has ended."""
        slot.handle, slot.problems = None, None
        if self._over is not None:
            self._log.info("worker {index} has {how}", index=slot.index, how=how)
            self._look_whether_over()
            return
        self.changed()
        if slot.refusal and not all(each.ever_started for each in self.slots):
            self._refused(slot.refusal)
            return
        self._replace(slot, how)

    def _replace(self, slot: Slot, how: str) -> None:
        if self._clock.seconds() - slot.started_at >= GOOD_SECONDS:
            slot.pause = 0.0
        self._log.error(
            "worker {index} has {how}: it is replaced {when}",
            index=slot.index,
            how=how,
            when=f"in {slot.pause:g} s" if slot.pause else "at once",
        )
        self._restarted()
        slot.waiting = self._clock.callLater(slot.pause, self._run, slot)
        slot.pause = min(max(FIRST_PAUSE, 2 * slot.pause), MOST_PAUSE)

    def _run(self, slot: Slot) -> None:
        slot.waiting, slot.refusal, slot.unanswered = None, "", 0
        slot.started_at = self._clock.seconds()
        try:
            slot.handle = self._begin(slot)
        except OSError as error:
            # No memory or no descriptor for another process now; in a while there may be.
            self._replace(slot, f"not been started ({error_text(error)})")

    def _handles(self) -> list[Handle]:
        return [slot.handle for slot in self.slots if slot.handle is not None]

    def _ping(self) -> None:
        for slot in self.slots:
            if slot.handle is None:
                continue
            if slot.unanswered >= MOST_UNANSWERED:
                self._log.error(
                    "worker {index} has answered nothing for {seconds:g} s, and is killed",
                    index=slot.index,
                    seconds=MOST_UNANSWERED * PING_SECONDS,
                )
                slot.handle.kill()
                continue
            slot.unanswered += 1
            slot.handle.ping()

    def _kill(self) -> None:
        for slot in self.slots:
            if slot.handle is not None:
                self._log.warn(
                    "worker {index} has not ended within {seconds:g} s, and is killed",
                    index=slot.index,
                    seconds=self._most_seconds,
                )
                slot.handle.kill()

    def _look_whether_over(self) -> None:
        if self._over is None or self._over.called or self._handles():
            return
        if self._late is not None and self._late.active():
            self._late.cancel()
        self._over.callback(None)
