"""Nothing in the releases of Kafka that we run against is undecided."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import TestCase

from lfsproxy.devstack.jars import class_path
from tests.integration.stack import in_thread
from tests.kafka_apis import Findings, definitions, findings

RELEASES = ("3.9", "4.1", "4.4")
MIN_APIS = 60
"""Fewer, and the definitions were not understood."""


def found_in(release: str) -> Findings:
    """What the jar of a release says. Blocks."""
    jars = class_path(f"kafka-{release}").split(os.pathsep)
    (jar,) = [path for path in map(Path, jars) if path.name.startswith("kafka-clients-")]
    return findings(definitions(jar))


class ReleaseTests(TestCase):
    async def test_everything_is_decided(self) -> None:
        for release in RELEASES:
            found = await in_thread(found_in, release)
            self.assertEqual(found.undecided, (), release)
            self.assertGreater(len(found.offered), MIN_APIS)
            self.assertGreater(len(found.addresses), 10)
