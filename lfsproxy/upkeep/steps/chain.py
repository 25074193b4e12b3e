"""Steps of a check: each is tried within its own time, and what came of it is kept.

A chain's steps follow each other: what is behind a step that failed is skipped, unless that step is no
condition for it. Chains run side by side.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from lfsproxy.errors import LfsError
from lfsproxy.words import BUG_SHOWN, bug_text

T = TypeVar("T")

STEP_SECONDS = 12.0
"""How long a step may take, unless it says otherwise: longer than what it does waits for an answer itself."""


@attrs.frozen
class Step:
    """What came of one step. ``ok`` is None where it was skipped, which ``note`` has the reason of.

    ``note`` of one that is ok is what was found; ``warning``: people should read it. ``wrong`` and ``do``
    are of one that failed; ``bug`` is what it raised that nobody foresaw.
    """

    name: str
    ok: bool | None
    seconds: float = 0.0
    note: str = ""
    warning: bool = False
    wrong: str = ""
    do: str = ""
    bug: Exception | None = attrs.field(default=None, eq=False)


class AlreadyTold(Exception):
    """Another step has told what is wrong with this one: the argument is its name."""


@attrs.frozen
class Found(Generic[T]):
    """What a step has found: a value for the steps behind it, and words for people."""

    value: T
    note: str = ""
    warning: bool = False


Tried = Callable[[], Coroutine[Any, Any, Found[T]]]


def done(call: Callable[[], Coroutine[Any, Any, None]]) -> Tried[None]:
    """A step that has nothing to tell."""

    async def tried() -> Found[None]:
        await call()
        return Found(None)

    return tried


def told(call: Callable[[], Coroutine[Any, Any, str]]) -> Tried[None]:
    """A step about an ability that can be done without: ``call`` gives what follows where it is missing."""

    async def tried() -> Found[None]:
        missing = await call()
        return Found(None, missing, warning=bool(missing))

    return tried


class Chain:
    """Steps about one thing; their names begin with ``about``. ``tell`` is given each one when it is over."""

    def __init__(self, clock: IReactorTime, about: str, tell: Callable[[Step], None]) -> None:
        self.steps: list[Step] = []
        self._clock = clock
        self._about = about
        self._tell = tell
        self._unmet = ""

    @property
    def is_broken(self) -> bool:
        """Whether a step failed that others need."""
        return bool(self._unmet)

    async def step(
        self,
        name: str,
        tried: Tried[T],
        do: str,
        needs: Sequence[str] = (),
        vital: bool = True,
        seconds: float = STEP_SECONDS,
    ) -> T | None:
        """Try it, and give the value that it found; None where it failed or is skipped.

        ``do`` is what to do where the error does not say. ``needs`` are steps, by name, without which this
        one is skipped; so is every step behind one that is ``vital`` and failed.
        """
        unmet = self._unmet or next((each for each in needs if not self._is_ok(each)), "")
        if unmet:
            self._over(Step(self._named(name), None, note=f"skipped because {unmet} failed"))
            return None
        began = self._clock.seconds()
        try:
            trying = Deferred.fromCoroutine(tried())
            found = await trying.addTimeout(seconds, self._clock)
        except Exception as error:
            step = self._failed(name, error, seconds, do)
            self._over(attrs.evolve(step, seconds=self._clock.seconds() - began))
            if vital:
                self._unmet = str(error) if isinstance(error, AlreadyTold) else name
            return None
        took = self._clock.seconds() - began
        self._over(Step(self._named(name), True, took, found.note, found.warning))
        return found.value

    def _failed(self, name: str, error: Exception, seconds: float, do: str) -> Step:
        """What is told of an exception."""
        named = self._named(name)
        if isinstance(error, CancelledError):
            raise error
        if isinstance(error, AlreadyTold):
            return Step(named, None, note=f"skipped because {error} failed")
        if isinstance(error, TimeoutError):
            return Step(named, False, wrong=f"there was no answer within {seconds:g} s", do=do)
        if isinstance(error, LfsError):
            return Step(named, False, wrong=error.wrong, do=error.way_out or do)
        return Step(named, False, wrong=bug_text(error), do=BUG_SHOWN, bug=error)

    async def behind(self, name: str, call: Callable[[], Awaitable[None]]) -> None:
        """What is to be done whatever has failed, and is told only where it fails itself."""
        try:
            await call()
        except Exception as error:
            self._over(self._failed(name, error, STEP_SECONDS, ""))

    def skip(self, name: str, why: str) -> None:
        """A step that is not tried, and what is behind it is skipped, too."""
        self._over(Step(self._named(name), None, note=f"skipped: {why}"))
        self._unmet = name

    def _named(self, name: str) -> str:
        return f"{self._about}: {name}"

    def _is_ok(self, name: str) -> bool:
        return any(each.name == self._named(name) and each.ok for each in self.steps)

    def _over(self, step: Step) -> None:
        self.steps.append(step)
        self._tell(step)
