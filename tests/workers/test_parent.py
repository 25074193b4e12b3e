"""What the parent of workers says of itself."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.net.listening import BoundPorts
from lfsproxy.service import make_service
from lfsproxy.settings import load_settings
from lfsproxy.workers.parent import make_parent


class StopTests(SynchronousTestCase):
    def test_a_stop_of_workers_takes_as_long_as_that_of_one_process(self) -> None:
        given = {"LFS_DRAIN_DELAY": "100", "LFS_DRAIN_TIMEOUT": "1000"}
        reactor = MemoryReactorClock()
        one = make_service(reactor, load_settings(given, {}), {})
        several = load_settings({**given, "LFS_WORKERS": "2"}, {})
        parent = make_parent(reactor, several, {}, BoundPorts(reactor), {})
        self.assertEqual(parent.stop_seconds, one.stop_seconds)
