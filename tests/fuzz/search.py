"""Searches for new outcomes and keeps an input for each: ``python -m tests.fuzz.search --help``."""

from __future__ import annotations

import argparse
import random
import time

from tests.fuzz import corpus
from tests.fuzz.mutations import Mutator
from tests.fuzz.targets import TARGETS, Target, outcome


def search(target: Target, seed: int, seconds: float) -> tuple[int, int]:
    """How many inputs were tried, and how many outcomes are new. Keeps what breaks the reader, and raises."""
    kept = corpus.load(target.name)
    known = set(kept.values())
    before = len(known)
    inputs = Mutator(random.Random(f"{seed} {target.name}"), [*target.seeds(), *map(bytes.fromhex, kept)])
    tried, end = 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            data = inputs.next()
            tried += 1
            try:
                found = outcome(target, data)
            except BaseException:
                kept[data.hex()] = "broke the reader"
                raise
            if found not in known:
                known.add(found)
                kept[data.hex()] = found
    finally:
        corpus.save(target.name, kept)
    return tried, len(known) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each target")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("targets", nargs="*", choices=[[], *(target.name for target in TARGETS)])
    options = parser.parse_args()
    for target in TARGETS:
        if target.name in (options.targets or [target.name]):
            tried, new = search(target, options.seed, options.seconds)
            print(f"{target.name}: {tried} inputs, {new} new outcomes (seed {options.seed})", flush=True)


if __name__ == "__main__":
    main()
