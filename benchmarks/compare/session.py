"""A session: each workload by each target that can do it, round by round."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import psutil

from benchmarks.compare.client import ClientFailed, Outcome, run
from benchmarks.compare.figures import Sample
from benchmarks.compare.jobs import Job
from benchmarks.compare.results import Runs
from benchmarks.compare.rounds import order
from benchmarks.compare.servers import Real, null, random_file, real
from benchmarks.compare.targets import Options, Ready, Servers, Target
from benchmarks.compare.usage import Usage
from benchmarks.compare.workloads import Workload
from lfsproxy.devstack.errors import DevstackError


@attrs.frozen
class Done:
    """A workload with its samples, and by target what went wrong."""

    workload: Workload
    runs: Runs
    failed: Mapping[str, str]


def measure(
    workloads: Sequence[Workload], targets: Sequence[Target], options: Options, rounds: int
) -> Iterator[Done]:
    """Start the servers, and give each workload when it is done."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        behind: dict[bool, Servers] = {}
        if any(not target.null for target in targets):
            behind[False] = stack.enter_context(real())
        if any(target.null for target in targets):
            behind[True] = stack.enter_context(null())
        for workload in workloads:
            able = [(each, behind[each.null]) for each in targets if workload.load in each.loads]
            yield _play(workload, able, options, rounds, folder)


def _play(
    workload: Workload,
    able: Sequence[tuple[Target, Servers]],
    options: Options,
    rounds: int,
    folder: Path,
) -> Done:
    """All rounds of a workload. The targets are started anew for it, so that no other one shows in them."""
    file = random_file(folder, workload.size) if workload.load == "upload" else None
    for servers in {id(servers): servers for _, servers in able}.values():
        if isinstance(servers, Real):
            servers.provide(workload, folder)
    runs: Runs = {target.name: [] for target, _ in able}
    failed: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        started: list[tuple[str, Servers, Ready]] = []
        for target, servers in able:
            try:
                ready = stack.enter_context(target.start(servers, options))
                started.append((target.name, servers, ready))
            except DevstackError as error:
                failed[target.name] = str(error)
        for number in range(rounds):
            for name, servers, ready in order(started, number):
                if name in failed:
                    continue
                try:
                    runs[name].append(sample(ready, workload, ready.job(workload, servers, file)))
                except (ClientFailed, psutil.Error, OSError) as error:
                    # Of a process that is gone, /proc has nothing either.
                    failed[name] = f"{error}\n{ready.log()[-2000:]}"
                if isinstance(servers, Real):
                    servers.tidy()
    for name in failed:
        del runs[name]
    return Done(workload, runs, failed)


def sample(target: Ready, workload: Workload, job: Job) -> Sample:
    """One run of a workload by a target that runs. Raises ClientFailed."""
    usage: Usage | None = None

    def begins() -> None:
        nonlocal usage
        usage = Usage(target.pid) if target.pid is not None else None

    outcome: Outcome = run(job, begins)
    cpu, peak = usage.end() if usage is not None else (None, None)
    return Sample(
        seconds=outcome.seconds,
        size=workload.size * workload.count,
        requests=workload.count,
        client_cpu=outcome.client_cpu,
        p50=outcome.p50,
        p99=outcome.p99,
        cpu=cpu,
        base=usage.base if usage is not None else None,
        peak=peak,
    )
