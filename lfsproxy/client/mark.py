"""What a producer says to have a record offloaded: its headers, and the checksum it may expect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import BinaryIO

import attrs

from lfsproxy.checksums import Buffer, new_checksum, parse_checksum

DEFAULT_ALGORITHM = "sha256"
MARK_MIN_SIZE = 1_000_000
"""Bytes: a value below it fits into Kafka's own limit of 1 MiB, with its key and headers."""

_CHUNK_BYTES = 1024 * 1024
_MARK = "LFS_BLOB"

Headers = Mapping[str, bytes | str | None] | Iterable[tuple[str, bytes | str | None]]


def lfs_headers(
    checksum: str | None = None, algorithm: str | None = None, content_type: str | None = None
) -> list[tuple[str, bytes]]:
    """The record headers that ask the proxy to offload a value, as every Kafka client for Python takes them.

    ``checksum`` is what the value must have, in hex of ``algorithm`` (sha256 where it is None); without one
    the proxy checks nothing. ``algorithm`` is also the envelope's; None leaves it to the proxy. Raises
    InvalidChecksum for an unknown algorithm, and for a checksum that is not hex of its length.
    """
    headers: list[tuple[str, bytes]] = []
    if checksum is not None:
        algorithm = algorithm or DEFAULT_ALGORITHM
        checksum = parse_checksum(algorithm, checksum)
    if algorithm is not None:
        headers.append(("LFS_BLOB_ALG", new_checksum(algorithm).name.encode("ascii")))
    if content_type is not None:
        headers.append(("content-type", content_type.encode("utf-8")))
    return [*headers, (_MARK, (checksum or "").encode("ascii"))]


@attrs.frozen(kw_only=True)
class MarkBySize:
    """Marks large values for the proxy, and leaves small ones to Kafka.

    Values of at least ``mark_min_size`` bytes (0: all; a null value never) get the header LFS_BLOB: empty, or
    with ``mark_checksum`` the value's checksum in ``algorithm``, with LFS_BLOB_ALG. Raises ValueError for a
    negative size, InvalidChecksum for an unknown algorithm.
    """

    mark_min_size: int = MARK_MIN_SIZE
    mark_checksum: bool = False
    algorithm: str = DEFAULT_ALGORITHM

    def __attrs_post_init__(self) -> None:
        if not self.mark_min_size >= 0:
            raise ValueError(f"mark_min_size is {self.mark_min_size}, 0 or more bytes are needed")
        new_checksum(self.algorithm)

    def headers(self, value: Buffer | None, headers: Headers | None = None) -> list[tuple[str, bytes]]:
        """A record's headers, with the mark where its value is large. A mark that is there is left alone.

        A new list, of (name, bytes), as every Kafka client for Python takes it.
        """
        given = [
            (name, text.encode("utf-8") if isinstance(text, str) else text)
            for name, text in (headers.items() if isinstance(headers, Mapping) else headers or ())
        ]
        kept: list[tuple[str, bytes]] = [*given]  # type: ignore[list-item]  # a null header value stays one
        if value is None or len(value) < self.mark_min_size or any(name == _MARK for name, _ in kept):
            return kept
        if not self.mark_checksum:
            return [*kept, *lfs_headers()]
        return [*kept, *lfs_headers(checksum_of(value, self.algorithm), self.algorithm)]


def checksum_of(data: Buffer | BinaryIO, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """The checksum of bytes, or of a seekable file from where it stands (it is left there), in hex."""
    checksum = new_checksum(algorithm)
    if isinstance(data, Buffer):
        checksum.update(data)
    else:
        start = data.tell()
        while chunk := data.read(_CHUNK_BYTES):
            checksum.update(chunk)
        data.seek(start)
    return checksum.hexdigest()
