"""The order in which one connection's requests reach the broker: that in which the client sent them.

Uploads overlap; forwarding does not. Each request takes a place in the line when it begins, waits for its
turn, forwards (or gives its own answer), and leaves.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.wakeups import Condition, Wakeups


class Place:
    """One request's place in the line."""

    def __init__(self, line: Line, is_cut_off: bool) -> None:
        self._line = line
        self._is_cut_off = is_cut_off
        self._waiting: list[Deferred[None]] = []

    @property
    def is_first(self) -> bool:
        """Whether it is this request's turn."""
        places = self._line._places
        return bool(places) and places[0] is self

    async def turn(self) -> None:
        """Wait until every earlier request has left the line. Several steps of the request may wait.

        Raises CancelledError where it has left itself, and where an earlier one was given up.
        """
        while not self.is_first or self._is_cut_off:
            if self._is_cut_off or self not in self._line._places:
                raise CancelledError()
            # One for each step that waits: to cancel one of them is not the turn of the next.
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    def give_up(self) -> None:
        """It is not forwarded, and nothing behind it either, which could be taken for it. Leave as well."""
        self._line._cut_off_behind(self)

    def leave(self) -> None:
        """Let the next one through. May be called more than once."""
        self._line._leave(self)

    def _look_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._line._wakeups.fire(each, None)


class Line:
    """The requests of one connection that were not forwarded yet, first come first."""

    def __init__(self, clock: IReactorTime) -> None:
        self._places: deque[Place] = deque()
        self._is_cut_off = False
        self._wakeups = Wakeups(clock)
        self._shorter = Condition(clock)

    @property
    def is_free(self) -> bool:
        """Whether a request may go on without a place: nobody stands in it, and nobody was given up."""
        return not self._places and not self._is_cut_off

    def join(self) -> Place:
        """Take the last place."""
        place = Place(self, self._is_cut_off)
        self._places.append(place)
        return place

    async def shorter_than(self, count: int) -> None:
        """Wait until fewer than ``count`` requests are in the line."""
        while len(self._places) >= count:
            await self._shorter.wait()

    def _cut_off_behind(self, place: Place) -> None:
        if place in self._places:
            self._is_cut_off = True
            for behind in list(self._places)[self._places.index(place) + 1 :]:
                behind._is_cut_off = True

    def _leave(self, place: Place) -> None:
        if place not in self._places:
            return
        was_first = self._places[0] is place
        self._places.remove(place)
        place._look_again()
        if was_first and self._places:
            self._places[0]._look_again()
        self._shorter.wake()
