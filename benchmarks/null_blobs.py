"""What the ends that keep nothing give to a consumer: envelopes in a topic's log, and zeros for their blobs.

The topic ``blob-N`` has one envelope, of a blob of N bytes. ``envelopes-N`` has N of them in one batch, each
of a blob of 100 bytes.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from functools import cache

from crc32c import crc32c

from lfsproxy.checksums import combine_crc32c
from lfsproxy.envelope import DEFAULT_CONTENT_TYPE, Envelope, topic_prefix
from lfsproxy.s3.crc import CHECKSUM, CHECKSUM_TYPE, FULL_OBJECT, encode_crc
from lfsproxy.settings import DEFAULTS
from tests.integration.frames import batch, lfs, records

FETCH = 4
"""The version of Fetch that is answered, https://kafka.apache.org/protocol#The_Messages_Fetch."""
SMALL = 100
ZEROS = bytes(1024 * 1024)


def fetch(topic: str) -> bytes:
    """The body of a request for partition 0 of a topic; whatever its offset, the answer is the same."""
    name = topic.encode()
    limits = struct.pack(">iiiib", -1, 500, 1, 2**31 - 1, 0)
    return limits + struct.pack(f">ih{len(name)}siiqi", 1, len(name), name, 1, 0, 0, 2**31 - 1)


def fetched(body: bytes) -> bytes:
    """The answer to a request, from behind its correlation id on."""
    (length,) = struct.unpack_from(">h", body, 21)
    name = body[23 : 23 + length]
    data = log(name.decode())
    topic = struct.pack(f">iih{length}s", 0, 1, length, name)
    return topic + struct.pack(">iihqqii", 1, 0, 0, 9, 9, 0, len(data)) + data


@cache
def log(topic: str) -> bytes:
    """A topic's one batch."""
    what, _, digits = topic.partition("-")
    count, size = (1, int(digits)) if what == "blob" else (int(digits), SMALL)
    value = Envelope(
        DEFAULTS.s3_bucket,
        f"{topic_prefix(DEFAULTS.namespace, topic)}{size}",
        DEFAULT_CONTENT_TYPE,
        size,
        "sha256",
        digest(size),
    ).to_bytes()
    return batch(records(*[lfs(value)] * count), count)


def digest(size: int) -> str:
    """The SHA-256 of so many zeros."""
    found = hashlib.sha256()
    for piece in zeros(size):
        found.update(piece)
    return found.hexdigest()


def zeros(size: int) -> Iterator[memoryview]:
    """So many, a MiB at a time."""
    for start in range(0, size, len(ZEROS)):
        yield memoryview(ZEROS)[: size - start]


@cache
def blob(path: bytes) -> tuple[bytes, int] | None:
    """The head of the store's answer to a GET, and how many zeros follow; None for what is no blob."""
    found = re.search(rb"/lfs/[^?]*/(\d+)(\?|$)", path)
    if found is None:
        return None
    size, crc = int(found[1]), 0
    for piece in zeros(size):
        crc = combine_crc32c(crc, crc32c(piece), len(piece))
    fields = f"{CHECKSUM}: {encode_crc(crc)}\r\n{CHECKSUM_TYPE}: {FULL_OBJECT}\r\n"
    return f'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: {size}\r\n{fields}\r\n'.encode(), size
