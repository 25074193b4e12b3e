"""Which address is asked first: known brokers, then those of LFS_KAFKA_BROKERS, and last what hung lately."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from lfsproxy.settings import Address

HUNG_SECONDS: Final = 30.0
"""How long an address that did not answer is asked after all others."""
ALIVE_SECONDS: Final = 5.0
"""How long an address that has answered counts as one that does."""


class Bootstrap:
    """``controllers`` are addresses that turned out to be no broker's: they are asked last of all."""

    def __init__(self, clock: IReactorTime, configured: Sequence[Address]) -> None:
        self.controllers: set[Address] = set()
        self._clock = clock
        self._configured = configured
        self._known: Sequence[Address] = ()
        self._hung: dict[Address, float] = {}
        self._answered: dict[Address, float] = {}
        self._turn = 0

    def follow(self, brokers: Iterable[Address]) -> None:
        """A broker has named all brokers that there are now."""
        self._known = tuple(dict.fromkeys(brokers))
        kept = {*self._known, *self._configured}
        self._hung = {each: when for each, when in self._hung.items() if each in kept}
        self._answered = {each: when for each, when in self._answered.items() if each in kept}

    def targets(self, is_preferred: Callable[[Address], bool] = lambda address: False) -> list[Address]:
        """Every address, in the order in which they are tried. Each of the good ones comes first in turn,
        unless one is preferred."""
        known, configured = self._known, [each for each in self._configured if each not in self._known]
        self._turn += 1
        ordered = [*self._rotated(known), *self._rotated(configured)]
        return sorted(ordered, key=lambda each: (*self._doubts(each), not is_preferred(each)))

    def _doubts(self, address: Address) -> tuple[bool, bool]:
        return address in self.controllers, self.is_suspect(address)

    def _rotated(self, addresses: Sequence[Address]) -> list[Address]:
        start = self._turn % len(addresses) if addresses else 0
        return [*addresses[start:], *addresses[:start]]

    def answered(self, address: Address) -> None:
        """It has answered just now."""
        self._answered[address] = self._clock.seconds()
        self._hung.pop(address, None)

    def hung(self, address: Address) -> None:
        """It was asked, and did not answer in time."""
        self._hung[address] = self._clock.seconds()
        self._answered.pop(address, None)

    def is_suspect(self, address: Address) -> bool:
        """Whether it hung lately."""
        when = self._hung.get(address)
        return when is not None and self._clock.seconds() - when < HUNG_SECONDS

    def is_alive(self, address: Address) -> bool:
        """Whether it has answered lately."""
        when = self._answered.get(address)
        return when is not None and self._clock.seconds() - when < ALIVE_SECONDS
