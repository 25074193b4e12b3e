"""How much is read at once of an upload: more of one whose lease is large."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.web.body import RequestBody
from lfsproxy.web.feeding import LARGE_LEASE, LARGE_READ_BYTES, READ_BYTES, fed


class Source:
    """A connection that knows how much is read from it at once."""

    size = 0

    def body_wanted(self) -> None:
        """Nobody waits for that."""

    def pause_body(self) -> None:
        """Nothing comes."""

    def resume_body(self) -> None:
        """Nothing comes."""

    def body_read_size(self, size: int) -> None:
        self.size = size


class ReadSizeTests(SynchronousTestCase):
    def test_only_a_large_lease_has_large_reads(self) -> None:
        clock = Clock()
        for size, wanted in ((LARGE_LEASE - 1, READ_BYTES), (LARGE_LEASE, LARGE_READ_BYTES)):
            source = Source()
            lease = self.successResultOf(MemoryBudget(clock, 2**30, 2**24, 30.0).acquire(size))
            with fed(lease, RequestBody(clock, 30.0, size, source), lambda _: None):
                self.assertEqual(source.size, wanted)
