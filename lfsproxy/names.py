"""Names that come from outside: which of them a topic can have, and which are chosen by globs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

LONGEST_TOPIC: Final = 249
TOPIC_PATTERN: Final = rf"[A-Za-z0-9._-]{{1,{LONGEST_TOPIC}}}"
"""All names that a topic can have, and "." and ".." besides."""
GLOB_PATTERN: Final = rf"[A-Za-z0-9._*?\[\]!-]{{1,{LONGEST_TOPIC}}}"
"""All globs that match such a name."""


def is_topic_name(name: str) -> bool:
    """Whether a topic can have this name (Kafka's own rule, org.apache.kafka.common.internals.Topic)."""
    return re.fullmatch(TOPIC_PATTERN, name) is not None and name not in (".", "..")


def is_chosen(name: str, globs: Sequence[str]) -> bool:
    """Whether ``globs`` choose a name. One with a leading ! leaves out what it matches, whatever the others
    choose; where there are only such, everything else is chosen."""
    chosen = [glob for glob in globs if not glob.startswith("!")]
    left_out = [glob[1:] for glob in globs if glob.startswith("!")]
    is_among = any(fnmatchcase(name, glob) for glob in chosen) or (bool(left_out) and not chosen)
    return is_among and not any(fnmatchcase(name, glob) for glob in left_out)


def is_internal(topic: str) -> bool:
    """Whether a topic is Kafka's own, or one that its tools keep for themselves, by its name."""
    return topic.startswith("__")
