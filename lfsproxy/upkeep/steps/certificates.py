"""What is said of a certificate that a server shows, or that the proxy shows itself."""

from __future__ import annotations

import math
import time

from lfsproxy.probing import Certificate
from lfsproxy.upkeep.steps.chain import Found

SOON_DAYS = 14
"""A certificate that expires within so many days is to be renewed now."""
MOST_NAMES = 5
_DAY = 24 * 3600.0


def shown(certificate: Certificate) -> Found[None]:
    """Its names, who signed it, and how long it is valid."""
    names = ", ".join(
        [*certificate.names[:MOST_NAMES], *(["…"] if len(certificate.names) > MOST_NAMES else [])]
    )
    chain = f", {certificate.chain} certificates sent" if certificate.chain > 1 else ""
    left, warning = days_left(certificate.expires)
    return Found(None, f"certificate for {names} by {certificate.issuer}{chain}, {left}", warning)


def days_left(expires: float) -> tuple[str, bool]:
    """In words, and whether that is soon. ``expires`` is in seconds since the epoch."""
    days = max(0, math.floor((expires - time.time()) / _DAY))
    return f"valid for {days} more day{'' if days == 1 else 's'}", days < SOON_DAYS
