"""The picture of the dashboard on the monitoring page: a real run, watched by a real Prometheus.

    python -m benchmarks.dashboard [--calm 25] [--folder docs/images]

Kafka, an S3 server and the proxy run on this machine, with load from both doors. After so many seconds of
calm each, a client makes mistakes, S3 is away for 4 s, and the broker is killed. The queries are those of
deploy/helm/lfsproxy/files/dashboard.json, as Grafana sends them. Needs ``prometheus`` on PATH.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from unittest import SkipTest

from benchmarks.plots import Line, picture
from tests.deploy.panels import panels
from tests.integration.monitored import Scene, play, scene
from tests.integration.prometheus import SCRAPE_SECONDS

POINTS = 60
TITLE = (
    "The dashboard with the data of a run: uploads, downloads, S3, Kafka, requests, memory and CPU over time."
)


def lines(stage: Scene, start: float, end: float) -> list[list[Line]]:
    """The series of each panel."""
    step = max(round((end - start) / POINTS), 1)
    return [
        [
            Line(query.name(labels), points)
            for query in panel.queries
            for labels, points in stage.prometheus.query_range(
                query.as_sent(step, SCRAPE_SECONDS), start, end, step
            )
        ]
        for panel in panels()
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calm", type=float, default=25)
    options.add_argument("--folder", type=Path, default=Path("docs/images"))
    chosen = options.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as stage:
            start = time.time()
            play(stage, chosen.calm)
            end = time.time()
            found = lines(stage, start, end)
    except SkipTest:
        raise SystemExit("prometheus is not on PATH") from None
    for name, dark in (("light", False), ("dark", True)):
        file = chosen.folder / f"dashboard-{name}.svg"
        file.write_text(picture(zip(panels(), found, strict=True), start, end, TITLE, dark), encoding="utf-8")
        print(f"{file}: {len(found)} panels, {sum(map(len, found))} series, {end - start:.0f} s")


if __name__ == "__main__":
    main()
