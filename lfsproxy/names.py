"""Names that come from outside: which of them a topic can have."""

from __future__ import annotations

import re
from typing import Final

LONGEST_TOPIC: Final = 249
TOPIC_PATTERN: Final = rf"[A-Za-z0-9._-]{{1,{LONGEST_TOPIC}}}"
"""All names that a topic can have, and "." and ".." besides."""
GLOB_PATTERN: Final = rf"[A-Za-z0-9._*?\[\]!-]{{1,{LONGEST_TOPIC}}}"
"""All globs that match such a name."""


def is_topic_name(name: str) -> bool:
    """Whether a topic can have this name (Kafka's own rule, org.apache.kafka.common.internals.Topic)."""
    return re.fullmatch(TOPIC_PATTERN, name) is not None and name not in (".", "..")
