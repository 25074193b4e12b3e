"""Broker addresses in answers: listed, and rewritten without another byte changed."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.admin import DescribeClusterResponse
from kafka.protocol.metadata import FindCoordinatorResponse, MetadataResponse
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.wire.addresses import (
    brokers_named,
    rewrite,
)
from lfsproxy.wire.apis import KafkaApi

BROKERS = [(0, "kafka-0.example", 9092), (1, "kafka-1", 9093), (7, "10.0.0.7", 1)]


def proxied(node: int, host: str, port: int) -> tuple[str, int]:
    return "proxy", 19093 + node


def metadata(version: int, brokers: list[tuple[int, str, int]]) -> bytes:
    Topic = MetadataResponse.MetadataResponseTopic
    partition = Topic.MetadataResponsePartition(
        version=version,
        partition_index=0,
        leader_id=1,
        replica_nodes=[0, 1],
        isr_nodes=[1],
        offline_replicas=[0],
    )
    topic = Topic(version=version, name="demo-topic", partitions=[partition])
    return encoded(
        MetadataResponse(
            version=version,
            throttle_time_ms=3,
            brokers=[
                MetadataResponse.MetadataResponseBroker(
                    version=version, node_id=node, host=host, port=port, rack="r" if node else None
                )
                for node, host, port in brokers
            ],
            cluster_id="cluster",
            controller_id=1,
            topics=[topic],
        ),
        version,
    )


def cluster(version: int, brokers: list[tuple[int, str, int]], endpoint_type: int = 1) -> bytes:
    fields: dict[str, Any] = {"endpoint_type": endpoint_type} if version else {}
    return encoded(
        DescribeClusterResponse(
            version=version,
            error_message="none",
            cluster_id="cluster",
            controller_id=1,
            brokers=[
                DescribeClusterResponse.DescribeClusterBroker(
                    version=version, broker_id=node, host=host, port=port, rack=None
                )
                for node, host, port in brokers
            ],
            **fields,
        ),
        version,
    )


def coordinator(version: int, brokers: list[tuple[int, str, int]]) -> bytes:
    """Before version 4 an answer names one broker."""
    if version < 4:
        node, host, port = brokers[0]
        return encoded(
            FindCoordinatorResponse(version=version, node_id=node, host=host, port=port, error_message="no"),
            version,
        )
    return encoded(
        FindCoordinatorResponse(
            version=version,
            coordinators=[
                FindCoordinatorResponse.Coordinator(
                    version=version,
                    key=f"group-{node}",
                    node_id=node,
                    host=host,
                    port=port,
                    error_message=None,
                )
                for node, host, port in brokers
            ],
        ),
        version,
    )


def encoded(message: Any, version: int) -> bytes:
    """The body with the tagged fields of its header."""
    flexible = type(message).flexible_version_q(version)
    return (b"\0" if flexible else b"") + bytes(message.encode(version=version))


def moved(brokers: list[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
    return [(node, *proxied(node, host, port)) for node, host, port in brokers]


class AddressTests(SynchronousTestCase):
    def check(self, key: int, version: int, before: bytes, after: bytes) -> None:
        frame = rewrite(key, version, 99, before, proxied)
        self.assertEqual(frame, struct.pack(">ii", 4 + len(after), 99) + after)

    def test_metadata_of_every_version_is_rewritten(self) -> None:
        for version in range(14):
            body = metadata(version, BROKERS)
            self.check(KafkaApi.METADATA, version, body, metadata(version, moved(BROKERS)))
            self.assertEqual(
                brokers_named(KafkaApi.METADATA, version, body),
                {node: (host, port) for node, host, port in BROKERS},
            )

    def test_describe_cluster_of_every_version_is_rewritten(self) -> None:
        for version in range(3):
            body = cluster(version, BROKERS)
            self.check(KafkaApi.DESCRIBE_CLUSTER, version, body, cluster(version, moved(BROKERS)))

    def test_find_coordinator_of_every_version_is_rewritten(self) -> None:
        for version in range(7):
            brokers = BROKERS if version >= 4 else BROKERS[1:2]
            body = coordinator(version, brokers)
            self.check(KafkaApi.FIND_COORDINATOR, version, body, coordinator(version, moved(brokers)))
            self.assertEqual(len(brokers_named(KafkaApi.FIND_COORDINATOR, version, body)), len(brokers))

    def test_controllers_stay(self) -> None:
        for version in (1, 2):
            body = cluster(version, BROKERS, endpoint_type=2)
            self.check(KafkaApi.DESCRIBE_CLUSTER, version, body, body)
            self.assertEqual(brokers_named(KafkaApi.DESCRIBE_CLUSTER, version, body), {})

    def test_node_minus_1_stays(self) -> None:
        for version in range(7):
            body = coordinator(version, [(-1, "", -1)])
            self.check(KafkaApi.FIND_COORDINATOR, version, body, body)
            self.assertEqual(brokers_named(KafkaApi.FIND_COORDINATOR, version, body), {})

    def test_an_answer_that_names_nobody_stays(self) -> None:
        for version in range(14):
            body = metadata(version, [])
            self.check(KafkaApi.METADATA, version, body, body)

    def test_tagged_fields_that_are_not_known_stay(self) -> None:
        body = b"\1\7\2ab" + metadata(12, BROKERS)[1:-1] + b"\1\5\1z"
        frame = rewrite(KafkaApi.METADATA, 12, 1, body, proxied)
        self.assertEqual(frame[8:13], b"\1\7\2ab")
        self.assertEqual(frame[-4:], b"\1\5\1z")

    @given(
        st.sampled_from(
            [(KafkaApi.METADATA, 13), (KafkaApi.DESCRIBE_CLUSTER, 2), (KafkaApi.FIND_COORDINATOR, 6)]
        ),
        st.integers(0, 20),
        st.data(),
    )
    def test_mutations_give_an_answer_or_a_framing_error(
        self, api: tuple[KafkaApi, int], version: int, data: st.DataObject
    ) -> None:
        key, most = api
        version = min(version, most)
        make = {
            KafkaApi.METADATA: metadata,
            KafkaApi.DESCRIBE_CLUSTER: cluster,
            KafkaApi.FIND_COORDINATOR: coordinator,
        }[key]
        body = bytearray(make(version, BROKERS))
        for _ in range(data.draw(st.integers(1, 3))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        try:
            brokers_named(key, version, bytes(body))
            rewrite(key, version, 1, bytes(body), lambda *_: ("proxy", 19093))
        except FramingError:
            return
