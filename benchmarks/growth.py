"""What more of something costs: bytes, connections, topics, partitions, records, uploads at once.

    python -m benchmarks.growth [--only WORDS] [--json FILE] [--folder docs/images] [--minutes 10]

The curves are declared in ``growth_loads.py``. Each has a proxy of its own, in front of a broker and a store
that keep nothing. Prints each step and how its curve grows, and with --folder draws the curves. The exit code
is 1 where something grows above linear, or needs more memory than examples/operate/sizing.py says. What does
not fit into the time of a step or of the whole run is left out, and said.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.growth_curves import Curve, Grown, Refused
from benchmarks.growth_loads import CURVES
from benchmarks.growth_plot import picture
from benchmarks.null_stage import null_ends, stage


def measure(curve: Curve, ends: Mapping[str, str], until: float) -> Grown:
    """All steps of a curve, as far as there is time."""
    grown = Grown(curve)
    expected = 0.0
    with stage(ends, **curve.settings) as proxy:
        for step in curve.steps:
            if grown.costs:
                last = max(grown.costs)
                expected = grown.costs[last].seconds * step / last
            if expected > curve.limit or time.monotonic() + expected > until:
                grown.left_out[step] = f"it would take {expected:.0f} s"
                continue
            try:
                grown.costs[step] = curve.measure(proxy, step)
            except Refused as error:
                grown.left_out[step] = str(error)
    return grown


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--only", default="", help="curves with this in their name")
    options.add_argument("--json", type=Path)
    options.add_argument("--folder", type=Path)
    options.add_argument("--minutes", type=float, default=10)
    given = options.parse_args()
    until = time.monotonic() + 60 * given.minutes
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    found = []
    with null_ends() as ends:
        for curve in CURVES:
            if given.only in curve.name:
                found.append(measure(curve, ends, until))
                print(found[-1], flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps([each.as_json() for each in found], indent=1), encoding="utf-8")
    if given.folder is not None:
        for name, dark in (("light", False), ("dark", True)):
            (given.folder / f"growth-{name}.svg").write_text(picture(found, dark), encoding="utf-8")
    if any(each.faults for each in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
