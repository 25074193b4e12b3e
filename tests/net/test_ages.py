"""When connections are old."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.net.ages import old_at


class OldAtTests(SynchronousTestCase):
    def test_connections_of_one_moment_do_not_end_in_one(self) -> None:
        for random, at in ((0.0, 1090), (0.25, 1095), (0.5, 1100), (1.0, 1110)):
            self.assertAlmostEqual(old_at(1000, 100, lambda random=random: random), at)  # type: ignore[misc]

    def test_without_a_limit_none_is_ever_old(self) -> None:
        self.assertEqual(old_at(1000, 0, lambda: 0.5), math.inf)
