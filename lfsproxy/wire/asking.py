"""The frame of a request that the proxy makes by itself, with the header of versions 0 and 1.

::

    size:int32 api_key:int16 api_version:int16 correlation_id:int32 client_id:nullable_string body
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.primitives import INT32

CLIENT_ID: Final = "lfsproxy"
"""By which brokers know the proxy's own requests, in their log and in quotas."""
_HEADER = Struct(">hhih")


def own_request(api: KafkaApi, version: int, correlation_id: int, body: bytes) -> bytes:
    """The whole frame, its length field included."""
    frame = _HEADER.pack(api, version, correlation_id, len(CLIENT_ID)) + CLIENT_ID.encode() + body
    return INT32.pack(len(frame)) + frame
