"""What ``lfsproxy check`` tries of the brokers: IKafkaProbe over the proxy's own client."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from kafka.protocol.admin import DescribeConfigsRequest, DescribeConfigsResponse
from twisted.internet.error import ConnectError
from zope.interface import implementer

from lfsproxy.broker.client import kafka_client
from lfsproxy.broker.producer import HIGHEST_VERSION, LOWEST_VERSION
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import BrokerUnavailable
from lfsproxy.kafka.messages import (
    API_VERSIONS,
    FETCH,
    INIT_PRODUCER_ID,
    LIST_OFFSETS,
    METADATA,
    Api,
    Build,
    highest,
    ranges_of,
)
from lfsproxy.kafka.pool import Pool
from lfsproxy.kafka.upstream import BROKERS_ONLY, CONNECT_SECONDS, Upstream
from lfsproxy.net import reach
from lfsproxy.net.connecting import host_endpoint
from lfsproxy.probing import Certificate, IKafkaProbe, Written
from lfsproxy.settings import Address, Settings
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.versions import looks_capped

KEY: Final = b"lfsproxy-check"
"""The record's key, without which a compacted topic takes none."""
HEADER: Final = (b"lfsproxy-check", b"written by `lfsproxy check`; it can be ignored")
DESCRIBE_CONFIGS: Final = Api(
    KafkaApi.DESCRIBE_CONFIGS, 1, 4, DescribeConfigsRequest, DescribeConfigsResponse
)
_TOPIC: Final = 2
_BROKER: Final = 4
"""Kinds of what has a configuration, in DescribeConfigs."""


@implementer(IKafkaProbe)
class KafkaProbe:
    """Asks with connections of its own. Raises SettingError where a file of the settings cannot be used."""

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self.uses_tls = settings.uses_tls
        self.signs_in = bool(settings.kafka_sasl_mechanism)
        self.has_identity = settings.has_identity
        self._reactor = reactor
        self._upstream = Upstream(reactor, settings)
        self._upstream.check_files()
        self._client = kafka_client(reactor, settings, self._upstream)
        self._pool = Pool(reactor, self._upstream)
        self._nodes: dict[Address, int] = {}

    async def resolve(self, address: Address) -> Sequence[str]:
        try:
            return await reach.resolve(self._reactor, address.host or "localhost")
        except (ConnectError, OSError, ValueError) as error:
            raise self._upstream.unreached(address, error) from None

    async def connect(self, address: Address) -> None:
        host = address.host or "localhost"
        try:
            await reach.connect(host_endpoint(self._reactor, host, address.port, CONNECT_SECONDS))
        except (ConnectError, OSError, ValueError) as error:
            raise self._upstream.unreached(address, error) from None

    async def handshake(self, address: Address) -> Certificate:
        stream = await self._upstream.connect([address])
        try:
            return reach.shown_certificate(stream.transport)
        finally:
            stream.abort()

    async def sign_in(self, address: Address) -> float | None:
        stream, seconds = await self._upstream.connect_signed_in([address])
        stream.close()
        return seconds

    async def lacks(self, address: Address) -> tuple[Sequence[str], Sequence[str]]:
        ranges = ranges_of(API_VERSIONS.decode(0, await self._upstream.ping([address])))
        if not BROKERS_ONLY & set(ranges):
            raise self._upstream.controller(address)
        lacking = [
            api.key.kafka_name for api in (METADATA, LIST_OFFSETS, FETCH) if api.version(ranges) is None
        ]
        if highest(ranges, KafkaApi.PRODUCE, LOWEST_VERSION, HIGHEST_VERSION) is None:
            lacking.append(KafkaApi.PRODUCE.kafka_name)
        optional = INIT_PRODUCER_ID
        return lacking, [] if optional.version(ranges) is not None else [optional.key.kafka_name]

    async def is_lfs_proxy(self, address: Address) -> bool:
        ranges = ranges_of(API_VERSIONS.decode(0, await self._upstream.ping([address])))
        return looks_capped(ranges)

    async def brokers(self, address: Address) -> Mapping[int, Address]:
        named = await self._upstream.fetch_brokers([address])
        found = {node: Address(host, port) for node, (host, port) in named.items()}
        self._nodes |= {each: node for node, each in found.items()}
        return found

    async def partitions(self, topic: str) -> int:
        return len((await self._client.cluster.topic(topic, create=False)).leaders)

    async def largest_batch(self, address: Address, topic: str | None) -> int | None:
        name = "message.max.bytes" if topic is None else "max.message.bytes"
        connection = await self._pool.get(address)
        if DESCRIBE_CONFIGS.version(connection.ranges) is None:
            return None
        # A broker is asked for its own only. A topic's any broker knows, also one that is reached by an
        # address which no broker tells, as that of a load balancer.
        if topic is not None:
            asking = _config_of(name, _TOPIC, topic)
        elif (node := self._nodes.get(address)) is not None:
            asking = _config_of(name, _BROKER, str(node))
        else:
            return None
        answer = await connection.ask(DESCRIBE_CONFIGS, asking)
        for found in answer.results:
            if found.error_code in (
                KafkaCode.TOPIC_AUTHORIZATION_FAILED,
                KafkaCode.CLUSTER_AUTHORIZATION_FAILED,
            ):
                return None
            if found.error_code:
                raise BrokerUnavailable(f"{address} answers error {found.error_code} to DescribeConfigs")
            for entry in found.configs:
                if entry.name == name and entry.value is not None:
                    return int(entry.value)
        return None

    async def write(self, topic: str) -> Written:
        publisher = self._client.publisher
        value = f"written by lfsproxy check at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}".encode()
        partition = await publisher.choose_partition(topic, KEY, None)
        placed = await publisher.publish(topic, partition, KEY, value, [HEADER], None)
        return Written(placed.partition, placed.offset, value)

    async def read(self, topic: str, written: Written) -> bool:
        found = await self._client.log.read(topic, written.partition, written.offset, len(written.value))
        return found.value == written.value and HEADER in found.headers

    async def close(self) -> None:
        await self._client.stop()
        await self._pool.stop()


def _config_of(name: str, kind: int, of: str) -> Build:
    """One entry of the configuration that a broker or a topic has."""
    resource = cast(Any, DescribeConfigsRequest).DescribeConfigsResource

    def build(version: int) -> Mapping[str, Any]:
        asked = resource(version=version, resource_type=kind, resource_name=of, configuration_keys=[name])
        return {"resources": [asked], "include_synonyms": False, "include_documentation": False}

    return build
