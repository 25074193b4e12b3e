"""Names that come from outside: which of them a topic can have."""

from __future__ import annotations

import re
from typing import Final

LONGEST_TOPIC: Final = 249
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def is_topic_name(name: str) -> bool:
    """Whether a topic can have this name (Kafka's own rule, org.apache.kafka.common.internals.Topic)."""
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")
