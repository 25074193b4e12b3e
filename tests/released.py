"""The names that a release promises to its users: ``python -m tests.released`` writes them down.

``tests/released.json`` has the names of all releases so far. One that is gone since, or was renamed, has to
be on docs/upgrading.md (tests/docs/test_upgrading.py). Names that no release had may come and go: so the file
is written when a release is made, and ``make release-check`` fails while it lacks a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from lfsproxy.settings import setting_table, variable
from tests.docs.blocks import ROOT
from tests.web.doubles import OPERATIONS

FILE = ROOT / "tests" / "released.json"
_METRIC = re.compile(r"^\| `(lfsproxy_\w+)` \| [^|]+ \| ([^|]*)\|", re.MULTILINE)
"""A row of the page of the metrics, which tests/test_metrics.py holds to what is counted."""

Names = Mapping[str, list[str]]
"""By kind: settings, metrics with their labels, operations of the HTTP API, types of its problems."""


def current() -> Names:
    """The names of this tree."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    metrics = [
        f"{name}{{{labels.replace('`', '').replace(' ', '')}}}" for name, labels in _METRIC.findall(page)
    ]
    return {
        "settings": sorted(variable(name) for name in setting_table()),
        "metrics": sorted(metrics),
        "operations": sorted(f"{each.method} {each.path}" for each in OPERATIONS),
        "problems": sorted({error.problem for each in OPERATIONS for error in each.errors}),
    }


def released() -> Names:
    """The names of all releases."""
    found: Names = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def missing(these: Names, those: Names) -> list[str]:
    """The names that ``these`` have and ``those`` lack."""
    return [name for kind, names in these.items() for name in names if name not in those[kind]]


def main() -> None:
    """Add this tree's names to those of the releases."""
    now, before = current(), released()
    joined = {kind: sorted({*names, *before[kind]}) for kind, names in now.items()}
    FILE.write_text(json.dumps(joined, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
