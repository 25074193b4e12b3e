"""Counters that several processes share, and that outlive each of them.

prometheus-client keeps them in files that are mapped into memory (its multiprocess mode): a count is there as
soon as it is made, whatever becomes of the process. A file belongs to a worker's place, not to its process
id: a worker that follows another goes on counting in the same files, so that their number is bounded.

Gauges are those of the processes that live: the parent removes a dead worker's, by ``forget``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prometheus_client import Gauge, ProcessCollector, values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector, CollectorRegistry

from lfsproxy.errors import SettingError
from lfsproxy.metrics import PrometheusMetrics
from lfsproxy.words import error_text
from lfsproxy.workers.board import Board, remove_abandoned

IN_MEMORY = "/dev/shm"
"""Where Linux keeps files in memory. Elsewhere the kernel would write them to a disk again and again."""
PREFIX = "lfsproxy-workers-"
_LEAST = ("process_max_fds", "process_start_time_seconds")


def new_folder() -> str:
    """A folder for the files, which only this user can read. Raises SettingError where there can be none.

    Those that nobody uses any more are removed.
    """
    try:
        where = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else tempfile.gettempdir()
        remove_abandoned(Path(where).glob(f"{PREFIX}*"))
        return tempfile.mkdtemp(prefix=PREFIX, dir=where)
    except OSError as error:
        raise SettingError(
            f"LFS_WORKERS is above 1: no folder can be made for the metrics that workers share "
            f"({error_text(error)}); TMPDIR says where else"
        ) from None


def forget(folder: str, worker: int) -> None:
    """A worker has ended: its gauges count no more, its counters do."""
    mark_process_dead(worker, folder)  # type: ignore[no-untyped-call]  # of prometheus_client


class SharedMetrics(PrometheusMetrics):
    """Counts into the files of ``name`` (a worker's index, or "parent") in ``folder``; shows those of all.

    Made once in a process: from then on all metrics of prometheus-client that are made there are in files.
    """

    def __init__(self, version: str, folder: str, name: str, board: Board) -> None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        make: Any = values.MultiProcessValue
        values.ValueClass = make(lambda: name)
        self._followed: list[tuple[Gauge, Callable[[], float]]] = []
        super().__init__(version)
        self._continue(Path(folder, f"counter_{name}.db"))
        self.page = CollectorRegistry()
        self.page.register(_Merged(folder, self.refresh))
        self.page.register(_Processes(board))
        self.page.register(self._build)

    def refresh(self) -> None:
        """Write down what the gauges show that follow something."""
        for gauge, value in self._followed:
            gauge.set(value())

    def _follow(self, gauge: Gauge, value: Callable[[], float]) -> None:
        # A function of this process cannot be asked by another one.
        self._followed.append((gauge, value))
        gauge.set(value())

    def _continue(self, counters: Path) -> None:
        """The label values of the counters that are continued keep their places among the bounded ones."""
        for key, _, _, _ in MmapedDict.read_all_values_from_file(counters):  # type: ignore[no-untyped-call]  # of prometheus_client
            labels = json.loads(key)[2]
            for known, label in ((self._topic, "topic"), (self._api, "api")):
                if label in labels:
                    known.know(labels[label])


class _Merged(Collector):
    """All files together, with this process's own gauges as they are now."""

    def __init__(self, folder: str, refresh: Callable[[], None]) -> None:
        self._refresh = refresh
        self._files = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]  # of prometheus_client

    def collect(self) -> Iterable[Metric]:
        self._refresh()
        return list(self._files.collect())  # type: ignore[no-untyped-call]  # of prometheus_client


class _Processes(Collector):
    """The ``process_`` metrics of parent and workers as those of one process.

    CPU seconds of workers that have ended are in what the kernel says of the parent's children, so that the
    sum never falls.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for pid in (self._board.parent, *self._board.running):
            for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                self._add(found, metric)
        cpu = found.get("process_cpu_seconds")
        if cpu is not None:
            _raise_by(cpu, ended_seconds(self._board.parent))
        return list(found.values())

    @staticmethod
    def _add(found: dict[str, Metric], metric: Metric) -> None:
        first = found.setdefault(metric.name, metric)
        if first is metric:
            return
        value = metric.samples[0].value
        if metric.name in _LEAST:
            value = min(0.0, value - first.samples[0].value)
        _raise_by(first, value)


def _raise_by(metric: Metric, value: float) -> None:
    sample = metric.samples[0]
    metric.samples[0] = sample._replace(value=sample.value + value)


def ended_seconds(parent: int, proc: str = "/proc") -> float:
    """CPU seconds of a process's children that have ended (cutime and cstime of proc_pid_stat(5))."""
    try:
        fields = Path(proc, str(parent), "stat").read_bytes().split(b")")[-1].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
