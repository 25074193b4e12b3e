"""What values the API takes: one table of patterns and ranges, by which requests are checked and described.

ECMA-262 (which JSON Schema uses) and Python read each pattern alike. ``matches`` checks a text against one,
and the OpenAPI document shows the same one.
"""

from __future__ import annotations

import re
from functools import cache

import attrs

from lfsproxy.checksums import ALGORITHMS
from lfsproxy.names import TOPIC_PATTERN
from lfsproxy.web.operations import Schema
from lfsproxy.wire.marks import ALGORITHM, BLOB

MAX_FIELDS = 256
"""The most options, or parts of a form, that a request may have."""
MAX_HEADERS = 200
"""The most headers of a record that a request may give: below MAX_FIELDS, for the other options."""

_MARKS = "|".join(mark.decode("ascii") for mark in (BLOB, ALGORITHM))
_LENGTHS = "|".join(f"[0-9a-fA-F]{{{digits}}}" for _, digits in ALGORITHMS.values())

KAFKAS_OWN = ("__consumer_offsets", "__transaction_state")
"""The topics that brokers call internal."""

TOPIC: Schema = {
    "type": "string",
    "pattern": f"^{TOPIC_PATTERN}$",
    "not": {"enum": [".", "..", *KAFKAS_OWN]},
}

PARTITION: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
LAST_SECONDS = 9_999_999_999
"""A timestamp of up to this many is one in seconds by mistake: as milliseconds it would be of early 1970."""
MILLISECONDS: Schema = {
    "type": "integer",
    "minimum": 0,
    "maximum": 2**63 - 1,
    "anyOf": [{"const": 0}, {"minimum": LAST_SECONDS + 1}],
}
CONTENT_TYPE: Schema = {"type": "string", "pattern": r"^[!-~](?:[ -~]{0,253}[!-~])?$"}

UPLOAD_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}

BASE64: Schema = {
    "type": "string",
    # Both alphabets, with padding or without; in a query an unescaped plus has become a space.
    "pattern": (r"^(?:[A-Za-z0-9+/_ -]{4})*(?:[A-Za-z0-9+/_ -]{2}(?:==)?|[A-Za-z0-9+/_ -]{3}=?)?$"),
}

HEADER: Schema = {"type": "string", "pattern": rf"^(?!(?:{_MARKS}):)[^:]+:[\s\S]*$"}


@attrs.frozen
class Option:
    """An option of a record: ``schema`` is that of one value where ``repeatable`` lets several come."""

    name: str
    description: str
    schema: Schema
    repeatable: bool = False

    @property
    def whole(self) -> Schema:
        """The schema of all its values together."""
        if not self.repeatable:
            return self.schema
        return {"type": "array", "items": self.schema, "maxItems": MAX_HEADERS}


OPTIONS: tuple[Option, ...] = (
    Option("key", "The record's key, as text. Not together with key_base64", {"type": "string"}),
    Option("key_base64", "The record's key in base64, for one that is not text", BASE64),
    Option("partition", "The partition; default: as Kafka's own partitioner, by the key", PARTITION),
    Option("header", "A record header as name:value", HEADER, repeatable=True),
    Option("content_type", "Content type of the blob, instead of the part's or the request's", CONTENT_TYPE),
    Option("timestamp", "The record's timestamp in milliseconds since 1970; default: now", MILLISECONDS),
    Option(
        "checksum",
        "The checksum that the file must have, in hex: as many digits as its algorithm has",
        {"type": "string", "pattern": f"^(?:{_LENGTHS})$"},
    ),
    Option(
        "checksum_algo",
        "The algorithm of that checksum, and of the envelope's, in any case; default: LFS_CHECKSUM_ALGO",
        {"type": "string", "enum": list(ALGORITHMS)},
    ),
)


def matches(schema: Schema, text: str) -> bool:
    """Whether a text is what the schema allows: of a string (pattern, not) or an integer (range, anyOf)."""
    if schema["type"] == "integer":
        # So many digits at most that making a number of them costs nothing.
        digits = len(str(schema["maximum"]))
        if not re.fullmatch(rf"[0-9]{{1,{digits}}}", text):
            return False
        number = int(text)
        either = schema.get("anyOf", ({},))
        return schema["minimum"] <= number <= schema["maximum"] and any(
            number == one.get("const", number) and number >= one.get("minimum", number) for one in either
        )
    excluded = schema.get("not", {}).get("enum", ())
    return _pattern(schema["pattern"]).fullmatch(text) is not None and text not in excluded


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    # Python's $ would let a line feed follow; fullmatch does not.
    return re.compile(pattern.removeprefix("^").removesuffix("$"))
