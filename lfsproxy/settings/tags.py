"""Tags of new blobs, as a template: names and values, of which values may name what the blob belongs to.

S3's limits: "Categorizing your storage using tags" in the Amazon S3 user guide.
"""

from __future__ import annotations

import re

from lfsproxy.names import LONGEST_TOPIC
from lfsproxy.settings.kinds import Kind, Needed

MAX_TAGS = 10
MAX_NAME = 128
MAX_VALUE = 256
"""Characters of a tag's name and value."""
PLACEHOLDERS = ("{topic}", "{namespace}")
"""What a value may name; lfsproxy.s3.objects fills it in."""

Tags = tuple[tuple[str, str], ...]
"""Names and values, in the order given."""

_ALLOWED = "letters, digits, spaces and _.:/=+-@"
_NAME = re.compile(r"[\w .:/+@-]+", re.ASCII)
_VALUE = re.compile(r"[\w .:/=+@-]*", re.ASCII)


def _read_tags(text: str) -> Tags:
    tags = tuple(_read_tag(part.strip(" ")) for part in text.split(",")) if text.strip(" ") else ()
    names = [name for name, _ in tags]
    if len(tags) > MAX_TAGS:
        raise ValueError(f"S3 takes {MAX_TAGS} tags at most: here are {len(tags)}")
    if len(set(names)) < len(names):
        raise ValueError("a tag's name may be there once only")
    return tags


def _read_tag(text: str) -> tuple[str, str]:
    name, equals, value = (part.strip(" ") for part in text.partition("="))
    if not equals:
        raise Needed(_KIND)
    literal = value
    for placeholder in PLACEHOLDERS:
        literal = literal.replace(placeholder, "")
    if "{" in literal or "}" in literal:
        raise ValueError(f"a value may name {' and '.join(PLACEHOLDERS)}, nothing else in braces")
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(literal):
        raise ValueError(f"S3 takes {_ALLOWED} in tags")
    if name.lower().startswith("aws:"):
        raise ValueError("names that begin with aws: are AWS's own")
    if len(name) > MAX_NAME or len(literal) > MAX_VALUE:
        raise ValueError(f"S3 takes {MAX_NAME} characters in a tag's name, {MAX_VALUE} in its value")
    return name, value


def longest(value: str, namespace: str) -> int:
    """Characters that a tag's value may have once it is filled in."""
    return len(value.replace("{topic}", "x" * LONGEST_TOPIC).replace("{namespace}", namespace))


_KIND = "tags such as topic={topic},team=media"
TAGS = Kind(
    f"up to {MAX_TAGS} {_KIND} ({_ALLOWED}; in a value also {' and '.join(PLACEHOLDERS)})",
    _read_tags,
    ("topic={topic},namespace={namespace}", "team=media"),
)
