"""What is found: an envelope that leads to no whole blob, with what to do; and what is counted of a topic."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import attrs

DANGLING: Final = "dangling"
WRONG_LENGTH: Final = "wrong_length"
WRONG_CHECKSUM: Final = "wrong_checksum"
UNREADABLE: Final = "unreadable"
INVALID: Final = "invalid"

TODO: Final[Mapping[str, str]] = {
    DANGLING: "bring the blob back from a copy, a backup or an older version of the object, or produce the "
    "payload again; look which lifecycle rule or person removes blobs before their records",
    WRONG_LENGTH: "bring back the blob that was written, from a copy, a backup or an older version of the "
    "object; look who writes to the bucket besides the proxy",
    WRONG_CHECKSUM: "bring back the blob that was written, from a copy, a backup or an older version of the "
    "object; look who writes to the bucket besides the proxy",
    UNREADABLE: "look at the store's own log, and run fsck again",
    INVALID: "look who produces it: no reader takes it for an envelope, nor for a value",
}
"""By kind of a finding about a record."""
PARTITION_TODO: Final = (
    "look at the brokers' log, and run fsck again: the records behind that offset are not looked at"
)
TOPIC_TODO: Final = "allow this user to describe and read the topic, or leave it out by --topics"

KEPT: Final = 1000
"""Findings that are in the summary; all are told one by one."""


@attrs.frozen
class Finding:
    """Something that is wrong with a record, or a partition or topic that cannot be read: what does not apply
    is None.

    ``timestamp`` is the record's, in milliseconds since the epoch; ``bucket`` and ``blob`` are where its
    envelope leads; ``expected`` and ``actual`` are lengths in bytes, or checksums in hex.
    """

    kind: str
    why: str
    topic: str
    partition: int | None = None
    offset: int | None = None
    timestamp: int | None = None
    key: bytes | None = None
    bucket: str | None = None
    blob: str | None = None
    expected: int | str | None = None
    actual: int | str | None = None
    todo: str = attrs.field()

    @todo.default
    def _todo(self) -> str:
        return TODO[self.kind]

    @property
    def is_of_record(self) -> bool:
        """Whether it is about one record, not about a partition or a topic that cannot be read."""
        return self.timestamp is not None

    def to_json(self) -> dict[str, Any]:
        """As one JSON object: without what does not apply, a key that is no UTF-8 as key_base64."""
        fields: dict[str, Any] = {"finding": self.kind}
        for name, value in attrs.asdict(self).items():
            if value is None or name == "kind":
                continue
            if name == "timestamp":
                value = time_text(value)
            if isinstance(value, bytes):
                name, value = _key_text(value)
            fields[name] = value
        return fields


def _key_text(key: bytes) -> tuple[str, str]:
    try:
        return "key", key.decode("utf-8")
    except UnicodeDecodeError:
        return "key_base64", base64.b64encode(key).decode("ascii")


def time_text(timestamp: int) -> str | int:
    """Milliseconds since the epoch as ISO 8601; the number where no calendar has it."""
    try:
        return datetime.fromtimestamp(timestamp / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return timestamp


@attrs.define
class Counts:
    """Of a topic. ``foreign`` are envelopes that lead elsewhere, and are not followed; ``gone`` are those
    whose record left the log before its blob could be asked for."""

    records: int = 0
    envelopes: int = 0
    dangling: int = 0
    wrong_length: int = 0
    wrong_checksum: int = 0
    unreadable: int = 0
    invalid: int = 0
    foreign: int = 0
    gone: int = 0

    def add(self, other: Counts) -> None:
        """Count what ``other`` has counted."""
        for name, count in attrs.asdict(other).items():
            setattr(self, name, getattr(self, name) + count)

    def count(self, kind: str) -> None:
        """One more of a kind of findings."""
        setattr(self, kind, getattr(self, kind) + 1)

    @property
    def found(self) -> int:
        """How many findings."""
        return self.dangling + self.wrong_length + self.wrong_checksum + self.unreadable + self.invalid
