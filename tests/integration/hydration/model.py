"""What a consumer sees of a log: each record by everything but its value, and that by length and SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import attrs

Headers = tuple[tuple[str, bytes | None], ...]
Part = tuple[str, int]
"""A topic and its partition."""

CREATE_TIME, LOG_APPEND_TIME = 0, 1
NO_VALUE: Final = -1
"""The length of a null value."""


@attrs.frozen
class Seen:
    """A record as a client gave it. ``timestamp_type`` is None where the client does not tell it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    timestamp: int
    timestamp_type: int | None
    headers: Headers
    length: int
    sha256: str


def digest_of(value: bytes | None) -> tuple[int, str]:
    """A value's length and SHA-256; NO_VALUE and nothing for null."""
    return (NO_VALUE, "") if value is None else (len(value), hashlib.sha256(value).hexdigest())


@attrs.frozen
class Entry:
    """A record in the log. ``blob`` is what is behind its value, None for an ordinary value."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    timestamp: int
    timestamp_type: int
    headers: Headers
    value: bytes | None
    blob: bytes | None = None
    aborted: bool = False

    def seen(self, hydrated: bool) -> Seen:
        """As a client gives it, with the blob where the log is ``hydrated``."""
        value = self.blob if hydrated and self.blob is not None else self.value
        length, digest = digest_of(value)
        place = self.topic, self.partition, self.offset, self.key
        return Seen(*place, self.timestamp, self.timestamp_type, self.headers, length, digest)


@attrs.frozen
class View:
    """What a client asks for, and gets: those records of the log that it may see."""

    committed: bool = False
    hydrated: bool = False
    keeps_aborted: bool = False
    """Of a client that is told which transactions were aborted, and gives their records all the same."""


@attrs.frozen
class Log:
    """The records of some partitions in the order of offsets.

    Of each partition, also the offsets of its transactions' markers, the last stable offset, and the end.
    """

    entries: dict[Part, list[Entry]] = attrs.field(factory=dict)
    markers: dict[Part, set[int]] = attrs.field(factory=dict)
    stable: dict[Part, int] = attrs.field(factory=dict)
    ends: dict[Part, int] = attrs.field(factory=dict)
    compacted: set[str] = attrs.field(factory=set)
    """The topics in which records are gone."""

    @property
    def topics(self) -> Sequence[str]:
        return sorted({topic for topic, _ in self.entries})

    def visible(self, part: Part, view: View, start: int = 0) -> list[Entry]:
        """The records of a partition from ``start`` on that a client sees."""
        found = [entry for entry in self.entries[part] if entry.offset >= start]
        if view.committed:
            found = [
                entry
                for entry in found
                if entry.offset < self.stable[part] and (view.keeps_aborted or not entry.aborted)
            ]
        return found

    def seen(self, view: View, starts: dict[Part, int]) -> list[Seen]:
        """What a client gives that begins in each partition at ``starts``; partition by partition."""
        return [
            entry.seen(view.hydrated and not (view.committed and entry.aborted))
            for part in sorted(starts)
            for entry in self.visible(part, view, starts[part])
        ]
