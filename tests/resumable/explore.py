"""Explores every order and every fate of what replicas ask, down to the last step of each.

    python -m tests.resumable.explore [--faults N] [--jumps N] [--seconds N] [SCRIPT ...]

A script is what each replica is asked for, as in ``finish,end/finish``, behind signs that say how the upload
begins: see tests.resumable.world. Prints how many states there are; after ``--seconds`` how many were seen.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence

from tests.resumable.scene import JUMP, LONG, SIGNS, TICK, Choice
from tests.resumable.world import World

SCRIPTS = (
    "finish,finish/finish",
    "finish,end/finish",
    "finish,finish/end",
    "finish/expire",
    "finish,end/expire",
    "+finish/finish",
    "+finish/end",
    "+!finish/finish",
    "~patch,finish/patch2",
    "~patch/end",
    "~patch/expire",
)


def explore(
    script: str,
    faults: int,
    jumps: int,
    spans: Sequence[float] = (TICK, JUMP, LONG),
    seconds: float = math.inf,
) -> int:
    """The number of states seen, within ``seconds``. Raises BrokenPromise with the steps that led there."""
    end = time.monotonic() + seconds
    seen: set[tuple[int, int, int]] = set()
    waiting: list[tuple[Choice, ...]] = [()]
    while waiting and time.monotonic() < end:
        world, left = _replay(script, waiting.pop(), (faults, jumps), spans)
        while True:
            state = (world.fingerprint(), *left)
            if state in seen:
                break
            seen.add(state)
            choices = world.choices(*left)
            if not choices:
                break
            here = tuple(world.steps)
            waiting += [(*here, other) for other in choices[1:]]
            left = _step(world, choices[0], left)
    return len(seen)


def _replay(
    script: str, steps: Sequence[Choice], left: tuple[int, int], spans: Sequence[float]
) -> tuple[World, tuple[int, int]]:
    asked = script.lstrip(SIGNS)
    signs = script.removesuffix(asked)
    world = World([one.split(",") for one in asked.split("/")], signs, spans)
    for step in steps:
        left = _step(world, step, left)
    return world, left


def _step(world: World, choice: Choice, left: tuple[int, int]) -> tuple[int, int]:
    faults, jumps = world.choose(choice)
    return left[0] - faults, left[1] - jumps


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.resumable.explore")
    parser.add_argument("scripts", nargs="*", default=SCRIPTS)
    parser.add_argument("--faults", type=int, default=1)
    parser.add_argument("--jumps", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf)
    options = parser.parse_args()
    for script in options.scripts:
        started = time.monotonic()
        states = explore(script, options.faults, options.jumps, seconds=options.seconds)
        print(f"{script}: {states} states, {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
