"""The proxy's own questions to a broker: Metadata version 5 about no topic at all, and ApiVersions version 0.

::

    Metadata     topics:[string]=0 allow_auto_topic_creation:int8=0
    ApiVersions  (nothing)

Every broker from Kafka 1.0 to 4.x speaks these versions. ApiVersions is answered before any sign-in.
"""

from __future__ import annotations

import struct
from typing import Final

PRODUCE: Final = 0
METADATA: Final = 3
VERSION: Final = 5
CLIENT_ID: Final = b"lfsproxy"
_API_VERSIONS: Final = 18


def metadata_request() -> bytes:
    """The whole frame, its length field included."""
    return _request(METADATA, VERSION, struct.pack(">ib", 0, 0))


def api_versions_request() -> bytes:
    """The whole frame, its length field included."""
    return _request(_API_VERSIONS, 0, b"")


def apis_of(body: bytes) -> frozenset[int]:
    """The keys of the APIs that an ApiVersions answer (version 0) lists; none where it is an error.

    ::

        error_code:int16 api_keys:[api_key:int16 min_version:int16 max_version:int16]
    """
    error, count = struct.unpack_from(">hi", body) if len(body) >= 6 else (-1, 0)
    if error or len(body) < 6 + 6 * count:
        return frozenset()
    return frozenset(struct.unpack_from(">h", body, 6 + 6 * index)[0] for index in range(count))


def _request(api_key: int, version: int, body: bytes) -> bytes:
    frame = struct.pack(">hhih", api_key, version, 0, len(CLIENT_ID)) + CLIENT_ID + body
    return struct.pack(">i", len(frame)) + frame
