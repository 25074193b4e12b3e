"""How the options of gc and fsck are read."""

from __future__ import annotations

import time

import click
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli.looking import AgeType, PartitionsType, TimeType, TopicsType


class TypeTests(SynchronousTestCase):
    def time(self, text: str) -> int:
        given, moment = TimeType().convert(text, None, None)
        self.assertEqual(given, text)
        return moment

    def test_times(self) -> None:
        for text, wanted in (
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01T00:00:01", 1000),
            ("1970-01-01 01:00:00.25+01:00", 250),
            ("1970-01-02", 24 * 3600 * 1000),
        ):
            self.assertEqual(self.time(text), wanted)

    def test_how_long_ago(self) -> None:
        self.patch(time, "time", lambda: 100_000.0)
        self.assertEqual(self.time("24h"), 13_600_000)
        self.assertEqual(self.time("1h30m"), 94_600_000)

    def test_partitions(self) -> None:
        self.assertEqual(PartitionsType().convert("0, 4-6,9", None, None), ("0,4-6,9", {0, 4, 5, 6, 9}))

    def test_ages(self) -> None:
        for text, seconds in (
            ("90", 90),
            ("90s", 90),
            ("1h30m", 5400),
            ("24h", 86400),
            ("7d", 604800),
            ("0", 0),
        ):
            self.assertEqual(AgeType().convert(text, None, None), seconds)
        for text in ("", "h", "-1h", "24 hours", "2000d"):
            with self.assertRaises(click.BadParameter):
                AgeType().convert(text, None, None)

    def test_topics(self) -> None:
        self.assertEqual(TopicsType().convert(" a*, !b,,", None, None), ("a*", "!b"))
        self.assertEqual(TopicsType(may_be_empty=True).convert(" ", None, None), ())
        with self.assertRaises(click.BadParameter):
            TopicsType().convert(" ", None, None)
