"""What a session found, and the file that it is kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import attrs

from benchmarks.compare.figures import Sample
from benchmarks.compare.workloads import WORKLOADS, Workload

Runs = dict[str, list[Sample]]
"""By target: the samples of its rounds, in order."""


@attrs.define
class Results:
    """``machine`` says on what, ``command`` by what.

    ``absent`` has why targets are not there, ``failed`` what went wrong with a workload by a target, whose
    samples are then left out.
    """

    machine: Mapping[str, str]
    command: str
    absent: Mapping[str, str] = attrs.Factory(dict)
    failed: dict[str, str] = attrs.Factory(dict)
    runs: dict[str, Runs] = attrs.Factory(dict)

    def of(self) -> list[tuple[Workload, Runs]]:
        """Each workload that was run, in the order of the table."""
        return [(each, self.runs[each.name]) for each in WORKLOADS if each.name in self.runs]

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(attrs.asdict(self), indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Results:
    """What ``write`` kept. Samples of workloads that are no longer in the table are not shown."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    runs = {
        workload: {target: [Sample(**one) for one in samples] for target, samples in targets.items()}
        for workload, targets in kept.pop("runs").items()
    }
    return Results(**kept, runs=runs)
