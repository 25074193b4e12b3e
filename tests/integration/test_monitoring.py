"""Alert rules and dashboard in a real Prometheus that watched a proxy under load: nothing is empty."""

from __future__ import annotations

import contextlib
import math
import re
import tempfile
import time
from pathlib import Path

import attrs
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.deploy.panels import panels, rules
from tests.integration.monitored import Scene, play, scene
from tests.integration.prometheus import SCRAPE_SECONDS, Prometheus
from tests.integration.stack import in_thread

CALM = 1.5
STEP = 1.0


@attrs.frozen
class Watched:
    """A scene that was played, and from when to when."""

    stage: Scene
    start: float
    end: float

    @property
    def prometheus(self) -> Prometheus:
        return self.stage.prometheus

    def series(self, expr: str) -> int:
        """How many series with numbers an expression had at any time. Raises ValueError."""
        found = self.prometheus.query_range(expr, self.start, self.end, STEP)
        return sum(any(not math.isnan(value) for _, value in points) for _, points in found)


_watched: list[Watched] = []


async def watched() -> Watched:
    """The scene, played once for all tests. Raises SkipTest without Prometheus."""
    if not _watched:
        _watched.append(await in_thread(_play))
    return _watched[0]


def _play() -> Watched:
    with contextlib.ExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="lfsproxy-monitored-"))
        stage = ending.enter_context(scene(Path(folder)))
        start = time.time()
        play(stage, CALM)
        reactor.addSystemEventTrigger("before", "shutdown", ending.pop_all().close)
        return Watched(stage, start, time.time())


def measured(expr: str) -> str:
    """What a rule compares: the rule without the limits."""
    without = re.sub(r"(==|!=|>=|<=|>|<)\s*\w[\w.]*(\s*\*\s*\d+)?", "", expr)
    return without.replace(" unless ", " and ")


class MonitoringTests(TestCase):
    timeout = 180

    async def test_every_query_of_the_dashboard_has_something_to_show(self) -> None:
        seen = await watched()
        empty = [
            f"{panel.title}: {query.expr}"
            for panel in panels()
            for query in panel.queries
            if not seen.series(query.as_sent(STEP, SCRAPE_SECONDS))
        ]
        self.assertEqual(empty, [])

    async def test_series_of_a_panel_are_told_apart_by_their_names(self) -> None:
        seen = await watched()
        for panel in panels():
            names = [
                query.name(labels)
                for query in panel.queries
                for labels, _ in seen.prometheus.query_range(
                    query.as_sent(STEP, SCRAPE_SECONDS), seen.start, seen.end, STEP
                )
            ]
            self.assertEqual(len(names), len(set(names)), panel.title)

    async def test_the_dashboard_shows_proxies_only_and_the_chosen_one(self) -> None:
        seen = await watched()
        own = f"127.0.0.1:{seen.stage.proxy.metrics_port}"
        for panel in panels():
            for query in panel.queries:
                everything = query.as_sent(STEP, SCRAPE_SECONDS)
                shown = seen.prometheus.query_range(everything, seen.start, seen.end, STEP)
                self.assertLessEqual({labels.get("instance", own) for labels, _ in shown}, {own}, panel.title)
                chosen = query.as_sent(STEP, SCRAPE_SECONDS, job="lfsproxy", instance=own)
                self.assertTrue(seen.series(chosen), panel.title)
                other = query.as_sent(STEP, SCRAPE_SECONDS, instance="127.0.0.1:1")
                self.assertEqual(seen.series(other), 0, panel.title)

    async def test_every_rule_has_something_to_measure(self) -> None:
        seen = await watched()
        self.assertEqual(seen.prometheus.unhealthy_rules(), [])
        for rule in rules():
            self.assertTrue(seen.series(measured(rule["expr"])), rule["alert"])

    async def test_what_a_rule_names_is_called_so(self) -> None:
        seen = await watched()
        named = [
            (metric, label, value)
            for rule in rules()
            for metric, label, value in re.findall(r'(\w+)\{(\w+)!?="([^"]*)"\}', rule["expr"])
        ]
        self.assertIn(
            ("lfsproxy_s3_operation_seconds_bucket", "operation", "complete_multipart_upload"), named
        )
        for metric, label, value in named:
            self.assertTrue(seen.series(f'{metric}{{{label}="{value}"}}'), f"{metric} {value}")

    async def test_what_happened_is_an_alert_and_what_did_not_is_none(self) -> None:
        seen = await watched()
        alerts = seen.prometheus.alerts()
        self.assertEqual(alerts.get("LfsProxyOrphans"), "firing")
        self.assertEqual(alerts.get("LfsProxyChecksumMismatches"), "firing")
        # For an hour it only may become one.
        self.assertEqual(alerts.get("LfsProxyCertificateExpires"), "pending")
        did_not = ("NoInstance", "Down", "UploadMemoryFull", "CertificateUnreadable", "OpenFiles")
        self.assertEqual([name for name in did_not if f"LfsProxy{name}" in alerts], [])

    async def test_a_query_that_is_wrong_is_noticed(self) -> None:
        seen = await watched()
        with self.assertRaises(ValueError):
            seen.series("rate(lfsproxy_uploads_total)")
        self.assertEqual(seen.series("lfsproxy_nothing_total"), 0)
