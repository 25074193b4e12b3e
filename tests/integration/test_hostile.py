"""Hostile input to the running process: the answer, a line in the log, bounded memory, others undisturbed."""

from __future__ import annotations

import re

import attrs
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.integration.hostile import PARTITIONS, Case, Observed, Scene, observe
from tests.integration.hostile_cases import CASES
from tests.integration.ordinary import Ordinary
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import in_thread, stack

DECOMPRESSED = 64_000_000
UPLOAD_MEMORY = 134_217_728
MOST_GROWTH = UPLOAD_MEMORY + 80_000_000
"""Bytes that the process may need beyond what it needs idle: see docs/architecture.md."""
SLOWEST = 10.0
"""Seconds that an ordinary record may take meanwhile, with much slack for a busy machine."""


@attrs.frozen
class Shared:
    """What these tests share with nobody else. ``idle``: bytes that the proxy needs before anything comes."""

    scene: Scene
    ordinary: Ordinary
    idle: int


_shared: Shared | None = None


async def shared() -> Shared:
    """Started by the first test."""
    global _shared
    if _shared is None:
        servers = await stack()
        topic = await servers.new_topic("hostile", partitions=PARTITIONS)
        proxy = ProxyProcess({**servers.environment, "LFS_MAX_DECOMPRESSED_SIZE": str(DECOMPRESSED)})
        ordinary = Ordinary(proxy.bootstrap, await servers.new_topic("ordinary"))

        def close() -> None:
            ordinary.stop()
            proxy.close()

        reactor.addSystemEventTrigger("before", "shutdown", close)
        await in_thread(proxy.start)
        scene = Scene(proxy, topic, servers.kafka.bootstrap, DECOMPRESSED)
        _shared = Shared(scene, ordinary, proxy.memory)
    return _shared


class HostileTests(TestCase):
    timeout = 120

    async def check(self, case: Case) -> None:
        its = await shared()
        observed: Observed = await in_thread(observe, case, its.scene, its.ordinary)
        self.assertEqual(observed.answer, case.expected, observed.lines)
        self.assertEqual(observed.failed, 0)
        self.assertLess(observed.slowest, SLOWEST)
        self.assertLess(observed.peak - its.idle, MOST_GROWTH)
        self.assertEqual(observed.closed, case.closes, observed.lines)
        # Of those with the same words the log has a few a minute, and earlier cases may have been such.
        lines = [line for line in observed.lines if " more like it from " not in line]
        closing = [line for line in lines if "is closed: " in line]
        self.assertLessEqual(len(closing), case.closes, observed.lines)
        for line in closing:
            self.assertIn(case.log, line)
        if case.closes:
            said = [line for line in its.scene.proxy.log.splitlines() if "is closed: " in line]
            self.assertTrue(any(case.log in line for line in said), observed.lines)
        self.assertEqual([line for line in observed.lines if "#warn" not in line], [])


def _add(case: Case) -> None:
    async def test(self: HostileTests) -> None:
        await self.check(case)

    setattr(HostileTests, "test_" + re.sub(r"\W+", "_", case.name.lower()), test)


for _case in CASES:
    _add(_case)
