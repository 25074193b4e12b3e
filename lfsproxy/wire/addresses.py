"""The brokers' addresses in Metadata, FindCoordinator and DescribeCluster answers: listed, and rewritten.

Only what stands before the last address is read, the rest (all topics of a Metadata answer) is copied. The
bodies up to there (https://kafka.apache.org/protocol), strings and arrays compact in flexible versions::

    Metadata         [tags] v3 throttle_time_ms:int32 [node_id:int32 host port:int32 v1 rack tags] ...
    FindCoordinator  [tags] v1 throttle_time_ms:int32 error_code:int16 v1 error_message
                     node_id:int32 host port:int32 ...
      from v4        tags throttle_time_ms:int32
                     [key node_id:int32 host port:int32 error_code:int16 error_message tags] ...
    DescribeCluster  tags throttle_time_ms:int32 error_code:int16 error_message v1 endpoint_type:int8
                     cluster_id controller_id:int32 [node_id:int32 host port:int32 rack v2 is_fenced tags] ...

Produce answers, which name endpoints from version 10 on, are in ``lfsproxy.wire.answers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lfsproxy.errors import FramingError
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.primitives import INT32, Reader, put_string

_FIRST_FLEXIBLE: Final[Mapping[int, int]] = {
    KafkaApi.METADATA: 9,
    KafkaApi.FIND_COORDINATOR: 3,
    KafkaApi.DESCRIBE_CLUSTER: 0,
}
_CONTROLLERS = 2
"""DescribeCluster's endpoint type: these are the controllers', which stay as they are."""

Replace = Callable[[int, str, int], tuple[str, int]]
"""From a node's id, host and port to the host and port that the client is told."""


def brokers_named(api_key: int, version: int, body: bytes) -> dict[int, tuple[str, int]]:
    """Host and port by node id, of every broker that the answer names; ``body`` follows its correlation id.

    Node -1 stands for none, and controllers are no brokers. Raises FramingError for what does not decode.
    """
    named: dict[int, tuple[str, int]] = {}

    def note(node: int, host: str, port: int) -> tuple[str, int]:
        named[node] = (host, port)
        return host, port

    _Walk(api_key, version, body, note).rest()
    return named


def rewrite(api_key: int, version: int, correlation_id: int, body: bytes, replace: Replace) -> bytes:
    """The answer's whole frame, its length field included, with the addresses that ``replace`` gives.

    Everything else stays byte for byte. Raises FramingError.
    """
    pieces = [INT32.pack(correlation_id), *_Walk(api_key, version, body, replace).rest()]
    return b"".join([INT32.pack(sum(map(len, pieces))), *pieces])


class _Walk:
    """Goes through one answer from address to address."""

    def __init__(self, api_key: int, version: int, body: bytes, replace: Replace) -> None:
        if api_key not in _FIRST_FLEXIBLE:
            raise ValueError(f"no addresses are known in answers of API {api_key}")
        self._version = version
        self._flexible = version >= _FIRST_FLEXIBLE[api_key]
        self._body = memoryview(body)
        self._reader = Reader(body, self._flexible)
        self._replace = replace
        self._pieces: list[Piece] = []
        self._copied = 0
        self._reader.tags()
        if api_key == KafkaApi.METADATA:
            self._metadata()
        elif api_key == KafkaApi.FIND_COORDINATOR:
            self._find_coordinator()
        else:
            self._describe_cluster()

    def rest(self) -> list[Piece]:
        """The whole body in pieces."""
        return [*self._pieces, self._body[self._copied :]]

    def _metadata(self) -> None:
        if self._version >= 3:
            self._reader.int32()
        for _ in range(self._reader.count(10 if not self._flexible else 9)):
            self._address()
            if self._version >= 1:
                self._reader.nullable_string()
            self._reader.tags()

    def _find_coordinator(self) -> None:
        reader = self._reader
        if self._version >= 1:
            reader.int32()
        if self._version < 4:
            reader.int16()
            if self._version >= 1:
                reader.nullable_string()
            self._address()
            return
        for _ in range(reader.count(13)):
            reader.string()
            self._address()
            reader.int16()
            reader.nullable_string()
            reader.tags()

    def _describe_cluster(self) -> None:
        reader = self._reader
        reader.int32()
        reader.int16()
        reader.nullable_string()
        if self._version >= 1 and reader.raw(1)[0] == _CONTROLLERS:
            return
        reader.string()
        reader.int32()
        for _ in range(reader.count(11)):
            self._address()
            reader.nullable_string()
            if self._version >= 2:
                reader.raw(1)
            reader.tags()

    def _address(self) -> None:
        reader = self._reader
        node = reader.int32()
        start = len(self._body) - reader.left
        host = reader.string()
        port = reader.int32()
        if node < 0:
            return
        new_host, new_port = self._replace(node, host, port)
        if not 0 <= new_port < 2**16:
            raise FramingError(f"node {node} cannot be at port {new_port}")
        out = bytearray()
        put_string(out, new_host, self._flexible)
        out += INT32.pack(new_port)
        self._pieces += [self._body[self._copied : start], bytes(out)]
        self._copied = len(self._body) - reader.left
