"""Two replicas behind HAProxy: one is added, both are restarted, one is killed; no client has an error."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from tests.integration.clients.python import read_topic
from tests.integration.kafka_door import wait_for
from tests.integration.replicas import Seen, Site, not_once
from tests.integration.stack import in_thread, stack
from tests.integration.traffic import Traffic, check_log

STEP = 15
"""Records that each producer sends between one event and the next."""
AGE = 2
"""LFS_KAFKA_MAX_CONNECTION_AGE in seconds."""
JAVA_RECORDS = 300


class ReplicaTests(TestCase):
    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        # Skipped where there is no HAProxy.
        self.site = Site(
            self.servers, LFS_KAFKA_MAX_CONNECTION_AGE=str(AGE), LFS_HTTP_MAX_CONNECTION_AGE=str(AGE)
        )
        self.addCleanup(in_thread, self.site.close)

    async def test_one_is_added_both_are_restarted_one_is_killed(self) -> None:
        topics = [await self.servers.new_topic(name) for name in ("rolling", "java", "http", "transactions")]
        traffic_topic, java_topic, http_topic, transactions_topic = topics
        site, (first, second) = self.site, self.site.replicas
        await in_thread(site.start, 1)
        traffic = Traffic(site.bootstrap, traffic_topic)
        self.addCleanup(traffic.stop)
        await traffic.goes_on(STEP)
        everything = first.connections

        # Added: connections that are older than their age come to it.
        await in_thread(second.start)
        await in_thread(site.balancer.wait_for, *site.names)
        await in_thread(wait_for, lambda: second.connections, lambda count: count >= everything // 3)
        moved = (await in_thread(first.metrics))['lfsproxy_kafka_closed_total{reason="max_connection_age"}']
        self.assertGreaterEqual(moved, everything // 3)
        await traffic.goes_on(STEP)
        self.assertEqual(traffic.errors(), [])

        # Restarted, one after the other.
        seen = Seen()
        posters = [site.poster(http_topic, seen, slow) for slow in (False, True)]
        transactions = site.transactions(transactions_topic)
        for client in (*posters, transactions):
            self.addCleanup(client.stop)
        sending = in_thread(site.produce_by_java, java_topic, JAVA_RECORDS)
        reading = in_thread(site.consume_by_java, java_topic, JAVA_RECORDS)
        for index in range(len(site.replicas)):
            await in_thread(site.restart, index)
            await traffic.goes_on(STEP)
        await gatherResults([client.stop() for client in (*posters, transactions)])
        self.assertEqual([error for client in (*posters, transactions) for error in client.errors], [])
        self.assertEqual(
            (seen.unknown, await in_thread(not_once, self.servers, http_topic, seen.posted)), (0, {})
        )
        self.assertEqual(await in_thread(not_once, self.servers, transactions_topic, transactions.keys), {})
        self.assertGreater(len(transactions.keys), 50)
        self.assertTrue(all(len(poster.keys) > 3 for poster in posters), seen)
        self.assertEqual((await sending, await reading), ([], JAVA_RECORDS))
        log = await in_thread(read_topic, self.servers.kafka.bootstrap, java_topic)
        self.assertEqual(len(log), JAVA_RECORDS)
        for replica in site.replicas:
            self.assertNotIn("are cut", replica.log)

        # Killed: HAProxy notices late, and the clients' own retries cover that.
        await in_thread(first.kill)
        await traffic.goes_on(STEP)
        await traffic.end()
        self.assertEqual(traffic.errors(), [])
        await in_thread(check_log, self.servers, traffic_topic, traffic.acknowledged)
