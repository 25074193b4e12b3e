"""A broker and a store that take everything and keep nothing, so that little but the proxy costs time.

    python -m benchmarks.null_ends BROKER_PORT STORE_PORT

Bytes of records and blobs are dropped in the kernel (MSG_TRUNC of recv(2)), never copied into the process.
Some processes share the ports, with a thread for each connection. What is small (Metadata, ApiVersions,
ListOffsets) is answered as by the tests' scripted cluster. What is read is made up (``null_blobs``). A
question about the topic ``topics-N`` is answered with N topics; ``partitions-N`` has N, every other topic has
one partition.
"""

from __future__ import annotations

import multiprocessing
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from kafka.protocol.consumer import ListOffsetsRequest
from kafka.protocol.metadata import MetadataRequest, MetadataResponse

from benchmarks import null_blobs
from lfsproxy.devstack.ports import HOST
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from lfsproxy.wire.apis import KafkaApi
from tests.relay.broker import RANGES, api_versions, list_offsets, metadata

TOPIC = "benchmark"
APIS = [(key, low, min(high, 8)) for key, low, high in RANGES]
"""Up to version 8 a Produce request has no compact fields."""
PROCESSES = 4
"""So that the ends are not what is measured."""
_START = 256
"""Bytes of a Produce request that are looked at."""


def drop(connection: socket.socket, count: int) -> None:
    """Take ``count`` bytes and keep none."""
    while count:
        got = len(connection.recv(min(count, 2**20), socket.MSG_TRUNC))
        if not got:
            raise ConnectionError
        count -= got


def exactly(connection: socket.socket, count: int) -> bytes:
    """``count`` bytes. Raises ConnectionError at the end."""
    data = connection.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        raise ConnectionError
    return data


def broker(connection: socket.socket, address: tuple[str, int]) -> None:
    """One connection to the broker."""
    while True:
        head = exactly(connection, 4)
        (size,) = struct.unpack(">i", head)
        start = exactly(connection, min(size, _START))
        drop(connection, size - len(start))
        api_key, version, correlation_id, length = struct.unpack_from(">hhih", start)
        if api_key == KafkaApi.PRODUCE:
            if answer := produced(start[10 + max(length, 0) :], version, correlation_id):
                connection.sendall(answer)
            continue
        answer = struct.pack(">i", correlation_id)
        if api_key == KafkaApi.API_VERSIONS:
            answer += api_versions(version, APIS)
        elif api_key == KafkaApi.METADATA:
            asked = _decoded(MetadataRequest, head + start, version).topics
            answer += described(version, address, asked[0].name if asked else TOPIC)
        elif api_key == KafkaApi.LIST_OFFSETS:
            (topic,) = _decoded(ListOffsetsRequest, head + start, version).topics
            answer += list_offsets(version, topic.name, topic.partitions[0].partition_index, 0)
        elif api_key == KafkaApi.FETCH:
            answer += null_blobs.fetched(start[10 + max(length, 0) :])
        connection.sendall(struct.pack(">i", len(answer)) + answer)


def _decoded(message: Any, frame: bytes, version: int) -> Any:
    return message.decode(frame, version=version, header=True, framed=True)


@cache
def described(version: int, address: tuple[str, int], name: str) -> bytes:
    """What follows the correlation id of an answer to Metadata about a topic."""
    what, _, digits = name.partition("-")
    count = int(digits) if digits.isdecimal() else 1
    names = [f"{name}-{index}" for index in range(count)] if what == "topics" else [name]
    topics = [topic(version, each, count if what == "partitions" else 1) for each in names]
    return metadata(version, {0: address}, topics)


def topic(version: int, name: str, partitions: int) -> MetadataResponse.MetadataResponseTopic:
    """A topic, as an answer to Metadata has it."""
    Topic = MetadataResponse.MetadataResponseTopic
    found = [
        Topic.MetadataResponsePartition(
            version=version, partition_index=index, leader_id=0, replica_nodes=[0], isr_nodes=[0]
        )
        for index in range(partitions)
    ]
    return Topic(version=version, error_code=0, name=name, partitions=found)


def produced(body: bytes, version: int, correlation_id: int) -> bytes:
    """The answer to a Produce request of version 3 to 8, b"" where it wants none.

    Its partitions are of one topic and have numbers side by side.
    """
    (transaction,) = struct.unpack_from(">h", body)
    at = 2 + max(transaction, 0)
    (acks,) = struct.unpack_from(">h", body, at)
    at += 6 + 4
    (length,) = struct.unpack_from(">h", body, at)
    topic = body[at + 2 : at + 2 + length].decode()
    count, first = struct.unpack_from(">ii", body, at + 2 + length)
    answers = [PartitionAnswer(topic, first + each, 0, 0, log_start_offset=0) for each in range(count)]
    return ProduceResponse(answers).encode(version, correlation_id) if acks else b""


def store(connection: socket.socket) -> None:
    """One connection to the store."""
    waiting = b""
    while True:
        while b"\r\n\r\n" not in waiting:
            got = connection.recv(65536)
            if not got:
                return
            waiting += got
        head, _, waiting = waiting.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        left = int(length[1]) if length else 0
        drop(connection, max(0, left - len(waiting)))
        waiting = waiting[left:]
        method, path = head.split(b" ", 2)[:2]
        found = null_blobs.blob(path) if method == b"GET" else None
        if found is None:
            connection.sendall(stored(head))
            continue
        connection.sendall(found[0])
        for piece in null_blobs.zeros(found[1]):
            connection.sendall(piece)


def stored(head: bytes) -> bytes:
    """The answer to a request."""
    method, path = head.split(b" ", 2)[:2]
    body = b""
    if method == b"POST":
        kind = b"InitiateMultipartUploadResult" if b"uploads" in path else b"CompleteMultipartUploadResult"
        body = b"<%b><UploadId>u</UploadId><ETag>&quot;e&quot;</ETag></%b>" % (kind, kind)
    elif method == b"GET":
        body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    return b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)


def serve(server: socket.socket, each: Callable[[socket.socket], None]) -> None:
    """Accept for ever, with a thread for each connection."""
    threading.stack_size(2**18)

    def run(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # An error ends a connection as its end does.
        with connection, suppress(OSError):
            each(connection)

    while True:
        threading.Thread(target=run, args=(server.accept()[0],), daemon=True).start()


def both(broker_end: socket.socket, store_end: socket.socket) -> None:
    """Serve both ends in this process."""
    address = HOST, int(broker_end.getsockname()[1])
    threading.Thread(target=serve, args=(store_end, store), daemon=True).start()
    serve(broker_end, lambda connection: broker(connection, address))


def main() -> None:
    ends = [socket.create_server((HOST, int(port)), backlog=512) for port in sys.argv[1:]]
    for _ in range(PROCESSES - 1):
        multiprocessing.Process(target=both, args=ends, daemon=True).start()
    both(*ends)


if __name__ == "__main__":
    main()
