"""A leader that stands still while another takes over names brokers to a share consumer that acknowledges.

It is the one moment at which Kafka does: a node that knows that it leads no longer answers that it does not
host the partition, and names nobody.
"""

from __future__ import annotations

import base64
import contextlib
import struct

from kafka import KafkaProducer
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST
from lfsproxy.wire.share_answers import blotted
from tests.integration.clients.share import configure
from tests.integration.clients.share_session import GROUP, SHARE, ShareSession, coordinator, id_of
from tests.integration.cluster import ClusterStack, cluster, cluster_proxy, lead, leaders, node_ports
from tests.integration.stack import in_thread
from tests.wire.shares import Answer, Endpoint

STALLED = 3
"""Never the controller."""
NOT_LEADER = 6


class StallTests(TestCase):
    timeout = 120

    async def test_an_acknowledgement_to_a_leader_that_stood_still(self) -> None:
        self.servers: ClusterStack = await cluster()
        self.proxy = await cluster_proxy()
        self.topic = await self.servers.new_topic("share-stall")
        given, passed = await in_thread(self.acknowledge)
        ends = [
            Answer(endpoints=[Endpoint(number, HOST.encode(), node.port)]).end()
            for number, node in self.servers.nodes.items()
        ]
        # It may not know yet who leads, and name itself.
        (end,) = [each for each in ends if given.endswith(each)]
        self.assertIn(struct.pack(">ih", 0, NOT_LEADER), given)
        self.assertIn(struct.pack(">ih", 0, NOT_LEADER), passed)
        self.assertTrue(passed.endswith(blotted(end)), passed)
        self.assertEqual(len(passed), len(given))

    def acknowledge(self) -> tuple[bytes, bytes]:
        """The answers of the node itself, and through the proxy."""
        port = self.servers.kafka.port
        others = [number for number in self.servers.nodes if number != STALLED]
        lead(port, self.topic, {0}, [STALLED, *others])
        topic_id = id_of(port, self.topic)
        producer = KafkaProducer(bootstrap_servers=self.servers.kafka.bootstrap)
        try:
            producer.send(self.topic, b"shared", partition=0).get(30)
        finally:
            producer.close()
        stalled = self.servers.nodes[STALLED]
        groups = self.groups(port, topic_id)
        with contextlib.ExitStack() as stack:
            sessions = [
                stack.enter_context(ShareSession(where, topic_id, group))
                for where, group in zip((stalled.port, node_ports(self.proxy) + STALLED), groups, strict=True)
            ]
            for session, (group, node) in zip(sessions, groups.items(), strict=True):
                configure(self.servers.kafka.bootstrap, group, share_auto_offset_reset="earliest")
                session.join(self.servers.nodes[node].port, self.topic)
                session.fetch_until(b"shared")
            stalled.pause()
            try:
                for session in sessions:
                    session.ask_to_accept(0)
                while (leader := leaders(port, self.topic)[0]) == STALLED:
                    pass
                for group, node in groups.items():
                    # Its leader's epoch is what the one that stands still has not.
                    with ShareSession(self.servers.nodes[leader].port, topic_id, group) as other:
                        other.join(self.servers.nodes[node].port, self.topic)
                        other.fetch_until(b"shared")
            finally:
                stalled.resume()
            given, passed = [session.answer() for session in sessions]
        return given, passed

    def groups(self, port: int, topic_id: bytes) -> dict[str, int]:
        """Two groups and their coordinators. Neither these nor those of their state stand still."""
        found: dict[str, int] = {}
        number = 0
        partition = base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
        while len(found) < 2:
            number += 1
            group = f"{self.topic}-{number}"
            nodes = coordinator(port, GROUP, group), coordinator(port, SHARE, f"{group}:{partition}:0")
            if STALLED not in nodes:
                found[group] = nodes[0]
        return found
