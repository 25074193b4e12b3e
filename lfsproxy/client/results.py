"""What a reader is told, and what it tells: places of records, what a value was, how a read went."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, Literal, Self

import attrs

from lfsproxy.envelope import Envelope
from lfsproxy.errors import LfsError

OnMissing = Literal["raise", "skip", "envelope"]

Value = bytes | bytearray | memoryview
"""A record's value, as Kafka clients hand it over."""

Progress = Callable[[int], object]
"""Called with the bytes so far: whole numbers that never fall, at the last the whole length."""


@attrs.frozen
class RecordCoordinates:
    """Where a record is in Kafka. A deserializer knows the topic alone."""

    topic: str
    partition: int | None = None
    offset: int | None = None

    @classmethod
    def of(cls, record: Any) -> Self:
        """Those of a consumer's record: of kafka-python, aiokafka or confluent-kafka."""
        return cls(*(called(getattr(record, name)) for name in ("topic", "partition", "offset")))


@attrs.frozen
class Resolution:
    """What ``on_resolve`` is told when an envelope has been dealt with.

    ``result`` is ok, closed (by its reader, before the end), cancelled, or the name of what went wrong
    (``LfsError.problem``: blob-missing, checksum-mismatch, ...). ``size`` is in bytes received, ``seconds``
    from the start of the fetch to its end, the time the caller took for reading included. ``tries`` are the
    GETs that were sent. ``record`` is None where the caller named none.
    """

    envelope: Envelope
    result: str
    size: int
    seconds: float
    tries: int
    error: LfsError | None = None
    record: RecordCoordinates | None = None


@attrs.frozen
class Resolved:
    """A value and where it came from. ``envelope`` is None where the value was an ordinary one.

    ``missing`` is True where the blob is not in the store: then ``value`` is None (on_missing="skip") or the
    envelope's own bytes (on_missing="envelope").
    """

    value: bytes | None
    envelope: Envelope | None = None
    missing: bool = False


class _Missing(enum.Enum):
    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "lfsproxy.client.MISSING"


MISSING: Final = _Missing.MISSING
"""What deserializers can give for a blob that was skipped, to tell it from a null value."""


def called(found: Any) -> Any:
    """An attribute of a record, of which confluent-kafka makes a method."""
    return found() if callable(found) else found
