"""What a claim check looks like: the envelope, the key of its blob, and how both are recognised.

An envelope of version 1 is UTF-8 JSON without spaces, its fields in the order of :class:`Envelope`::

    {"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/t/0/42-<uuid>.bin",
     "content_type":"image/png","content_length":10485760,"checksum_algo":"sha256","checksum":"<hex>"}

Readers know the older one of KafScale besides. It is never written here::

    {"kfs_lfs":1,"bucket":"b","key":"ns/topic/lfs/2026/01/31/obj-<uuid>","size":5,"sha256":"<hex>",
     "checksum":"<hex>","checksum_alg":"md5","content_type":"text/plain", ...}

of which ``checksum`` and ``checksum_alg`` (a name in ALGORITHMS, or none) may be absent: then ``sha256``
counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, NoReturn
from uuid import UUID

import attrs

from lfsproxy.checksums import ALGORITHMS, parse_checksum
from lfsproxy.errors import EnvelopeNotAllowed, InvalidChecksum, InvalidEnvelope, UnsupportedEnvelope
from lfsproxy.quoting import quoted

VERSION = 1
OLDER_VERSION = 1
MAX_ENVELOPE_BYTES = 64 * 1024
"""A value of so many bytes is no envelope: the longest key and content type leave room below it."""
MARKS = (b'"lfs_version"', b'"kfs_lfs"')
"""One of these is in every envelope, the older kind's too."""
MAX_NESTING = 100
"""Levels of objects and arrays; a parser's own limit differs from language to language."""

DEFAULT_CONTENT_TYPE = "application/octet-stream"
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[]}]', re.DOTALL)
_MAX_DIGITS = 100
"""Digits of an integer that are read: far more than any field may have."""
_WANTED = {str: "text", int: "a whole number"}


_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?: *; *{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))*")
"""RFC 9110, section 8.3.1."""


@attrs.frozen
class Envelope:
    """A claim check: where the blob is, and what its bytes must be."""

    s3_bucket: str
    s3_key: str
    content_type: str
    content_length: int
    checksum_algo: str
    checksum: str

    def to_bytes(self) -> bytes:
        """The record value that is published."""
        fields = {"lfs_version": VERSION, **attrs.asdict(self)}
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def recognise(value: bytes | None) -> Envelope | None:
    """The envelope in a record's value, of version 1 or the older kind; None for an ordinary value.

    Raises what ``parse_envelope`` raises, for either kind.
    """
    return parse_envelope(value) or _parse_older(value)


def parse_envelope(value: bytes | None) -> Envelope | None:
    """The envelope in a record's value, or None where the value is an ordinary one.

    Raises UnsupportedEnvelope for a version above VERSION, and InvalidEnvelope for a value which is an
    envelope by its lfs_version, s3_bucket and s3_key, but lacks a field or has one of the wrong type.
    """
    fields = _json_object(value, "lfs_version", "s3_bucket", "s3_key")
    if fields is None:
        return None
    version = fields["lfs_version"]
    if version > VERSION:
        raise UnsupportedEnvelope(
            f"the envelope has lfs_version {version}, this reader knows versions up to {VERSION}"
        )
    if version < 1:
        raise InvalidEnvelope(f"the envelope has lfs_version {version}")
    for field in attrs.fields(Envelope):
        wanted = int if field.name == "content_length" else str
        _check_field(field.name, fields.get(field.name), wanted)
    envelope = Envelope(**{field.name: fields[field.name] for field in attrs.fields(Envelope)})
    if envelope.content_length < 0:
        raise InvalidEnvelope(f"the envelope's content_length is {envelope.content_length}")
    if envelope.checksum_algo not in ALGORITHMS:
        raise InvalidEnvelope(f"the envelope's checksum_algo is {quoted(envelope.checksum_algo)}")
    return attrs.evolve(envelope, checksum=_usable(envelope.checksum_algo, envelope.checksum))


def _parse_older(value: bytes | None) -> Envelope | None:
    fields = _json_object(value, "kfs_lfs", "bucket", "key")
    if fields is None:
        return None
    if fields["kfs_lfs"] > OLDER_VERSION:
        raise UnsupportedEnvelope(
            f"the envelope has kfs_lfs {fields['kfs_lfs']}, this reader knows versions up to {OLDER_VERSION}"
        )
    for name, wanted in (("bucket", str), ("key", str), ("size", int)):
        _check_field(name, fields.get(name), wanted)
    if fields["kfs_lfs"] < 1 or fields["size"] < 0:
        raise InvalidEnvelope(f"the envelope has kfs_lfs {fields['kfs_lfs']} and size {fields['size']}")
    algorithm, checksum = fields.get("checksum_alg"), fields.get("checksum")
    if not checksum or not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        algorithm, checksum = "sha256", fields.get("sha256")
    _check_field(algorithm, checksum, str)
    content_type = fields.get("content_type")
    return Envelope(
        s3_bucket=fields["bucket"],
        s3_key=fields["key"],
        content_type=content_type if isinstance(content_type, str) and content_type else DEFAULT_CONTENT_TYPE,
        content_length=fields["size"],
        checksum_algo=algorithm,
        checksum=_usable(algorithm, str(checksum)),
    )


def _usable(algorithm: str, checksum: str) -> str:
    try:
        return parse_checksum(algorithm, checksum)
    except InvalidChecksum as error:
        raise InvalidEnvelope(f"the envelope's checksum is not usable: {error}") from None


def _check_field(name: str, value: Any, wanted: type) -> None:
    """Raise InvalidEnvelope for a field of another type, or for text that has no UTF-8 (a lone surrogate)."""
    if type(value) is not wanted:
        raise InvalidEnvelope(f"the envelope's {name} is {_said(value)}: {_WANTED[wanted]} is needed")
    if not isinstance(value, str) or value.isascii():
        return
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidEnvelope(f"the envelope's {name} is {quoted(value)}, which is half of a character")


def _said(value: Any) -> str:
    """A value of JSON, as its writer knows it."""
    if value is None:
        return "missing"
    return f"the text {quoted(value)}" if isinstance(value, str) else quoted(json.dumps(value))


def _json_object(value: bytes | None, version: str, *members: str) -> dict[str, Any] | None:
    """The JSON object in a value that is an envelope by its members, else None. Cheap tests come first.

    ``version`` names its integer member. JSON is RFC 8259's: NaN is none. Of a member that is there twice the
    last counts. Nested deeper than MAX_NESTING it is none either.
    """
    if value is None or len(value) >= MAX_ENVELOPE_BYTES or value[:1] != b"{":
        return None
    if f'"{version}"'.encode() not in value:
        return None
    try:
        text = value.decode("utf-8")
        if _is_nested_too_deep(text):
            return None
        fields = json.loads(text, parse_constant=_no_constant, parse_int=_parse_int)
    except ValueError:
        return None
    if not isinstance(fields, dict) or type(fields.get(version)) is not int:
        return None
    return fields if all(member in fields for member in members) else None


def _is_nested_too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return False
    depth = 0
    for found in _NESTING.finditer(text):
        token = found[0]
        depth += 1 if token in "[{" else -1 if token in "]}" else 0
        if depth > MAX_NESTING:
            return True
    return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _parse_int(digits: str) -> int:
    """Python refuses integers of thousands of digits; here it is enough that they stay too large."""
    return int(digits[:_MAX_DIGITS])


def is_media_type(text: str) -> bool:
    """Whether a content type is one. An envelope has whatever its producer wrote there."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def check_place(envelope: Envelope, buckets: Collection[str], prefixes: Collection[str]) -> None:
    """Raise EnvelopeNotAllowed for a blob outside ``buckets`` and key ``prefixes``.

    Whoever may produce to a topic decides what an envelope says: it must not make a reader fetch anything
    else that the reader's credentials can see. A key with a ``.`` or ``..`` between slashes is refused
    too, as HTTP clients and stores may resolve it.
    """
    if envelope.s3_bucket not in buckets:
        raise EnvelopeNotAllowed(
            f"the envelope points to the bucket {quoted(envelope.s3_bucket)}, not allowed"
        )
    dotted = {".", ".."} & set(envelope.s3_key.split("/"))
    if dotted or not envelope.s3_key.startswith(tuple(prefixes)):
        raise EnvelopeNotAllowed(
            f"the envelope points to the key {quoted(envelope.s3_key, most=200)}, not allowed"
        )


# The key of a blob: lfs/{namespace}/{topic}/{partition}/{offset}-{uuid}.bin

KEY_ROOT = "lfs/"
"""What every key of a blob begins with."""
DEFAULT_PREFIXES = (KEY_ROOT,)
"""The keys that a reader follows unless it is told otherwise."""
_KEY = re.compile(
    re.escape(KEY_ROOT)
    + r"(?P<namespace>[^/]+)/(?P<topic>[^/]+)/(?P<partition>\d{1,10})/(?P<offset_hint>\d{1,19})-"
    r"(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.bin",
    re.ASCII,
)


@attrs.frozen
class ObjectKey:
    """What is told by the key of a blob that a proxy has written.

    ``offset_hint`` is the partition's next offset as far as it was known: it helps people, and is neither
    an order nor the truth. The uuid alone makes the key unique.
    """

    namespace: str
    topic: str
    partition: int
    offset_hint: int
    uuid: UUID

    def __str__(self) -> str:
        place = f"{topic_prefix(self.namespace, self.topic)}{self.partition}/"
        return f"{place}{self.offset_hint}-{self.uuid}.bin"


def object_key(namespace: str, topic: str, partition: int, offset_hint: int, uuid: UUID) -> str:
    """The key of a new blob: see ObjectKey."""
    return str(ObjectKey(namespace, topic, partition, offset_hint, uuid))


def parse_key(key: str) -> ObjectKey | None:
    """What a key says, None for one that no proxy has made."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    place = int(found["partition"]), int(found["offset_hint"])
    read = ObjectKey(found["namespace"], found["topic"], *place, UUID(found["uuid"]))
    return read if str(read) == key else None


def topic_prefix(namespace: str, topic: str) -> str:
    """What the keys of a topic's blobs begin with, and no other's."""
    return f"{KEY_ROOT}{namespace}/{topic}/"
