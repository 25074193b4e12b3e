"""docker-compose.yml: what Compose's own loader says of it, its images, and what its monitoring is given."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any
from unittest import SkipTest

import yaml
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.settings import Settings
from tests.deploy.chart import CHART, ROOT
from tests.deploy.go_tools import go_tool
from tests.deploy.stopping import clean_up_seconds

FILE = ROOT / "docker-compose.yml"
FOLDER = ROOT / "deploy" / "compose"
LOADER = "github.com/compose-spec/compose-go/v2/cmd"
LOADER_VERSION = "v2.9.0"


@cache
def loader() -> Path:
    """Compose's loader as a command. Raises SkipTest where Go is not on PATH."""
    without = "docker-compose.yml is NOT CHECKED by Compose's loader: go is not on PATH"
    return go_tool("compose-go", LOADER_VERSION, LOADER, "cmd", without)


def load(file: Path) -> subprocess.CompletedProcess[str]:
    """What the loader says of a file: the whole project as JSON."""
    return subprocess.run(
        [loader(), "--format", "json", file], cwd=ROOT, capture_output=True, text=True, check=False
    )


def services() -> dict[str, Any]:
    """The services as they are written."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


def provisioned(name: str) -> dict[str, Any]:
    """A file of the monitoring's."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return found


class ComposeTests(SynchronousTestCase):
    def test_compose_takes_the_file(self) -> None:
        done = load(FILE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(set(json.loads(done.stdout)["services"]), set(services()))

    def test_the_loader_refuses_what_compose_does_not_know(self) -> None:
        for wrong in ({"imagge": "x"}, {"image": "x", "healthcheck": {"retries": "many"}}):
            file = Path(self.mktemp())
            file.write_text(yaml.safe_dump({"services": {"a": wrong}}))
            self.assertNotEqual(load(file.absolute()).returncode, 0, wrong)

    def test_the_monitoring_starts_only_where_it_is_asked_for(self) -> None:
        profiles = {name: service.get("profiles") for name, service in services().items()}
        asked = {name for name, given in profiles.items() if given}
        self.assertEqual(asked, {"prometheus", "grafana"})
        for name in asked:
            self.assertEqual(profiles[name], ["monitoring"])

    def test_what_a_service_waits_for_is_there_and_can_become_so(self) -> None:
        # The image's own check, of which Compose knows.
        checked = {name for name, service in services().items() if "healthcheck" in service} | {"lfsproxy"}
        for name, service in services().items():
            for other, waited in service.get("depends_on", {}).items():
                self.assertIn(other, services(), name)
                self.assertTrue(waited["condition"] != "service_healthy" or other in checked, name)
                self.assertTrue(
                    set(services()[other].get("profiles", [])) <= set(service.get("profiles", []))
                )

    def test_the_proxy_is_not_killed_while_it_stops(self) -> None:
        whole = round(Settings().drain_delay + Settings().drain_timeout) + clean_up_seconds()
        self.assertEqual(services()["lfsproxy"]["stop_grace_period"], f"{whole}s")

    def test_every_image_has_a_version(self) -> None:
        images = [service["image"] for service in services().values() if "image" in service]
        self.assertEqual(len(images), 5)
        for image in images:
            self.assertRegex(image, r":(v?\d+\.\d+\.\d+|RELEASE\.\S+Z)$")

    def test_every_file_that_is_mounted_is_there(self) -> None:
        mounted = [volume for service in services().values() for volume in service.get("volumes", [])]
        self.assertTrue(mounted)
        for volume in mounted:
            self.assertTrue((ROOT / volume.split(":")[0]).is_file(), volume)


class MonitoringTests(SynchronousTestCase):
    def mounts(self, service: str) -> dict[str, Path]:
        """Where a service sees which file of the repository."""
        pairs = [volume.split(":") for volume in services()[service]["volumes"]]
        return {target: ROOT / source for source, target, _ in pairs}

    def test_prometheus_takes_what_it_is_given(self) -> None:
        tool = shutil.which("promtool")
        if tool is None:
            raise SkipTest("the configuration of Prometheus is NOT CHECKED by promtool: it is not on PATH")
        root = Path(self.mktemp())
        for target, source in self.mounts("prometheus").items():
            place = root / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
        done = subprocess.run(
            [tool, "check", "config", root / "etc/prometheus/prometheus.yml"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("alerts.yaml", done.stdout)

    def test_prometheus_asks_the_proxy_at_its_metrics(self) -> None:
        [scraped] = provisioned("prometheus.yml")["scrape_configs"]
        self.assertEqual(scraped["static_configs"], [{"targets": ["lfsproxy:9095"]}])
        self.assertIn("127.0.0.1:9095:9095", services()["lfsproxy"]["ports"])

    def test_grafana_has_the_dashboard_of_the_chart_and_asks_prometheus(self) -> None:
        seen = self.mounts("grafana")
        [provider] = provisioned("grafana-dashboards.yml")["providers"]
        [dashboard] = [path for path in seen if path.startswith(provider["options"]["path"])]
        self.assertEqual(seen[dashboard], CHART / "files" / "dashboard.json")
        home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        self.assertEqual(home, dashboard)
        [source] = provisioned("grafana-datasources.yml")["datasources"]
        self.assertEqual((source["url"], source["isDefault"]), ("http://prometheus:9090", True))
        asked = provisioned("prometheus.yml")["global"]["scrape_interval"]
        self.assertEqual(source["jsonData"]["timeInterval"], asked)

    def test_only_this_machine_reaches_what_asks_nobody_to_sign_in(self) -> None:
        for service in services().values():
            for port in service.get("ports", []):
                self.assertTrue(re.match(r"127\.0\.0\.1:\d+:\d+$", port), port)
