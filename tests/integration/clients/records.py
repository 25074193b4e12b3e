"""What the tests' Kafka clients have in common: records to send, what became of each, ways to send."""

from __future__ import annotations

from typing import Any

import attrs

Headers = tuple[tuple[str, bytes | None], ...]

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
BATCH_SIZE = 8 * 1024 * 1024
"""Bytes that each client may gather to a batch, so that a test's records share one."""


@attrs.frozen
class Record:
    """A record to send, or one that was read (then with its ``offset``)."""

    value: bytes | None
    headers: Headers = ()
    key: bytes | None = None
    partition: int = 0
    offset: int = -1


@attrs.frozen
class Outcome:
    """What a client said of one record: its ``offset``, or its own name of the error and the message."""

    offset: int = -1
    error: str = ""
    message: str = ""


@attrs.frozen
class Mode:
    """A way to produce. ``acks`` is "0", "1" or "all"."""

    codec: str = "none"
    acks: str = "all"
    idempotent: bool = False
    transactional_id: str = ""


def lfs(
    value: bytes | None, *others: tuple[str, bytes | None], checksum: bytes = b"", **fields: Any
) -> Record:
    """A record to offload, with ``others`` as further headers."""
    return Record(value, (("LFS_BLOB", checksum), *others), **fields)
