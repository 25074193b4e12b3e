"""What each client of a storm sent, and what it was told of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import Random

import attrs

from tests.integration.proxy import ProxyProcess

KIB = 1024
MIB = 1024 * 1024


class Door(Enum):
    """What a client uses. Each has a topic of its own name; plain records go to all of them."""

    PLAIN = "plain"
    KAFKA = "kafka"
    HTTP = "http"
    TUS = "tus"


TOPICS = (Door.KAFKA.value, Door.HTTP.value, Door.TUS.value)


class Outcome(Enum):
    """What a client knows in the end of what it sent."""

    ACKNOWLEDGED = "acknowledged: it is in the topic, once"
    REFUSED = "refused: it is not in the topic, and never will be"
    UNKNOWN = "no answer, or one that leaves it open: it is in the topic once, or not"
    STORE_LOST = "502 again and again: the store has neither its parts nor the blob; it is not in the topic"
    STAYS_UNKNOWN = "outcome-unknown for good: it is not in the topic as far as the proxy could see"


Publishes = Callable[[ProxyProcess], None]
"""Is told by a client which replica gets the last bytes of an upload."""

Place = tuple[int, int]
"""Partition and offset."""


@attrs.define(eq=False)
class Note:
    """One record that a client wanted to be published under ``key``, which no other has.

    ``places`` are where the client was told that it is; ``said`` is the last answer in words.
    """

    door: Door
    topic: str
    key: bytes
    sha256: str
    size: int
    outcome: Outcome = Outcome.UNKNOWN
    places: set[Place] = attrs.field(factory=set)
    said: str = ""

    def told(self, partition: int, offset: int) -> None:
        """The client was told that its record is there."""
        self.outcome = Outcome.ACKNOWLEDGED
        self.places.add((partition, offset))


@attrs.define
class Journal:
    """The notes of all clients, and the promises that one saw broken. Lists are only appended to."""

    notes: list[Note] = attrs.field(factory=list)
    broken: list[str] = attrs.field(factory=list)

    def note(self, door: Door, topic: str, key: str, sha256: str, size: int) -> Note:
        """A new note, before anything is sent."""
        note = Note(door, topic, key.encode(), sha256, size)
        self.notes.append(note)
        return note


def payload(key: str, size: int) -> bytes:
    """The bytes that go with a key."""
    return Random(key).randbytes(size)
