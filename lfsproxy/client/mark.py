"""What a producer says to have a record offloaded: its headers, and the checksum it may expect."""

from __future__ import annotations

from typing import BinaryIO

from lfsproxy.checksums import new_checksum, parse_checksum

DEFAULT_ALGORITHM = "sha256"
_CHUNK_BYTES = 1024 * 1024


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
    return [*headers, ("LFS_BLOB", (checksum or "").encode("ascii"))]


def checksum_of(data: bytes | BinaryIO, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """The checksum of bytes, or of a seekable file from where it stands (it is left there), in hex."""
    checksum = new_checksum(algorithm)
    if isinstance(data, bytes):
        checksum.update(data)
    else:
        start = data.tell()
        while chunk := data.read(_CHUNK_BYTES):
            checksum.update(chunk)
        data.seek(start)
    return checksum.hexdigest()
