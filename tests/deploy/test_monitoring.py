"""Alert rules and dashboard: each metric in them exists, each alert has a section that says what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from unittest import SkipTest

import yaml
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.metrics import PrometheusMetrics
from tests.deploy.chart import CHART, ROOT

ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"
RUNBOOKS = ROOT / "docs" / "operate" / "monitoring.md"


def metrics() -> set[str]:
    """The names that Prometheus knows of a proxy, and those of the process."""
    measured = PrometheusMetrics("1")
    measured.memory(lambda: 0, 1)
    names = set()
    for family in measured.registry.collect():
        kinds = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
        names |= {family.name + ending for ending in kinds.get(family.type, ("",))}
    return names


def rules() -> list[dict[str, str]]:
    """The alert rules."""
    [group] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression of rules and panels, with the name of what it is for."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


class MonitoringTests(SynchronousTestCase):
    def test_every_metric_that_is_asked_for_exists(self) -> None:
        known = metrics()
        for title, expression in expressions():
            asked = set(re.findall(r"\b(?:lfsproxy|process)_\w+", expression))
            self.assertTrue(asked, title)
            self.assertEqual(asked - known, set(), title)

    def test_every_alert_has_a_runbook(self) -> None:
        sections = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(encoding="utf-8"), re.M)
        alerts = [rule["alert"] for rule in rules()]
        self.assertEqual([name for name in sections if name.startswith("Lfs")], alerts)

    def test_prometheus_takes_the_rules(self) -> None:
        tool = shutil.which("promtool")
        if tool is None:
            raise SkipTest("the alert rules are NOT CHECKED by promtool: it is not on PATH")
        done = subprocess.run([tool, "check", "rules", ALERTS], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
