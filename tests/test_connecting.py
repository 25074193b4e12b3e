"""What is said of a connection that could not be made."""

from __future__ import annotations

from twisted.internet import error
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.connecting import why_unreached


class UnreachedTests(SynchronousTestCase):
    def test_a_port_at_which_nothing_listens(self) -> None:
        said = why_unreached(error.ConnectionRefusedError(111))
        self.assertEqual(said, "connection refused, nothing listens at that port")

    def test_silence_is_told_alike_whoever_gives_up_the_kernel_or_the_endpoint(self) -> None:
        for each in (error.TimeoutError(), error.TCPTimedOutError(110)):
            self.assertEqual(why_unreached(each), "nobody answers there (a wrong address, or a firewall)")

    def test_anything_else_in_its_own_words(self) -> None:
        self.assertIn("No route to host", why_unreached(error.NoRouteError(113, "no way")))
