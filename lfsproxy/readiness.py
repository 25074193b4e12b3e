"""Whether the process can do its work: S3 and Kafka answered lately, and it is not shutting down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from lfsproxy.errors import LfsError
from lfsproxy.logs import Logger
from lfsproxy.wakeups import Condition
from lfsproxy.words import error_text

ANSWER_SECONDS = 10.0
"""How long a check may take: as long as one question to Kafka; S3 has less."""
RETRY_SECONDS = 1.0
"""How soon is asked again while there is a problem, so that a replica is green soon after it is over."""
FIRST_SECONDS = 5.0
"""How long a question waits, right after the start, for what S3 and Kafka say first."""
NO_ANSWER_YET = "has not answered yet"
MOST_SAID = 10
"""How many different problems of one outage are logged."""


@attrs.define
class KnownTrouble:
    """What is wrong with Kafka, told by the part that found it to those that see silence; empty: nothing."""

    text: str = ""


class FleetReadiness:
    """What a process knows of those that serve the same ports with it (lfsproxy.workers), and tells them.

    A process that is not ready does not make the fleet so: clients that reach it are served by others.
    ``tell`` is given the process's own problems whenever they change.
    """

    def __init__(self, tell: Callable[[list[str]], None]) -> None:
        self.tell = tell
        self.ready = False
        self.others: list[str] = []

    def problems(self, own: list[str]) -> list[str]:
        """Why no process is ready, where this one has problems of its own; empty while another one is."""
        if self.ready:
            return []
        named = {each.partition(":")[0] for each in own}
        return own + [each for each in self.others if each.partition(":")[0] not in named]


class Readiness:
    """Asks every ``interval`` seconds, each check by itself, and what is a problem every RETRY_SECONDS.

    ``checks`` is name (S3, Kafka) to how to ask.

    A check that raises, or does not answer within ANSWER_SECONDS, is a problem until it answers again; so is
    one that was not answered yet, which ``first_answers`` waits for. Each change is logged, each problem once
    until there is none.

    ``notes`` tells what operators should know of a process that is ready all the same. ``fleet`` is for one
    of several processes.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        checks: Mapping[str, Callable[[], Awaitable[None]]],
        interval: float = 5.0,
        notes: Callable[[], Sequence[str]] = tuple,
        fleet: FleetReadiness | None = None,
    ) -> None:
        self._fleet = fleet
        self.draining = False
        self._leaving = False
        self.notes = notes
        self._clock = clock
        self._interval = interval
        self._problems: dict[str, str | None] = dict.fromkeys(checks, NO_ANSWER_YET)
        self._all_answered = Condition(clock)
        self._said: dict[str, set[str]] = {}
        self._loops: dict[str, LoopingCall] = {}
        self._asking: dict[str, Deferred[None]] = {}
        for name, check in checks.items():
            loop = LoopingCall(self._ask, name, check)
            loop.clock = clock
            self._loops[name] = loop

    def start(self) -> None:
        """Ask now, and then again and again."""
        self._tell_fleet()
        for loop in self._loops.values():
            loop.start(self._interval)

    def stop(self) -> None:
        """Ask no more; a check in flight is cancelled."""
        for loop in self._loops.values():
            if loop.running:
                loop.stop()
        for asking in list(self._asking.values()):
            asking.cancel()

    def leave(self) -> None:
        """The process shuts down soon: not ready from now on, but it still takes work."""
        self._leaving = True
        self._tell_fleet()

    def drain(self) -> None:
        """The process shuts down: not ready from now on."""
        self.draining = True
        self._tell_fleet()

    def first_answers(self) -> Deferred[None]:
        """Fires when every check has an answer, good or bad, or after FIRST_SECONDS."""
        if not self._asking or NO_ANSWER_YET not in self._problems.values():
            return succeed(None)
        return self._all_answered.wait().addTimeout(FIRST_SECONDS, self._clock, lambda *_: None)

    def _tell_first_answers(self) -> None:
        if NO_ANSWER_YET not in self._problems.values():
            self._all_answered.wake()

    @property
    def dependencies(self) -> list[str]:
        """What is asked, by name."""
        return list(self._problems)

    def answers(self, name: str) -> bool:
        """Whether a dependency has answered lately."""
        return self._problems[name] is None

    def problems(self) -> list[str]:
        """Why clients are not to be sent here; empty where this process is ready, or its fleet is."""
        own = self._own_problems()
        if not own or self._fleet is None or self.draining or self._leaving:
            return own
        return self._fleet.problems(own)

    def _own_problems(self) -> list[str]:
        found = ["the proxy is shutting down"] if self.draining or self._leaving else []
        return found + [f"{name}: {problem}" for name, problem in self._problems.items() if problem]

    def _tell_fleet(self) -> None:
        if self._fleet is not None:
            self._fleet.tell(self._own_problems())

    def _ask(self, name: str, check: Callable[[], Awaitable[None]]) -> Deferred[None]:
        async def ask() -> None:
            await check()

        asking = ensureDeferred(ask())
        self._asking[name] = asking
        asking.addTimeout(ANSWER_SECONDS, self._clock)
        asking.addCallbacks(lambda _: self._answered(name), lambda failure: self._failed(name, failure.value))
        return asking

    def _answered(self, name: str) -> None:
        del self._asking[name]
        self._problems[name] = None
        self._loops[name].interval = self._interval
        if self._said.get(name) != set():
            again = " again" if name in self._said else ""
            self._log.info("{name} answers{again}", name=name, again=again)
            self._said[name] = set()
        self._tell_fleet()
        self._tell_first_answers()

    def _failed(self, name: str, error: BaseException) -> None:
        del self._asking[name]
        if not any(loop.running for loop in self._loops.values()):
            return
        if isinstance(error, DeferredTimeoutError):
            problem = f"no answer within {ANSWER_SECONDS:g} s"
        elif isinstance(error, LfsError):
            problem = str(error)
        else:
            problem = error_text(error)
            self._log.debug("asking {name} failed: {trace}", name=name, trace=Failure(error).getTraceback())
        self._problems[name] = problem
        self._loops[name].interval = min(RETRY_SECONDS, self._interval)
        said = self._said.setdefault(name, set())
        if problem not in said and len(said) < MOST_SAID:
            said.add(problem)
            self._log.warn("{name} cannot be used, not ready: {problem}", name=name, problem=problem)
        self._tell_fleet()
        self._tell_first_answers()
