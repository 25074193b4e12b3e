"""A real Prometheus that scrapes proxies every second, with the alert rules. Every method blocks.

prometheus = Prometheus(proxy.metrics_port)
prometheus.start()
prometheus.query("up")                              # [({"job": "lfsproxy", ...}, 1.0)]
prometheus.query_range("up", start, end, step)      # [({...}, [(time, value), ...])]
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import SkipTest

import yaml

from lfsproxy.devstack.ports import HOST
from lfsproxy.devstack.server import Server
from tests.deploy.chart import ROOT
from tests.deploy.panels import ALERTS

CONFIGURATION = ROOT / "deploy" / "compose" / "prometheus.yml"
SCRAPE_SECONDS = 1

Labels = dict[str, str]


class Prometheus(Server):
    """The ``prometheus`` on PATH, as docker-compose.yml configures it, for the proxy at ``metrics_port``.

    It scrapes itself, too: a Prometheus of users has other programs' metrics. Raises SkipTest without one.
    """

    def __init__(self, metrics_port: int) -> None:
        tool = shutil.which("prometheus")
        if tool is None:
            raise SkipTest("alert rules and dashboard are NOT TRIED in Prometheus: it is not on PATH")
        super().__init__("prometheus", "Prometheus", None, 0)
        self._tool = tool
        self._metrics_port = metrics_port

    def command(self) -> tuple[Sequence[str], Mapping[str, str] | None]:
        configuration = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
        every = f"{SCRAPE_SECONDS}s"
        configuration["global"] = {"scrape_interval": every, "evaluation_interval": every}
        configuration["rule_files"] = [str(ALERTS)]
        [proxy] = configuration["scrape_configs"]
        proxy["static_configs"] = [{"targets": [f"{HOST}:{self._metrics_port}"]}]
        itself = {"job_name": "prometheus", "static_configs": [{"targets": [f"{HOST}:{self.port}"]}]}
        configuration["scrape_configs"] = [proxy, itself]
        file = self.data_dir / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        return [
            self._tool,
            f"--config.file={file}",
            f"--storage.tsdb.path={self.data_dir / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
        ], None

    def answers(self) -> bool:
        try:
            self._get("/-/ready")
        except OSError:
            return False
        return True

    def query(self, expr: str, at: float | None = None) -> list[tuple[Labels, float]]:
        """What an expression is now, or was at a time: labels and value of each series."""
        found = self._ask("query", query=expr, time=str(time.time() if at is None else at))
        return [(each["metric"], float(each["value"][1])) for each in found["result"]]

    def query_range(
        self, expr: str, start: float, end: float, step: float
    ) -> list[tuple[Labels, list[tuple[float, float]]]]:
        """What it was from ``start`` to ``end``: labels, and points of time and value, of each series."""
        found = self._ask("query_range", query=expr, start=str(start), end=str(end), step=str(step))
        return [
            (each["metric"], [(float(at), float(value)) for at, value in each["values"]])
            for each in found["result"]
        ]

    def alerts(self) -> dict[str, str]:
        """The state, pending or firing, of each alert that has one."""
        return {each["labels"]["alertname"]: each["state"] for each in self._ask("alerts")["alerts"]}

    def unhealthy_rules(self) -> list[str]:
        """What is wrong with rules that cannot be evaluated."""
        [group] = self._ask("rules")["groups"]
        return [f"{each['name']}: {each['lastError']}" for each in group["rules"] if each["health"] == "err"]

    def _ask(self, what: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API. Raises ValueError with what Prometheus does not like."""
        answer = json.loads(self._get(f"/api/v1/{what}?{urllib.parse.urlencode(parameters)}"))
        if answer["status"] != "success":
            raise ValueError(f"{answer['error']}: {parameters}")
        return answer["data"]

    def _get(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{HOST}:{self.port}{path}", timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            return error.read()
