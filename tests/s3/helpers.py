"""A store in front of the fake S3, with a clock of the test's own and no jitter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from lfsproxy.net.tls import ClientTls
from lfsproxy.s3.credentials import StaticCredentials
from lfsproxy.s3.objects import NewObjects, encryption
from lfsproxy.s3.signing import S3Location
from lfsproxy.s3.store import S3Store
from lfsproxy.testing import MemoryMetrics
from tests.s3.bucket import BUCKET
from tests.s3.fake_s3 import FakeS3

reactor: ReactorBase = _reactor  # type: ignore[assignment]  # the module is the reactor

PART = 100_000
EVERY_OPTION = NewObjects(
    encryption("aws:kms", "alias/blobs", bucket_key=True),
    "STANDARD_IA",
    (("topic", "{topic}"), ("place", "{namespace}/{topic}"), ("team", "media & more")),
)
"""What new objects can be made with, all at once."""


class FakeS3TestCase(TestCase):
    """``fake`` is the server, ``s3`` a store for it, ``clock`` what the store's timeouts run on."""

    s3: S3Store
    timeout = 5

    def setUp(self) -> None:
        self.fake = FakeS3()
        self.listening = reactor.listenTCP(0, self.fake, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(lambda: self.listening.stopListening())
        self.port = self.listening.getHost().port
        self.clock = Clock()
        self.metrics = MemoryMetrics()
        self.use_store()
        self.addCleanup(self.close)

    def make_store(self, **changes: Any) -> S3Store:
        arguments = {
            "location": S3Location(BUCKET, endpoint=f"http://127.0.0.1:{self.port}", path_style=True),
            "credentials": StaticCredentials("key", "secret"),
            "metrics": self.metrics,
            "part_size": PART,
            "concurrency": 4,
            "retry_timeout": 15.0,
            "upload_memory": 128 * 2**20,
            "checksums": True,
            "tls": ClientTls("LFS_S3", ""),
            "clock": self.clock,
            "random": lambda: 0.0,
        }
        return S3Store(reactor, **{**arguments, **changes})

    async def close(self) -> None:
        """Close everything, and see that no timer is left behind."""
        await self.s3.close()
        await self.fake.gone()
        self.assertEqual([], self.clock.getDelayedCalls())

    def use_store(self, **changes: Any) -> None:
        """Use a store with other arguments."""
        self.s3 = self.make_store(**changes)

    def five_seconds_later(self) -> float:
        """For ``random``, which is asked between two tries: no pause, but time passes."""
        self.clock.advance(5)
        return 0.0

    async def advance_until(self, done: Callable[[], bool], step: float = 1.0) -> None:
        """Let time pass, in steps, with turns of the reactor between them."""
        while not done():
            for _ in range(5):
                await deferLater(reactor, 0)
            self.clock.advance(step)
