"""Which values are envelopes, and which of those a reader follows."""

from __future__ import annotations

from lfsproxy.envelope import Envelope, recognise
from lfsproxy.errors import TooLarge

__all__ = ["check_size", "recognise"]


def check_size(envelope: Envelope, max_size: int) -> None:
    """Raise TooLarge for a blob of more than ``max_size`` bytes (0: unlimited)."""
    if max_size and envelope.content_length > max_size:
        raise TooLarge(
            f"the blob has {envelope.content_length} bytes, more than max_size allows ({max_size} bytes)"
        )
