"""How many clients may be connected to a door."""

from __future__ import annotations

import os
import resource
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.net.admission import (
    LEAST_KEPT,
    MOST_KEPT,
    Admission,
    Admitting,
    free_descriptors,
    kept_descriptors,
    kept_now,
)
from lfsproxy.testing import MemoryMetrics


class AdmissionTests(SynchronousTestCase):
    free: int | None = None
    owed = 0
    spare = 0

    def admission(self, most: int = 0, per_address: int = 0, each: int = 1) -> Admission:
        self.metrics = MemoryMetrics()
        return Admission(
            "kafka",
            "LFS_KAFKA_MAX_CONNECTIONS",
            most,
            per_address,
            self.metrics,
            each=each,
            owed=lambda: self.owed,
            make_room=self.make_room,
            free=lambda: self.free,
        )

    def make_room(self) -> bool:
        self.spare -= 1
        return self.spare >= 0

    def refused(self, admission: Admission, host: str, reason: str, setting: str) -> None:
        with capturedLogs() as events:
            self.assertFalse(admission.admits(host))
        self.assertEqual(self.metrics.of("refused"), [("kafka", reason)])
        (line,) = [formatEvent(event) or "" for event in events]
        self.assertIn(f"a client of the Kafka port ({host}) is turned away", line)
        self.assertIn(setting, line)

    def test_any_number_where_there_is_no_limit(self) -> None:
        admission = self.admission()
        for _ in range(1000):
            self.assertTrue(admission.admits("10.0.0.1"))
            admission.entered("10.0.0.1")
        self.assertEqual(admission.connected, 1000)

    def test_in_all_until_one_leaves(self) -> None:
        admission = self.admission(most=2)
        for host in ("10.0.0.1", "10.0.0.2"):
            self.assertTrue(admission.admits(host))
            admission.entered(host)
        self.refused(
            admission, "10.0.0.3", "all", "2 connections are open in all (LFS_KAFKA_MAX_CONNECTIONS)"
        )
        admission.left("10.0.0.1")
        self.assertTrue(admission.admits("10.0.0.3"))

    def test_from_one_address_and_no_other(self) -> None:
        admission = self.admission(per_address=2)
        for host in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
            self.assertTrue(admission.admits(host))
            admission.entered(host)
        self.refused(admission, "10.0.0.1", "address", "(LFS_KAFKA_MAX_CONNECTIONS_PER_IP)")
        self.assertTrue(admission.admits("10.0.0.2"))
        admission.left("10.0.0.1")
        self.assertTrue(admission.admits("10.0.0.1"))

    def test_addresses_without_connections_take_no_memory(self) -> None:
        admission = self.admission(per_address=1)
        for number in range(1000):
            admission.entered(str(number))
            admission.left(str(number))
            self.assertTrue(admission.admits("10.0.0.1"))
        self.assertEqual(len(admission._hosts), 0)

    def test_descriptors_for_each_and_for_those_who_still_take_one(self) -> None:
        admission = self.admission(each=2)
        self.free, self.owed = 5, 3
        self.assertTrue(admission.admits("10.0.0.1"))
        self.free = 4
        self.refused(admission, "10.0.0.1", "descriptors", "runs out of file descriptors")

    def test_room_is_made_where_that_is_possible(self) -> None:
        admission = self.admission(most=1)
        admission.entered("10.0.0.1")
        self.spare = 1
        self.assertTrue(admission.admits("10.0.0.2"))
        self.assertFalse(admission.admits("10.0.0.2"))

    def test_no_room_is_made_for_who_has_enough(self) -> None:
        admission = self.admission(per_address=1)
        admission.entered("10.0.0.1")
        self.spare = 1
        self.assertFalse(admission.admits("10.0.0.1"))
        self.assertEqual(self.spare, 1)


class DescriptorTests(SynchronousTestCase):
    def test_an_eighth_is_kept_within_bounds(self) -> None:
        self.assertEqual(
            [kept_descriptors(limit) for limit in (64, 1024, 65536)], [LEAST_KEPT, 128, MOST_KEPT]
        )

    def test_what_is_kept_follows_the_process_s_limit(self) -> None:
        for limit, kept in ((1024, 128), (resource.RLIM_INFINITY, MOST_KEPT)):
            self.patch(resource, "getrlimit", lambda kind, limit=limit: (limit, limit))
            self.assertEqual(kept_now(), kept)

    def test_each_that_is_taken_is_one_less(self) -> None:
        before = free_descriptors()
        assert before is not None
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.assertLess(before, limit - kept_descriptors(limit))
        taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
        try:
            after = free_descriptors()
        finally:
            for each in taken:
                os.close(each)
        assert after is not None
        self.assertLessEqual(after, before - 20)

    def test_none_is_left_where_none_can_be_opened(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            self.assertEqual(free_descriptors(), 0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Inner(ServerFactory[Any]):
    started = 0

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1

    def logPrefix(self) -> str:
        return "the port"

    def buildProtocol(self, addr: object) -> Protocol:
        return Protocol()


class AdmittingTests(SynchronousTestCase):
    def test_a_factory_is_used_for_who_is_admitted(self) -> None:
        inner = Inner()
        admission = Admission("http", "LFS_HTTP_MAX_CONNECTIONS", 0, 1, MemoryMetrics(), free=lambda: None)
        factory = Admitting(admission, inner)
        factory.doStart()
        self.assertEqual((inner.started, factory.logPrefix()), (1, "the port"))
        admission.entered("10.0.0.1")
        # As a client of IPv4 looks at a socket for both.
        self.assertIsNone(factory.buildProtocol(IPv6Address("TCP", "::ffff:10.0.0.1", 1)))
        self.assertIsNone(factory.buildProtocol(IPv4Address("TCP", "10.0.0.1", 1)))
        self.assertIsInstance(factory.buildProtocol(IPv4Address("TCP", "10.0.0.2", 1)), Protocol)
        factory.doStop()
        self.assertEqual(inner.started, 0)
