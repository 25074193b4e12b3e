"""What goes wrong, by name, and how. ``CASES`` has all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random

import attrs

from tests.integration.faults.scene import Scene
from tests.integration.storm.notes import Journal


@attrs.frozen
class Moment:
    """What a fault has at hand: the servers, where to note what it sends itself, and its random source.

    ``name`` begins the keys of its records. ``scale`` is how much longer than in ``make test`` it is.
    """

    scene: Scene
    name: str
    journal: Journal
    random: Random
    scale: float


Strike = Callable[[Moment], AbstractContextManager[None]]
"""Begins a fault. Leaving the context ends it, and returns when all is as before."""


@attrs.frozen
class Case:
    """A fault that lasts ``seconds``, and begins and ends by ``strike``. Some take their time in there."""

    name: str
    strike: Strike
    seconds: float = 4.0


class NothingHappenedError(Exception):
    """A fault that nobody noticed says nothing."""


@contextlib.contextmanager
def striking(moment: Moment, doing: AbstractContextManager[None]) -> Iterator[None]:
    """A fault of the links. Raises NothingHappenedError if they had no occasion for it."""
    before = moment.scene.struck
    with doing:
        yield
    if moment.scene.struck == before:
        raise NothingHappenedError(moment.name)
