"""Which values are envelopes, and which of those a reader follows."""

from __future__ import annotations

from lfsproxy.client.results import Value
from lfsproxy.envelope import Envelope, recognise
from lfsproxy.errors import TooLarge

__all__ = ["DEFAULT_MAX_SIZE", "as_bytes", "check_size", "recognise"]

DEFAULT_MAX_SIZE = 256 * 1024 * 1024
"""Most bytes of a blob read whole, where max_size is not set: one envelope must not fill the memory."""


def as_bytes(value: Value | None) -> bytes | None:
    """A record's value as bytes. Raises TypeError for one that a deserializer has made something else of."""
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, bytearray | memoryview):
        raise TypeError(f"a record's value as bytes is needed, not {type(value).__name__}")
    return bytes(value)


def check_size(envelope: Envelope, max_size: int | None, whole: bool) -> None:
    """Raise TooLarge for a blob of more than ``max_size`` bytes (0: unlimited).

    None: a ``whole`` read holds up to DEFAULT_MAX_SIZE, a stream is unlimited.
    """
    most = (DEFAULT_MAX_SIZE if whole else 0) if max_size is None else max_size
    if not most or envelope.content_length <= most:
        return
    size = f"the blob has {envelope.content_length} bytes"
    if max_size is None:
        raise TooLarge(
            f"{size}, more than a whole read holds in memory ({most} bytes): read it as a stream, by open, "
            "which has no such limit, or set max_size (0: no limit)"
        )
    raise TooLarge(f"{size}, more than max_size allows ({most} bytes)")
