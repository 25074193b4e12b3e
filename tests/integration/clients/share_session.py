"""A share consumer of bare frames: it is given an answer's bytes, from behind the correlation id on.

    with ShareSession(port, topic_id) as session:
        session.ask_to_fetch()
        session.answer()

The layouts are those of Kafka's ShareFetchRequest, ShareAcknowledgeRequest and ShareGroupHeartbeatRequest.
Every method blocks.
"""

from __future__ import annotations

import base64
import os
import socket
import struct

from kafka.protocol.metadata import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
)

from lfsproxy.devstack.ports import HOST
from lfsproxy.wire.apis import KafkaApi
from tests.integration.cluster import SECONDS, ask
from tests.wire.shares import array, sized

GROUP, SHARE = 0, 2
"""Whose coordinator is asked for: a group's, or that of a group's state of one partition."""
_LIMITS = struct.pack(">iiiii", 500, 1, 1024 * 1024, 10, 10)
"""Wait, least and most bytes, most records, and records of a batch."""


def id_of(port: int, topic: str) -> bytes:
    """A topic's id."""
    request = MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name=topic)])
    return bytes(ask(port, request, 12, MetadataResponse).topics[0].topic_id.bytes)


def coordinator(port: int, kind: int, key: str) -> int:
    """The node that coordinates, as soon as there is one."""
    while True:
        request = FindCoordinatorRequest(key_type=kind, coordinator_keys=[key])
        (found,) = ask(port, request, 6, FindCoordinatorResponse).coordinators
        if not found.error_code:
            return int(found.node_id)


class ShareSession:
    """A session of partition 0 at a node. Use it as a context manager."""

    def __init__(self, port: int, topic_id: bytes, group: str = "raw", version: int = 2) -> None:
        self._topic_id = topic_id
        self._version = version
        self._group = group
        self._epoch = 0
        self._member = base64.urlsafe_b64encode(b"\1" + os.urandom(15))[:22]
        self._connection = socket.create_connection((HOST, port), SECONDS)
        self._answers = self._connection.makefile("rb")

    def __enter__(self) -> ShareSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._connection.close()

    def join(self, coordinator_port: int, topic: str) -> None:
        """Become a member of the group, by its coordinator."""
        body = struct.pack(">i", 0) + b"\0" + array([sized(topic.encode())])
        with socket.create_connection((HOST, coordinator_port), SECONDS) as connection:
            connection.sendall(self._request(KafkaApi.SHARE_GROUP_HEARTBEAT, 1, body))
            with connection.makefile("rb") as answers:
                (size,) = struct.unpack(">i", answers.read(4))
                _, error = struct.unpack_from(">xih", answers.read(size), 4)
        assert not error, error

    def ask_to_fetch(self) -> None:
        """What comes next, with the partition in the first request."""
        fetched = struct.pack(">i", 0) + array([]) + b"\0"
        topics = [] if self._epoch else [self._topic_id + array([fetched]) + b"\0"]
        renews = b"\0\0" if self._version >= 2 else b""
        self._ask(KafkaApi.SHARE_FETCH, _LIMITS + renews + array(topics) + array([]))

    def ask_to_accept(self, offset: int) -> None:
        """One record is acknowledged."""
        batch = struct.pack(">qq", offset, offset) + array([b"\1"]) + b"\0"
        accepted = struct.pack(">i", 0) + array([batch]) + b"\0"
        renews = b"\0" if self._version >= 2 else b""
        body = renews + array([self._topic_id + array([accepted]) + b"\0"])
        self._ask(KafkaApi.SHARE_ACKNOWLEDGE, body)

    def fetch_until(self, value: bytes) -> None:
        """Fetch until an answer has the value."""
        answer = b""
        while value not in answer:
            self.ask_to_fetch()
            answer = self.answer()

    def answer(self) -> bytes:
        """The next answer."""
        size, _ = struct.unpack(">ii", self._answers.read(8))
        return self._answers.read(size - 4)

    def _ask(self, key: KafkaApi, body: bytes) -> None:
        epoch = struct.pack(">i", self._epoch)
        self._connection.sendall(self._request(key, self._version, epoch + body))
        self._epoch += 1

    def _request(self, key: KafkaApi, version: int, body: bytes) -> bytes:
        whose = sized(self._group.encode()) + sized(self._member)
        request = struct.pack(">hhih", key, version, 7, 3) + b"raw\0" + whose + body + b"\0"
        return struct.pack(">i", len(request)) + request
