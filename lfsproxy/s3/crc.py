"""The CRC-32C values that S3 keeps of objects and of their parts, and how it writes them.

Of an object of several parts a store keeps the CRC-32C of the whole (type FULL_OBJECT), or that of its parts'
CRC-32C values with their number behind it (type COMPOSITE): "Checking object integrity in Amazon S3" in the
Amazon S3 user guide.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence

from crc32c import crc32c

from lfsproxy.checksums import combine_crc32c

CHECKSUM = "x-amz-checksum-crc32c"
"""The header field of the checksum that S3 verifies and keeps."""
CHECKSUM_TYPE = "x-amz-checksum-type"
FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"


def encode_crc(crc: int) -> str:
    """A CRC-32C as S3 writes it: big-endian, in base64."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode("ascii")


def decode_crc(text: str) -> int | None:
    """The CRC-32C that S3 wrote; None for anything else, a composite one too."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return int.from_bytes(data, "big") if len(data) == 4 else None


def whole_crc(pieces: Iterable[tuple[int, int]]) -> int:
    """The CRC-32C of pieces one behind the other, each given by its own and its size in bytes."""
    whole = 0
    for crc, size in pieces:
        whole = combine_crc32c(whole, crc, size)
    return whole


def composite_crc(crcs: Sequence[int]) -> str:
    """The checksum of type COMPOSITE of an object whose parts have these: that of them, and their number."""
    return f"{encode_crc(crc32c(b''.join(crc.to_bytes(4, 'big') for crc in crcs)))}-{len(crcs)}"


def told_crc(headers: Mapping[str, str]) -> int | None:
    """The CRC-32C of the whole object where the answer about it tells that one.

    Stores that do not name the type may give a composite one without the number of its parts; of those, only
    what is surely no object of several parts is believed.
    """
    kind = headers.get(CHECKSUM_TYPE, "")
    if kind != FULL_OBJECT and (kind or "-" in headers.get("etag", "")):
        return None
    return decode_crc(headers.get(CHECKSUM, ""))
