"""What a claim check looks like: the envelope, the object key, and how to recognise an envelope.

An envelope of version 1 is UTF-8 JSON without spaces, its fields in the order of :class:`Envelope`::

    {"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/t/0/42-<uuid>.bin",
     "content_type":"image/png","content_length":10485760,"checksum_algo":"sha256","checksum":"<hex>"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any
from uuid import UUID

import attrs

from lfsproxy.checksums import ALGORITHMS, parse_checksum
from lfsproxy.errors import EnvelopeNotAllowed, InvalidChecksum, InvalidEnvelope, UnsupportedEnvelope

VERSION = 1
MAX_ENVELOPE_BYTES = 64 * 1024
DEFAULT_CONTENT_TYPE = "application/octet-stream"


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


def parse_envelope(value: bytes | None) -> Envelope | None:
    """The envelope in a record's value, or None where the value is an ordinary one.

    Raises UnsupportedEnvelope for a version above VERSION, and InvalidEnvelope for a value which is an
    envelope by its lfs_version, s3_bucket and s3_key, but lacks a field or has one of the wrong type.
    """
    fields = _envelope_fields(value)
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
        if type(fields.get(field.name)) is not wanted:
            raise InvalidEnvelope(
                f"the envelope's {field.name} is {fields.get(field.name)!r:.80}, {wanted.__name__} is needed"
            )
        if wanted is str and not _is_text(fields[field.name]):
            raise InvalidEnvelope(
                f"the envelope's {field.name} is {fields[field.name]!r:.80}, which is no text"
            )
    envelope = Envelope(**{field.name: fields[field.name] for field in attrs.fields(Envelope)})
    if envelope.content_length < 0:
        raise InvalidEnvelope(f"the envelope's content_length is {envelope.content_length}")
    if envelope.checksum_algo not in ALGORITHMS:
        raise InvalidEnvelope(f"the envelope's checksum_algo is {envelope.checksum_algo!r:.80}")
    try:
        checksum = parse_checksum(envelope.checksum_algo, envelope.checksum)
    except InvalidChecksum as error:
        raise InvalidEnvelope(f"the envelope's checksum is not usable: {error}") from None
    return attrs.evolve(envelope, checksum=checksum)


def _is_text(text: str) -> bool:
    """JSON can escape half a surrogate pair, which nothing can be made of: no key, no header, no JSON."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _envelope_fields(value: bytes | None) -> dict[str, Any] | None:
    """The JSON object of a value that is an envelope of any version, else None. Cheap tests come first."""
    if (
        value is None
        or len(value) >= MAX_ENVELOPE_BYTES
        or value[:1] != b"{"
        or b'"lfs_version"' not in value
    ):
        return None
    try:
        fields = json.loads(value.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or type(fields.get("lfs_version")) is not int:
        return None
    if "s3_bucket" not in fields or "s3_key" not in fields:
        return None
    return fields


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
        raise EnvelopeNotAllowed(f"the envelope points to the bucket {envelope.s3_bucket!r:.80}, not allowed")
    dotted = {".", ".."} & set(envelope.s3_key.split("/"))
    if dotted or not envelope.s3_key.startswith(tuple(prefixes)):
        raise EnvelopeNotAllowed(f"the envelope points to the key {envelope.s3_key!r:.200}, not allowed")


def object_key(namespace: str, topic: str, partition: int, offset_hint: int, uuid: UUID) -> str:
    """The key of a new blob: ``lfs/{namespace}/{topic}/{partition}/{offset}-{uuid}.bin``.

    ``offset_hint`` is the partition's next offset as far as it is known: it helps people, and is neither
    an order nor the truth. The uuid alone makes the key unique.
    """
    return f"lfs/{namespace}/{topic}/{partition}/{offset_hint}-{uuid}.bin"
