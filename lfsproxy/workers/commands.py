"""What a worker and its parent tell each other, by AMP over a pair of UNIX sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.protocols.amp import AMP, BinaryBoxProtocol, Boolean, Command, ListOf, Unicode
from twisted.python.failure import Failure

MOST_TEXTS, MOST_CHARACTERS = 8, 2000
"""Of problems in one message: AMP takes 64 KiB for a value."""


def fitting(texts: list[str]) -> list[str]:
    """Texts as one message takes them."""
    return [text[:MOST_CHARACTERS] for text in texts[:MOST_TEXTS]]


class Channel(AMP):
    """One end. It tells nothing once the other is gone, and logs nothing by itself, as AMP would."""

    open = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Twisted

    def tell(self, command: type[Command], **arguments: Any) -> Any:
        """Send it; a Deferred where an answer comes, else None."""
        call: Callable[..., Any] = self.callRemote
        return call(command, **arguments) if self.open else None

    def makeConnection(self, transport: Any) -> None:
        self.open = True
        BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.open = False
        BinaryBoxProtocol.connectionLost(self, reason)
        self.lost()

    def lost(self) -> None:
        """The other end is gone."""
        raise NotImplementedError


class Started(Command):
    """From a worker: all its ports are open, and it serves."""

    requiresAnswer = False


class Refused(Command):
    """From a worker: a setting does not let it start. It ends with status 1."""

    arguments: ClassVar = [(b"text", Unicode())]
    requiresAnswer = False


class State(Command):
    """From a worker: its own problems; without any it is ready."""

    arguments: ClassVar = [(b"problems", ListOf(Unicode()))]
    requiresAnswer = False


class FleetState(Command):
    """To a worker: whether any worker is ready, and what the problems of all are."""

    arguments: ClassVar = [(b"ready", Boolean()), (b"problems", ListOf(Unicode()))]
    requiresAnswer = False


class Stop(Command):
    """To a worker: drain and end."""

    arguments: ClassVar = [(b"why", Unicode())]
    requiresAnswer = False


class Hurry(Command):
    """To a worker: wait no longer."""

    requiresAnswer = False


class Ping(Command):
    """To a worker: answer from the reactor's loop."""
