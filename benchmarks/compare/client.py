"""The client of one run, a process of its own, so that its work is not taken for the proxy's.

It reads a Job as one line of JSON, prepares, says so by a line, waits for a line, works, and prints what came
of it as a line of JSON: the times of single requests are worked out here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from benchmarks.compare.figures import quantile
from benchmarks.compare.jobs import Job, Work

ROOT = Path(__file__).resolve().parents[2]
READY = "ready\n"
FAILED = "failed"
"""The one member of what is said in place of an outcome."""
LIMIT = 600.0
"""Seconds that a run may take."""


@attrs.frozen
class Outcome:
    """What the client saw, in seconds."""

    seconds: float
    client_cpu: float
    p50: float | None
    p99: float | None


class ClientFailed(Exception):
    """A request went wrong, or the client did not end in time."""


def run(job: Job, begins: Callable[[], object] = lambda: None) -> Outcome:
    """Do ``job`` in a process of its own; ``begins`` is called when it is ready, before it begins.

    Raises ClientFailed.
    """
    command = [sys.executable, "-m", "benchmarks.compare.client"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        late = threading.Timer(LIMIT, child.kill)
        late.start()
        try:
            child.stdin.write(json.dumps(attrs.asdict(job)) + "\n")
            answer = child.stdout.readline()
            if answer == READY:
                begins()
                child.stdin.write("go\n")
                answer = child.stdout.readline()
        except BrokenPipeError:
            answer = ""
        except BaseException:
            child.kill()
            raise
        finally:
            late.cancel()
        child.wait()
        said = json.loads(answer) if answer else {FAILED: f"the client ended with {child.returncode}"}
        if FAILED in said:
            raise ClientFailed(said[FAILED])
        return Outcome(**said)


def prepare(job: Job) -> Work:
    """Connect and warm up."""
    # Imported here: what a job does not need would cost its process memory and time.
    if job.load in ("produce", "produce_in_turn", "consume") or (
        job.load in ("offload", "hydrate") and not job.straight
    ):
        from benchmarks.compare import kafka_loads

        return kafka_loads.LOADS[job.load](job)
    if job.straight:
        from benchmarks.compare import straight_loads

        return straight_loads.LOADS[job.load](job)
    from benchmarks.compare import http_loads

    return http_loads.LOADS[job.load](job)


def measured(work: Work) -> dict[str, Any]:
    """Do it."""
    used, began = time.process_time(), time.perf_counter()
    times = sorted(work())
    seconds = time.perf_counter() - began
    p50, p99 = (quantile(times, share) for share in (0.5, 0.99)) if times else (None, None)
    return attrs.asdict(Outcome(seconds, time.process_time() - used, p50, p99))


def main() -> None:
    try:
        work = prepare(Job(**json.loads(sys.stdin.readline())))
        print(READY, end="", flush=True)
        said = measured(work) if sys.stdin.readline() else {}
    except Exception as error:
        said = {FAILED: f"{type(error).__name__}: {error}"}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
