"""What a multipart upload is to S3: its id, its parts, and the document that completes it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from lfsproxy.s3.answers import Answer, UnreadableAnswer, parse_xml, text_of
from lfsproxy.s3.crc import composite_crc, encode_crc, whole_crc

MAX_PARTS = 10_000
"""Parts of one multipart upload, at most ("Amazon S3 multipart upload limits")."""


@attrs.frozen
class Begun:
    """A multipart upload that was created. ``doubtful``: an earlier try may have made another one.
    ``whole``: the store has said that it keeps the CRC-32C of the whole object."""

    upload_id: str
    doubtful: bool
    whole: bool


@attrs.frozen
class Part:
    """A part that S3 has: number from 1, its ETag, its CRC-32C where checksums are on, its size in bytes."""

    number: int
    etag: str
    crc: int | None
    size: int


def crcs_of(parts: Sequence[Part]) -> Sequence[str]:
    """What S3 may say of an object of these parts: first the checksum of the whole, then the composite one.
    Neither where a part has none."""
    pieces = [(part.crc, part.size) for part in parts if part.crc is not None]
    if len(pieces) < len(parts):
        return ()
    return encode_crc(whole_crc(pieces)), composite_crc([crc for crc, _ in pieces])


def told_at_the_end(answer: Answer) -> str:
    """The checksum that S3 tells in its answer to CompleteMultipartUpload; empty where it tells none."""
    try:
        return text_of(parse_xml(answer.body), "ChecksumCRC32C")
    except UnreadableAnswer:
        return ""


def complete_xml(parts: Sequence[Part]) -> bytes:
    """The document of CompleteMultipartUpload, which lists the parts."""
    lines = ['<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">']
    for part in parts:
        etag = part.etag.replace("&", "&amp;").replace("<", "&lt;")
        crc = f"<ChecksumCRC32C>{encode_crc(part.crc)}</ChecksumCRC32C>" if part.crc is not None else ""
        lines.append(f"<Part>{crc}<ETag>{etag}</ETag><PartNumber>{part.number}</PartNumber></Part>")
    return "".join([*lines, "</CompleteMultipartUpload>"]).encode("utf-8")
