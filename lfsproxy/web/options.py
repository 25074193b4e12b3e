"""The options of a record, from the query or from form fields before the file."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl

import attrs

from lfsproxy.checksums import parse_checksum
from lfsproxy.errors import BadRequest
from lfsproxy.interfaces import Header
from lfsproxy.quoting import quoted
from lfsproxy.web.operations import Schema
from lfsproxy.web.schemas import (
    BASE64,
    CONTENT_TYPE,
    HEADER,
    KAFKAS_OWN,
    LAST_SECONDS,
    MAX_FIELDS,
    MAX_HEADERS,
    MILLISECONDS,
    OPTIONS,
    PARTITION,
    TOPIC,
    matches,
)
from lfsproxy.wire.marks import ALGORITHM, BLOB


@attrs.frozen
class RecordOptions:
    """What a client asks of the record that its upload becomes. ``timestamp``: milliseconds since 1970."""

    key: bytes | None = None
    partition: int | None = None
    headers: tuple[Header, ...] = ()
    content_type: str | None = None
    timestamp: int | None = None
    checksum: str | None = None
    checksum_algo: str | None = None


FILENAME_HEADER = b"lfs-filename"
"""The record header that has the name of the file."""
NO_TYPES = ("undefined", "null")
"""What scripts in browsers send for the type of a file whose type is not known."""
NAMES = tuple(option.name for option in OPTIONS)


class OptionReader:
    """Collects options one by one; what is wrong with one is a BadRequest that names it."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._headers: list[Header] = []

    def add_query(self, query: bytes) -> None:
        """Take the options of a URL's query (percent-encoded, without the question mark)."""
        try:
            # Latin-1 keeps every byte, so that a key need not be UTF-8.
            pairs = parse_qsl(
                query.decode("latin-1"),
                keep_blank_values=True,
                encoding="latin-1",
                max_num_fields=MAX_FIELDS,
            )
        except ValueError:
            raise BadRequest(f"the query has more than {MAX_FIELDS} options") from None
        for name, value in pairs:
            self.add(name.encode("latin-1").decode("utf-8", "replace"), value.encode("latin-1"))

    def add(self, name: str, value: bytes) -> None:
        """Take one option."""
        if name not in NAMES:
            raise BadRequest(f"{quoted(name)} is not an option; these are: {', '.join(NAMES)}")
        if name == "header":
            if len(self._headers) == MAX_HEADERS:
                raise BadRequest(f"header is given more than {MAX_HEADERS} times")
            self._headers.append(_header(value))
        elif name in self._values:
            raise BadRequest(f"{name} is given more than once")
        else:
            self._values[name] = value

    def options(self, default_algorithm: str) -> RecordOptions:
        """All options together. Raises BadRequest, or InvalidChecksum for an unusable checksum."""
        algorithm, checksum = self._text("checksum_algo"), self._text("checksum")
        if algorithm is not None:
            algorithm = algorithm.lower()
        if checksum is not None:
            checksum = parse_checksum(algorithm or default_algorithm, checksum)
        return RecordOptions(
            key=self._key(),
            partition=self._number("partition", PARTITION),
            headers=tuple(self._headers),
            content_type=self._content_type(),
            timestamp=self._timestamp(),
            checksum=checksum,
            checksum_algo=algorithm,
        )

    def _key(self) -> bytes | None:
        encoded = self._text("key_base64")
        if encoded is None:
            return self._values.get("key")
        if "key" in self._values:
            raise BadRequest("key and key_base64 are given, one of them is needed")
        if not matches(BASE64, encoded):
            raise BadRequest(f"key_base64 is not base64: {quoted(encoded)}")
        # In a query an unescaped plus is a space; the URL-safe alphabet and no padding are fine too.
        standard = encoded.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(standard + "=" * (-len(standard) % 4))

    def _content_type(self) -> str | None:
        text = self._text("content_type")
        return None if text is None else parse_content_type(text)

    def _timestamp(self) -> int | None:
        text = self._text("timestamp") or ""
        if text.isascii() and text.isdecimal() and 1 <= int(text[:20]) <= LAST_SECONDS:
            raise BadRequest(
                f"timestamp is {quoted(text)}, which looks like seconds: milliseconds since 1970 are needed"
            )
        return self._number("timestamp", MILLISECONDS)

    def _number(self, name: str, schema: Schema) -> int | None:
        text = self._text(name)
        if text is None:
            return None
        return parse_number(name, schema, text)

    def _text(self, name: str) -> str | None:
        value = self._values.get(name)
        return None if value is None else parse_text(name, value)


def parse_topic(topic: str) -> str:
    """A topic's name as Kafka allows it, else BadRequest."""
    if topic in KAFKAS_OWN:
        raise BadRequest(f"the topic {topic} is Kafka's own")
    if not matches(TOPIC, topic):
        raise BadRequest(
            f"{quoted(topic)} is not a topic name: up to 249 letters, digits, '.', '_' and '-' are needed"
        )
    return topic


def parse_number(name: str, schema: Schema, text: str) -> int:
    """A whole number within a schema's range, else BadRequest. ``name`` is what it is called."""
    if not matches(schema, text):
        raise BadRequest(f"{name} is {quoted(text)}: a whole number from 0 to {schema['maximum']} is needed")
    return int(text)


def parse_text(name: str, value: bytes) -> str:
    """A text in UTF-8, else BadRequest. ``name`` is what it is called."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"{name} is not UTF-8: {quoted(value)}") from None


def parse_content_type(text: str) -> str | None:
    """A content type that can go into an HTTP header, else BadRequest. None for one that is not known."""
    if text in NO_TYPES:
        return None
    if not matches(CONTENT_TYPE, text):
        raise BadRequest(
            f"the content type is {quoted(text)}: up to 255 printable ASCII characters are needed"
        )
    return text


def _header(value: bytes) -> Header:
    name, colon, content = value.partition(b":")
    if not colon or not name:
        raise BadRequest(f"header is {quoted(value)}: name:value is needed")
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"the header name {quoted(name)} is not UTF-8") from None
    # On an envelope they would have it offloaded again by a proxy that it is mirrored through.
    if name in (BLOB, ALGORITHM):
        raise BadRequest(f"the header {text} is for Kafka clients; checksum_algo and checksum do it here")
    # What is left of the pattern: the content may be any bytes.
    if not matches(HEADER, f"{text}:"):
        raise BadRequest(f"header is {quoted(value)}: name:value is needed")
    return name, content
