"""A broker and a store that take everything and keep nothing, so that little but the proxy costs time.

    python -m benchmarks.null_ends BROKER_PORT STORE_PORT

Bytes of records and blobs are dropped in the kernel (MSG_TRUNC of recv(2)), never copied into the process.
Some processes share the ports, with a thread for each connection. What is small (Metadata, ApiVersions,
ListOffsets) is answered as by the tests' scripted cluster.
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

from kafka.protocol.metadata import MetadataResponse

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


def broker(connection: socket.socket, addresses: dict[int, tuple[str, int]]) -> None:
    """One connection to the broker."""
    while True:
        (size,) = struct.unpack(">i", exactly(connection, 4))
        start = exactly(connection, min(size, _START))
        drop(connection, size - len(start))
        api_key, version, correlation_id, length = struct.unpack_from(">hhih", start)
        if api_key == KafkaApi.PRODUCE:
            connection.sendall(produced(start[10 + max(length, 0) :], version, correlation_id))
            continue
        answer = struct.pack(">i", correlation_id)
        if api_key == KafkaApi.API_VERSIONS:
            answer += api_versions(version, APIS)
        elif api_key == KafkaApi.METADATA:
            answer += metadata(version, addresses, [topic(version)])
        elif api_key == KafkaApi.LIST_OFFSETS:
            answer += list_offsets(version, TOPIC, 0, 0)
        connection.sendall(struct.pack(">i", len(answer)) + answer)


def topic(version: int) -> MetadataResponse.MetadataResponseTopic:
    """The one topic, as an answer to Metadata has it."""
    Topic = MetadataResponse.MetadataResponseTopic
    partition = Topic.MetadataResponsePartition(
        version=version, partition_index=0, leader_id=0, replica_nodes=[0], isr_nodes=[0]
    )
    return Topic(version=version, error_code=0, name=TOPIC, partitions=[partition])


def produced(body: bytes, version: int, correlation_id: int) -> bytes:
    """The answer to a Produce request of one partition, of version 3 to 8."""
    (transaction,) = struct.unpack_from(">h", body)
    at = 2 + max(transaction, 0) + 6 + 4
    (length,) = struct.unpack_from(">h", body, at)
    topic = body[at + 2 : at + 2 + length].decode()
    (partition,) = struct.unpack_from(">i", body, at + 2 + length + 4)
    return ProduceResponse([PartitionAnswer(topic, partition, 0, 0, log_start_offset=0)]).encode(
        version, correlation_id
    )


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
        found = re.search(rb"(?i)content-length: (\d+)", head)
        left = int(found[1]) if found else 0
        drop(connection, max(0, left - len(waiting)))
        waiting = waiting[left:]
        connection.sendall(stored(head))


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

    def run(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # An error ends a connection as its end does.
        with connection, suppress(OSError):
            each(connection)

    while True:
        threading.Thread(target=run, args=(server.accept()[0],), daemon=True).start()


def both(broker_end: socket.socket, store_end: socket.socket) -> None:
    """Serve both ends in this process."""
    addresses = {0: (HOST, int(broker_end.getsockname()[1]))}
    threading.Thread(target=serve, args=(store_end, store), daemon=True).start()
    serve(broker_end, lambda connection: broker(connection, addresses))


def main() -> None:
    ends = [socket.create_server((HOST, int(port)), backlog=512) for port in sys.argv[1:]]
    for _ in range(PROCESSES - 1):
        multiprocessing.Process(target=both, args=ends, daemon=True).start()
    both(*ends)


if __name__ == "__main__":
    main()
