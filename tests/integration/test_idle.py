"""What the proxy loads and takes when it serves, with settings that turn nothing on."""

from __future__ import annotations

import re
import urllib.request

from tests.integration.clients.python import librdkafka
from tests.integration.clients.records import Mode, Outcome, lfs
from tests.integration.kafka_door import KafkaDoorTestCase
from tests.integration.proxy import own_proxy
from tests.integration.stack import in_thread, stack
from tests.test_slim import NEVER, TLS

MIB = 1024 * 1024
MOST = 68 * MIB
"""Of a proxy without TLS, which takes 62 MiB with Python 3.11."""
LARGE = 100_000
TRIED = frozenset({"OpenSSL.SSL", "twisted.protocols.tls"})
"""What Twisted asks for, and does without."""


class IdleTests(KafkaDoorTestCase):
    async def test_what_is_not_used_is_not_loaded_by_work_either(self) -> None:
        self.servers = await stack()
        # Python tells each module that it loads, and each one that it tried to.
        self.proxy = await own_proxy(self, self.servers, PYTHONPROFILEIMPORTTIME="1")
        before = self.proxy.memory
        topic = await self.servers.new_topic("idle")
        self.assertEqual(await in_thread(self._work, topic), b"x" * LARGE)
        loaded = set(re.findall(r"^import time: .*\| +(\S+)$", self.proxy.log, re.MULTILINE))
        self.assertIn("lfsproxy.web.download", loaded)
        self.assertEqual(loaded & (NEVER | TLS) - TRIED, set())
        self.assertLess(before, MOST)

    def _work(self, topic: str) -> bytes:
        """Publish over both doors, and read the first record. Blocks."""
        records = f"{self.proxy.http}/v1/topics/{topic}"
        with urllib.request.urlopen(f"{records}/records", b"x" * LARGE, timeout=30) as answer:
            answer.read()
        sent = librdkafka(self.proxy.bootstrap, topic, [lfs(b"y" * LARGE)], Mode())
        self.assertEqual(sent, [Outcome(1)])
        with urllib.request.urlopen(f"{records}/partitions/0/records/0", timeout=30) as answer:
            return bytes(answer.read())
