"""Blobs for the tests of the SDKs: their bytes by a rule, and large ones that nobody holds whole."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lfsproxy.envelope import Envelope
from tests.integration.frames import MIB
from tests.integration.stack import Stack

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef

PIECE = 8 * MIB


def payload(size: int) -> bytes:
    """Byte i is i * 31 % 251, as in tests/vectors/checksums.json."""
    unit = bytes(i * 31 % 251 for i in range(251))
    return (unit * (size // len(unit) + 1))[:size]


def put_large(servers: Stack, key: str, size: int) -> tuple[bytes, str]:
    """An object of ``size`` bytes, a multiple of 8 MiB: its envelope, and the bytes' SHA-256. Blocks."""
    piece, digest = payload(PIECE), hashlib.sha256()
    for _ in range(size // PIECE):
        digest.update(piece)
    _put_repeated(servers, key, piece, size // PIECE)
    sha256 = digest.hexdigest()
    return Envelope(servers.bucket, key, "image/png", size, "sha256", sha256).to_bytes(), sha256


def _put_repeated(servers: Stack, key: str, piece: bytes, times: int) -> None:
    """An object of one piece many times, by a multipart upload."""
    s3, bucket = servers.s3_client(), servers.bucket
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts: list[CompletedPartTypeDef] = []
    for number in range(1, times + 1):
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=piece)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
