"""Which values are envelopes, and which of those a reader follows.

Besides the envelope of version 1 this reads the older one of KafScale::

    {"kfs_lfs":1,"bucket":"b","key":"ns/topic/lfs/2026/01/31/obj-<uuid>","size":5,"sha256":"<hex>",
     "checksum":"<hex>","checksum_alg":"md5","content_type":"text/plain", ...}

of which ``checksum`` and ``checksum_alg`` (sha256, md5, crc32, none) may be absent: then ``sha256`` counts.
"""

from __future__ import annotations

from typing import Any

from lfsproxy.checksums import ALGORITHMS, parse_checksum
from lfsproxy.client.results import Value
from lfsproxy.envelope import DEFAULT_CONTENT_TYPE, Envelope, check_field, json_object, parse_envelope
from lfsproxy.errors import (
    InvalidChecksum,
    InvalidEnvelope,
    TooLarge,
    UnsupportedEnvelope,
)

OLDER_VERSION = 1
DEFAULT_MAX_SIZE = 256 * 1024 * 1024
"""Most bytes of a blob read whole, where max_size is not set: one envelope must not fill the memory."""


def as_bytes(value: Value | None) -> bytes | None:
    """A record's value as bytes. Raises TypeError for one that a deserializer has made something else of."""
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, bytearray | memoryview):
        raise TypeError(f"a record's value as bytes is needed, not {type(value).__name__}")
    return bytes(value)


def recognise(value: bytes | None) -> Envelope | None:
    """The envelope in a record's value, None where the value is an ordinary one.

    Raises UnsupportedEnvelope for a version that is newer than this reader, InvalidEnvelope for an
    envelope that lacks a field or has one of the wrong type.
    """
    return parse_envelope(value) or _parse_older(value)


def _parse_older(value: bytes | None) -> Envelope | None:
    fields = json_object(value, "kfs_lfs", "bucket", "key")
    if fields is None:
        return None
    if fields["kfs_lfs"] > OLDER_VERSION:
        raise UnsupportedEnvelope(
            f"the envelope has kfs_lfs {fields['kfs_lfs']}, this reader knows versions up to {OLDER_VERSION}"
        )
    return _from_older(fields)


def _from_older(fields: dict[str, Any]) -> Envelope:
    for name, wanted in (("bucket", str), ("key", str), ("size", int)):
        check_field(name, fields.get(name), wanted)
    if fields["kfs_lfs"] < 1 or fields["size"] < 0:
        raise InvalidEnvelope(f"the envelope has kfs_lfs {fields['kfs_lfs']} and size {fields['size']}")
    algorithm, checksum = fields.get("checksum_alg"), fields.get("checksum")
    if not checksum or algorithm not in ALGORITHMS:
        algorithm, checksum = "sha256", fields.get("sha256")
    check_field(algorithm, checksum, str)
    try:
        checksum = parse_checksum(algorithm, str(checksum))
    except InvalidChecksum as error:
        raise InvalidEnvelope(f"the envelope's checksum is not usable: {error}") from None
    content_type = fields.get("content_type")
    return Envelope(
        s3_bucket=fields["bucket"],
        s3_key=fields["key"],
        content_type=content_type if isinstance(content_type, str) and content_type else DEFAULT_CONTENT_TYPE,
        content_length=fields["size"],
        checksum_algo=algorithm,
        checksum=checksum,
    )


def check_size(envelope: Envelope, max_size: int | None, whole: bool) -> None:
    """Raise TooLarge for a blob of more than ``max_size`` bytes (0: unlimited).

    None: a ``whole`` read holds up to DEFAULT_MAX_SIZE, a stream is unlimited.
    """
    most = (DEFAULT_MAX_SIZE if whole else 0) if max_size is None else max_size
    if not most or envelope.content_length <= most:
        return
    size = f"the blob has {envelope.content_length} bytes"
    if max_size is None:
        raise TooLarge(
            f"{size}, more than a whole read holds in memory ({most} bytes): read it as a stream, by open, "
            "which has no such limit, or set max_size (0: no limit)"
        )
    raise TooLarge(f"{size}, more than max_size allows ({most} bytes)")
