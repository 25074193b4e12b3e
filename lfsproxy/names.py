"""Names that come from outside: which of them a topic can have, and how any is shown to people."""

from __future__ import annotations

import re
from typing import Final

LONGEST_TOPIC: Final = 249
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def is_topic_name(name: str) -> bool:
    """Whether a topic can have this name (Kafka's own rule, org.apache.kafka.common.internals.Topic)."""
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")


def shown(name: str | bytes | None, most: int = 250) -> str | None:
    """A name of somebody else's for people: on one line, without control characters, and not too long.

    What is not printable (control characters, separators of lines, marks of direction, what was not UTF-8) is
    written as Python's own escapes.
    """
    text = str(name, "utf-8", "surrogateescape") if isinstance(name, bytes) else name
    if text is None or (text.isprintable() and len(text) <= most):
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:most])
