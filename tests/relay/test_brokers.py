"""Broker addresses: ports opened before clients are told of them, and the versions offered to clients."""

from __future__ import annotations

from kafka.protocol.metadata import ApiVersionsResponse, FindCoordinatorResponse, MetadataResponse
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.wire.answers import NodeEndpoint
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, produce, record, request
from tests.relay.rig import Client, RelayTestCase


def metadata_body(version: int) -> bytes:
    """Asks for no topic."""
    return {1: b"\0\0\0\0", 9: b"\0\x01\0\0\0\0"}[version]


class AddressTests(RelayTestCase):
    def addresses(self, client: Client, correlation_id: int, version: int) -> dict[int, tuple[str, int]]:
        (body,) = [reply.body for reply in client.replies if reply.correlation_id == correlation_id]
        message = MetadataResponse.decode(body[1:] if version >= 9 else body, version=version)
        return {each.node_id: (each.host, each.port) for each in message.brokers}

    def ports(self) -> list[int]:
        return [port for port, *_ in self.net.tcpServers]

    def test_every_broker_s_port_is_bound_when_the_relay_is_ready(self) -> None:
        self.assertEqual(self.ports(), [19092, 19093, 19094])
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))

    def test_clients_are_told_the_proxy_s_ports(self) -> None:
        for version in (1, 9):
            client = self.client()
            client.send(request(KafkaApi.METADATA, version, 5, metadata_body(version)))
            self.assertEqual(
                self.addresses(client, 5, version), {0: ("127.0.0.1", 19093), 1: ("127.0.0.1", 19094)}
            )

    def test_a_new_broker_is_listened_for_before_a_client_is_told(self) -> None:
        self.cluster.addresses[7] = ("10.0.0.8", 9092)
        self.cluster.held = True
        client = self.client()
        client.wire.peer_reads = False
        client.send(request(KafkaApi.METADATA, 1, 5, metadata_body(1)))
        self.assertNotIn(19100, self.ports())
        self.answer()
        self.assertIn(19100, self.ports())
        client.wire.peer_reads = True
        self.net.flow()
        self.assertEqual(self.addresses(client, 5, 1)[7], ("127.0.0.1", 19100))

    def test_a_broker_s_port_leads_to_that_broker(self) -> None:
        self.client(19094)
        self.assertEqual(self.broker.port, 9093)

    def test_a_broker_that_moved_is_followed(self) -> None:
        self.cluster.addresses[1] = ("10.0.0.99", 1234)
        self.client().send(request(KafkaApi.METADATA, 1, 5, metadata_body(1)))
        self.client(19094)
        self.assertEqual(self.broker.port, 1234)

    def test_a_coordinator_is_listened_for_too(self) -> None:
        self.cluster.addresses[9] = ("10.0.0.10", 9092)
        self.cluster.coordinator = 9
        client = self.client()
        client.send(request(KafkaApi.FIND_COORDINATOR, 0, 5, b"\0\x05group"))
        message = FindCoordinatorResponse.decode(client.replies[0].body, version=0)
        self.assertEqual((message.node_id, message.host, message.port), (9, "127.0.0.1", 19102))
        self.assertIn(19102, self.ports())

    def test_no_coordinator_is_passed_on_as_it_is(self) -> None:
        self.cluster.coordinator = -1
        client = self.client()
        client.send(request(KafkaApi.FIND_COORDINATOR, 0, 5, b"\0\x05group"))
        message = FindCoordinatorResponse.decode(client.replies[0].body, version=0)
        self.assertEqual((message.node_id, message.host, message.port), (-1, "", -1))

    def test_the_endpoints_of_a_produce_answer_are_rewritten(self) -> None:
        self.cluster.endpoints = [NodeEndpoint(5, "10.0.0.6", 9092, "rack")]
        self.cluster.fields = {"current_leader": (5, 3)}
        client = self.client()
        client.send(produce(1, batch(record(b"v")), version=10), produce(2, batch(record(b"v")), version=9))
        answer = client.produced(1, 10)
        self.assertEqual(answer.node_endpoints, [NodeEndpoint(5, "127.0.0.1", 19098, "rack", [])])
        self.assertEqual(answer.partitions[0].current_leader, (5, 3))
        self.assertIn(19098, self.ports())
        self.assertEqual(client.produced(2, 9).node_endpoints, [])

    def test_a_broker_beyond_the_ports_is_one_line_that_names_the_setting(self) -> None:
        self.cluster.addresses[60000] = ("10.0.0.8", 9092)
        client = self.client()
        client.send(
            request(KafkaApi.METADATA, 1, 5, metadata_body(1)),
            request(KafkaApi.METADATA, 1, 6, metadata_body(1)),
        )
        (line,) = [line for line in self.lines() if "60000" in line]
        self.assertIn("LFS_KAFKA_BROKER_PORT_BASE", line)
        self.assertEqual(self.addresses(client, 6, 1)[60000], ("127.0.0.1", 0))

    def test_a_port_in_use_is_one_line_and_tried_again(self) -> None:
        def refuse(port: int, *arguments: object, **named: object) -> None:
            raise CannotListenError("", port, OSError(98, "in use"))

        self.cluster.addresses[2] = ("10.0.0.3", 9092)
        patched = self.patch(self.net, "listenTCP", refuse)
        client = self.client()
        client.send(
            request(KafkaApi.METADATA, 1, 5, metadata_body(1)),
            request(KafkaApi.METADATA, 1, 6, metadata_body(1)),
        )
        self.assertEqual(len([line for line in self.lines() if "broker 2" in line]), 1)
        patched.restore()
        client.send(request(KafkaApi.METADATA, 1, 7, metadata_body(1)))
        self.assertEqual(self.addresses(client, 7, 1)[2], ("127.0.0.1", 19095))

    def test_the_proxy_asks_again_by_itself(self) -> None:
        self.cluster.addresses[2] = ("10.0.0.3", 9092)
        self.pass_seconds(31)
        self.assertIn(19095, self.ports())

    def test_where_no_bootstrap_address_answers_a_known_broker_does(self) -> None:
        self.cluster.down = {9092}
        client = self.client()
        self.pass_seconds(1)
        client.send(request(KafkaApi.METADATA, 1, 5, metadata_body(1)))
        self.assertEqual(self.broker.port, 9093)
        self.assertEqual(set(self.addresses(client, 5, 1)), {0, 1})
        self.cluster.addresses[2] = ("10.0.0.3", 9092)
        self.pass_seconds(31)
        self.assertIn(19095, self.ports())
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))

    def test_a_metadata_answer_that_does_not_decode_closes_the_connection(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(request(KafkaApi.METADATA, 1, 5, metadata_body(1)))
        self.broker.wire.arrive(b"\0\0\0\x08\0\0\0\x05\0\0\0\x09")
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.metrics.of("kafka_closed"), [("broken-framing",)])
        self.broker.pending.clear()


class AdvertisedTests(RelayTestCase):
    overrides = {"kafka_advertised_host": "proxy.example", "kafka_advertised_port_base": 30000}

    def test_the_advertised_host_and_ports_are_told(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.METADATA, 1, 5, metadata_body(1)))
        message = MetadataResponse.decode(client.replies[0].body, version=1)
        self.assertEqual(
            [(each.host, each.port) for each in message.brokers],
            [("proxy.example", 30000), ("proxy.example", 30001)],
        )

    def test_a_broker_beyond_the_advertised_ports_is_one_line_that_names_the_setting(self) -> None:
        self.cluster.addresses[40000] = ("10.0.0.8", 9092)
        client = self.client()
        client.send(
            request(KafkaApi.METADATA, 1, 5, metadata_body(1)),
            request(KafkaApi.METADATA, 1, 6, metadata_body(1)),
        )
        (line,) = [line for line in self.lines() if "40000" in line]
        self.assertIn("LFS_KAFKA_ADVERTISED_PORT_BASE", line)
        message = MetadataResponse.decode(client.replies[1].body, version=1)
        self.assertEqual([each.port for each in message.brokers], [30000, 30001, 0])


class UnfitTests(RelayTestCase):
    def prepare(self) -> None:
        self.cluster.addresses[60000] = ("10.0.0.8", 9092)

    def test_a_broker_without_a_port_keeps_a_relay_that_starts_from_being_ready(self) -> None:
        problem = self.failureResultOf(Deferred.fromCoroutine(self.relay.check()), BrokerUnavailable)
        self.assertIn("LFS_KAFKA_BROKER_PORT_BASE", problem.getErrorMessage())

    def test_it_is_ready_when_each_broker_has_one_and_stays_so(self) -> None:
        unfit = self.cluster.addresses.pop(60000)
        self.pass_seconds(2)
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))
        self.cluster.addresses[60000] = unfit
        self.pass_seconds(31)
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))


class UnreachableTests(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster.reachable = False

    def test_an_unreachable_cluster_is_told_and_asked_again(self) -> None:
        self.pass_seconds(40)
        problem = self.failureResultOf(Deferred.fromCoroutine(self.relay.check()), BrokerUnavailable)
        self.assertIn("10.0.0.1:9092", problem.getErrorMessage())
        self.cluster.reachable = True
        self.pass_seconds(3)
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))

    def test_a_cluster_that_does_not_answer_is_given_up_after_a_while(self) -> None:
        self.cluster.reachable = self.cluster.silent = True
        self.pass_seconds(45)
        self.failureResultOf(Deferred.fromCoroutine(self.relay.check()), BrokerUnavailable)
        self.cluster.silent = False
        self.pass_seconds(15)
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))


class VersionTests(RelayTestCase):
    def ranges(self, client: Client, version: int) -> dict[int, tuple[int, int]]:
        message = ApiVersionsResponse.decode(client.replies[-1].body, version=version)
        return {each.api_key: (each.min_version, each.max_version) for each in message.api_keys}

    def test_versions_are_capped_and_unknown_apis_withheld(self) -> None:
        self.cluster.ranges = (
            *self.cluster.ranges,
            (KafkaApi.READ_SHARE_GROUP_STATE, 0, 0),
            (999, 0, 0),
            (KafkaApi.INIT_PRODUCER_ID, -1, -1),
        )
        client = self.client()
        client.send(request(KafkaApi.API_VERSIONS, 0, 1))
        self.assertEqual(
            self.ranges(client, 0),
            {
                KafkaApi.PRODUCE: (0, 12),
                KafkaApi.FETCH: (4, 15),
                KafkaApi.LIST_OFFSETS: (1, 11),
                KafkaApi.METADATA: (0, 13),
                KafkaApi.FIND_COORDINATOR: (0, 6),
                KafkaApi.API_VERSIONS: (0, 4),
            },
        )

    def test_a_version_of_api_versions_above_ours_is_answered_without_the_broker(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.API_VERSIONS, 6, 1, b"\0\x05soft\x02v\0"))
        self.assertEqual(client.replies[0].body[:2], b"\0\x23")
        message = ApiVersionsResponse.decode(client.replies[0].body, version=0)
        self.assertEqual(
            [(each.api_key, each.min_version, each.max_version) for each in message.api_keys],
            [(KafkaApi.API_VERSIONS, 0, 5)],
        )
        self.assertEqual(self.broker.requests, [])
        client.send(request(KafkaApi.API_VERSIONS, 0, 2))
        self.assertEqual(client.order, [1, 2])

    def test_what_was_not_offered_closes_the_connection(self) -> None:
        for api_key, version, named in (
            (KafkaApi.PRODUCE, 13, "Produce"),
            (KafkaApi.FETCH, 16, "Fetch"),
            (KafkaApi.SASL_HANDSHAKE, 0, "SaslHandshake"),
            (KafkaApi.SHARE_FETCH, 0, "ShareFetch"),
            (KafkaApi.READ_SHARE_GROUP_STATE, 0, "84"),
            (999, 0, "999"),
        ):
            client = self.client()
            client.send(request(api_key, version, 1))
            self.assertFalse(client.is_open)
            self.assertEqual(self.broker.requests, [])
            self.assertIn(named, self.lines()[-1])
            self.assertIn("was not offered", self.lines()[-1])
