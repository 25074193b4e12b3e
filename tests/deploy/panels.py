"""The alert rules and the dashboard as data: panels, their queries, and what Grafana makes of these."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import attrs
import yaml

from tests.deploy.chart import CHART

ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"
ALL = ".*"
"""What the dashboard's variables are where nothing is chosen."""


@attrs.frozen
class Query:
    """One query of a panel: the expression with Grafana's variables, and what its series are called."""

    expr: str
    legend: str

    def as_sent(self, step: float, scrape: float, **chosen: str) -> str:
        """The expression as Grafana sends it, for points ``step`` seconds apart and scrapes ``scrape``.

        ``chosen`` are values of the dashboard's variables.
        """
        # "$__rate_interval" of Grafana's documentation on the Prometheus data source.
        values = {"__rate_interval": f"{max(step + scrape, 4 * scrape) * 1000:.0f}ms"}
        # A chosen value is escaped for the regular expression, and that for the string around it.
        literal = {name: re.escape(value).replace("\\", "\\\\") for name, value in chosen.items()}
        values |= {name: literal.get(name, ALL) for name in ("namespace", "job", "instance")}
        return re.sub(r"\$(\w+)", lambda found: values[found[1]], self.expr)

    def name(self, labels: dict[str, str]) -> str:
        """What a series with these labels is called."""
        return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), self.legend).strip()


@attrs.frozen
class Panel:
    """A panel of the dashboard; place and size are in cells, 24 to a row. A heading has no queries."""

    title: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    queries: list[Query]


def dashboard() -> dict[str, Any]:
    """The dashboard as it is written."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def panels() -> list[Panel]:
    """The dashboard's panels in order."""
    return [
        Panel(
            title=each["title"],
            unit=each.get("fieldConfig", {}).get("defaults", {}).get("unit", ""),
            x=each["gridPos"]["x"],
            y=each["gridPos"]["y"],
            width=each["gridPos"]["w"],
            height=each["gridPos"]["h"],
            queries=[Query(target["expr"], target["legendFormat"]) for target in each.get("targets", [])],
        )
        for each in dashboard()["panels"]
    ]


def rules() -> list[dict[str, str]]:
    """The alert rules."""
    [group] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression of rules and panels, with the name of what it is for."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for query in panel.queries:
            yield panel.title, query.expr
