"""Alert rules and dashboard: each metric in them exists, each alert has a section that says what to do."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import SkipTest

import yaml
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.metrics import PrometheusMetrics
from tests.deploy.chart import ROOT
from tests.deploy.panels import ALERTS, dashboard, expressions, panels, rules
from tests.docs.blocks import blocks_of

CASES = Path(__file__).with_name("alerts_test.yaml")
RUNBOOKS = ROOT / "docs" / "operate" / "monitoring.md"
UNITS = {"ops", "Bps", "bytes", "s", "reqps", "percentunit", "none"}
"""Grafana's names of the units that panels have."""


def metrics() -> set[str]:
    """The names that Prometheus knows of a proxy, and those of the process."""
    measured = PrometheusMetrics("1")
    measured.memory(lambda: 0, 1)
    names = set()
    for family in measured.registry.collect():
        kinds = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
        names |= {family.name + ending for ending in kinds.get(family.type, ("",))}
    return names


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
        self.promtool("check", "rules", ALERTS)

    def test_prometheus_takes_the_configuration_of_the_page(self) -> None:
        (block,) = [b for b in blocks_of(RUNBOOKS.read_text(encoding="utf-8")) if b.language == "yaml"]
        folder = Path(self.mktemp())
        folder.mkdir()
        shutil.copy(ALERTS, folder)
        (folder / "prometheus.yml").write_text(block.code, encoding="utf-8")
        self.promtool("check", "config", folder / "prometheus.yml")

    def test_the_alerts_fire_when_they_should_and_only_then(self) -> None:
        self.promtool("test", "rules", CASES)

    def promtool(self, *arguments: str | Path) -> None:
        tool = shutil.which("promtool")
        if tool is None:
            raise SkipTest("the alert rules are NOT CHECKED by promtool: it is not on PATH")
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(self) -> None:
        cases = [
            case
            for test in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
            for case in test["alert_rule_test"]
        ]
        for fires in (True, False):
            named = {case["alertname"] for case in cases if bool(case.get("exp_alerts")) == fires}
            self.assertEqual(named, {rule["alert"] for rule in rules()})


class DashboardTests(SynchronousTestCase):
    """What Grafana would show wrongly, or refuse."""

    def drawn(self) -> list[dict[str, Any]]:
        return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]

    def test_each_panel_is_known_by_one_number(self) -> None:
        numbers = [panel["id"] for panel in dashboard()["panels"]]
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertRegex(dashboard()["uid"], r"^[A-Za-z0-9_-]{1,40}$")

    def test_panels_are_within_the_width_and_do_not_cover_each_other(self) -> None:
        cells: dict[tuple[int, int], str] = {}
        for panel in panels():
            self.assertLessEqual(panel.x + panel.width, 24, panel.title)
            for cell in itertools.product(
                range(panel.x, panel.x + panel.width), range(panel.y, panel.y + panel.height)
            ):
                self.assertNotIn(cell, cells, panel.title)
                cells[cell] = panel.title
        self.assertEqual(len(cells), 24 * (max(y for _, y in cells) + 1), "there is a hole")

    def test_each_panel_says_what_it_shows_and_in_which_unit(self) -> None:
        for panel in self.drawn():
            self.assertRegex(panel["description"], r"^[A-Z0-9].{15,}\.$", panel["title"])
            self.assertIn(panel["fieldConfig"]["defaults"]["unit"], UNITS, panel["title"])
            self.assertTrue(panel["options"]["legend"], panel["title"])

    def test_each_query_has_a_legend_that_tells_its_series_apart(self) -> None:
        for panel in panels():
            for query in panel.queries:
                grouped = re.search(r"\bby \(([^)]*)\)", query.expr)
                labels = set(re.split(r", *", grouped[1])) - {"le"} if grouped else set()
                self.assertEqual(set(re.findall(r"{{(\w+)}}", query.legend)), labels, panel.title)
            legends = [query.legend for query in panel.queries]
            self.assertEqual(len(legends), len(set(legends)), panel.title)

    def test_the_data_source_is_the_one_that_is_chosen(self) -> None:
        [chosen, *others] = dashboard()["templating"]["list"]
        self.assertEqual((chosen["type"], chosen["query"]), ("datasource", "prometheus"))
        source = {"type": "prometheus", "uid": "${" + chosen["name"] + "}"}
        targets = [target for panel in self.drawn() for target in panel["targets"]]
        for asks in (*self.drawn(), *targets, *others):
            self.assertEqual(asks["datasource"], source)

    def test_each_variable_narrows_every_query(self) -> None:
        names = [variable["name"] for variable in dashboard()["templating"]["list"][1:]]
        for panel in panels():
            for query in panel.queries:
                for name in names:
                    self.assertIn(f'{name}=~"${name}"', query.expr, panel.title)
                self.assertEqual(
                    set(re.findall(r"\$(\w+)", query.expr)) - set(names) - {"__rate_interval"}, set()
                )

    def test_a_rate_is_over_as_long_as_grafana_says(self) -> None:
        for panel in panels():
            for query in panel.queries:
                for over in re.findall(r"\[(.*?)\]", query.expr):
                    self.assertIn(over, {"$__rate_interval", "1h"}, panel.title)
