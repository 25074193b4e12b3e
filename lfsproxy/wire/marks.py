"""What a record's headers ask for: LFS_BLOB, LFS_BLOB_ALG and content-type, matched exactly."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from lfsproxy.envelope import DEFAULT_CONTENT_TYPE
from lfsproxy.wire.fields import Header

BLOB = b"LFS_BLOB"
ALGORITHM = b"LFS_BLOB_ALG"
CONTENT_TYPE = b"content-type"


@attrs.frozen
class LfsMark:
    """How a record is to be offloaded.

    ``expected`` is the checksum that the client gave, as it wrote it, or None. ``algorithm`` is that
    checksum's and the envelope's, in small letters; None is the default. ``published`` are the record's
    headers without LFS_BLOB and LFS_BLOB_ALG, in their order.
    """

    expected: str | None
    algorithm: str | None
    content_type: str
    published: Sequence[Header]


def lfs_headers(headers: Sequence[Header]) -> LfsMark | None:
    """The mark of a record that asks for an offload, None where it does not: LFS_BLOB_ALG alone does not."""
    if any(name == BLOB for name, _ in headers):
        return offload_mark(headers)
    return None


def offload_mark(headers: Sequence[Header]) -> LfsMark:
    """How to offload a record, whether its headers ask for it or its size does.

    Where a header comes twice the last one counts, as Kafka's own ``lastHeader``. A null value is an empty
    one. A content type that cannot stand in an HTTP header falls back to the default.
    """
    found = {name: value or b"" for name, value in headers}
    content_type = found.get(CONTENT_TYPE, b"").decode("ascii", "replace").strip()
    if not content_type or not content_type.isascii() or not content_type.isprintable():
        content_type = DEFAULT_CONTENT_TYPE
    algorithm = _text(found.get(ALGORITHM))
    return LfsMark(
        _text(found.get(BLOB)),
        algorithm and algorithm.lower(),
        content_type,
        [(name, value) for name, value in headers if name not in (BLOB, ALGORITHM)],
    )


def _text(value: bytes | None) -> str | None:
    """None for an absent or an empty header. Whether it is a checksum is checked where it is used."""
    return value.decode("utf-8", "replace") if value else None
