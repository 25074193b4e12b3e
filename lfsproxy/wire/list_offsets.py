"""Asks a broker for a partition's next offset, for the hint in an object's key: one ListOffsets request."""

from __future__ import annotations

import struct
from typing import Final

from kafka.protocol.consumer import ListOffsetsRequest, ListOffsetsResponse, OffsetSpec

from lfsproxy.wire.asking import CLIENT_ID

CORRELATION_ID: Final = 0x6C667300
"""Of our own requests among a client's: answers come in order, so that it need not be unique."""
_VERSIONS: Final = range(1, 8)
"""Version 0 answers with many offsets, and versions above 7 add nothing to what is asked here."""


def choose_version(broker_range: tuple[int, int] | None) -> int | None:
    """The highest version that both sides speak; None where the broker does not offer ListOffsets."""
    if broker_range is None:
        return None
    low, high = max(broker_range[0], _VERSIONS.start), min(broker_range[1], _VERSIONS.stop - 1)
    return high if low <= high else None


def encode_request(version: int, correlation_id: int, topic: str, partition: int) -> bytes:
    """The whole frame that asks for the partition's latest offset, its length field included."""
    Topic = ListOffsetsRequest.ListOffsetsTopic
    asked = Topic.ListOffsetsPartition(
        version=version, partition_index=partition, timestamp=int(OffsetSpec.LATEST)
    )
    request = ListOffsetsRequest(
        version=version,
        replica_id=-1,
        isolation_level=0,
        topics=[Topic(version=version, name=_legal(topic), partitions=[asked])],
    )
    request.with_header(correlation_id=correlation_id, client_id=CLIENT_ID)
    return bytes(request.encode(header=True, framed=True))


def decode_answer(version: int, body: bytes) -> int | None:
    """The next offset in the answer; ``body`` follows its correlation id. None where there is none."""
    flexible = ListOffsetsResponse.flexible_version_q(version)
    try:
        answer = ListOffsetsResponse.decode(body[1:] if flexible else body, version=version)
        partition = answer.topics[0].partitions[0]
        found = None if partition.error_code else int(partition.offset)
    except (struct.error, ValueError, IndexError, TypeError):
        return None
    return found if found is not None and found >= 0 else None


def _legal(topic: str) -> str:
    """A name that was not UTF-8 cannot be encoded here. No topic has such a name, so any will do."""
    return topic.encode("utf-8", "replace").decode("utf-8")
