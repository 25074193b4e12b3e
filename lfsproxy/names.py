"""Names that come from outside: which ones Kafka allows for a topic, and how any of them is shown to people."""

from __future__ import annotations

import re
from typing import Final

LONGEST_TOPIC: Final = 249
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_MOST_SHOWN: Final = 250


def is_topic_name(name: str) -> bool:
    """Whether a topic can have this name (Kafka's own rule, org.apache.kafka.common.internals.Topic)."""
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")


def shown(name: str | bytes | None) -> str | None:
    """A name of somebody else's for people: on one line, without control characters, and not too long."""
    text = str(name, "utf-8", "surrogateescape") if isinstance(name, bytes) else name
    if text is None or (text.isprintable() and len(text) <= _MOST_SHOWN):
        return text
    return ascii(text[:_MOST_SHOWN])
