"""What is measured: a table of workloads, each with its goals."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

import attrs

from benchmarks.compare.goals import Goal, at_least, at_most, at_most_beyond

KIB = 1024
MIB = 1024 * 1024

LARGE = ("rate", "cpu_per_gb", "base", "peak", "client")
IN_TURN = ("p50", "p99", "per_second", "cpu_per_request", "base", "peak", "client")
AT_ONCE = ("per_second", "p50", "p99", "cpu_per_request", "base", "peak", "client")

LOADS: Mapping[str, str] = {
    "upload": "http",
    "upload_in_turn": "http",
    "upload_small_at_once": "http",
    "download": "http",
    "offload": "kafka",
    "produce": "kafka",
    "produce_in_turn": "kafka",
    "consume": "kafka",
    "hydrate": "kafka",
}
"""What a client can do (``client`` has how), and through which door."""


@attrs.frozen
class Workload:
    """``count`` times ``size`` bytes by ``load``, ``at_once`` of them at a time.

    ``shown`` are the figures of its table, the first of which is drawn. One that is not ``default`` is run
    only by its name.
    """

    name: str
    title: str
    load: str
    size: int
    count: int
    at_once: int = 1
    shown: tuple[str, ...] = LARGE
    goals: tuple[Goal, ...] = ()
    measures: str = ""
    default: bool = True

    @property
    def door(self) -> str:
        """The door that it goes through."""
        return LOADS[self.load]


WORKLOADS: Sequence[Workload] = (
    Workload(
        "http-1g",
        "HTTP, 1 GiB",
        "upload",
        size=1024 * MIB,
        count=1,
        goals=(
            at_least("rate", 1.8, of="kafscale"),
            at_least("rate", 1.0, of="straight"),
            at_most("cpu_per_gb", 1.5),
            at_most("peak", 130),
        ),
        measures="how fast one large file goes to S3, and in how much memory",
    ),
    Workload(
        "http-64m",
        "HTTP, 16 x 64 MiB, 8 at once",
        "upload",
        size=64 * MIB,
        count=16,
        at_once=8,
        goals=(at_least("rate", 1.3, of="kafscale"), at_most("cpu_per_gb", 1.6), at_most("peak", 200)),
        measures="how uploads share a core, S3 and the memory for uploads",
    ),
    Workload(
        "http-1k",
        "HTTP, 1 KB on one connection",
        "upload_in_turn",
        size=1000,
        count=150,
        shown=IN_TURN,
        goals=(at_most("p50", 1.0, of="kafscale"), at_most_beyond("p50", 2.5, base="straight")),
        measures="what an upload costs beyond its bytes: one PUT and one Produce request",
    ),
    Workload(
        "http-1m",
        "HTTP, 1 MB on one connection",
        "upload_in_turn",
        size=1_000_000,
        count=75,
        shown=IN_TURN,
        goals=(at_most("p50", 1.0, of="kafscale"), at_most_beyond("p50", 2.5, base="straight")),
        measures="the same for a file of ordinary size",
    ),
    Workload(
        "http-64-at-once",
        "HTTP, 1 KB by 64 connections",
        "upload_small_at_once",
        size=1000,
        count=1500,
        at_once=64,
        shown=AT_ONCE,
        goals=(at_least("per_second", 1.3, of="kafscale"),),
        measures="how many small uploads a second there can be",
    ),
    Workload(
        "kafka-64m",
        "Kafka, 8 LFS records of 64 MiB",
        "offload",
        size=64 * MIB,
        count=8,
        goals=(at_least("rate", 1.7, of="kafscale"), at_most("cpu_per_gb", 1.8), at_most("peak", 150)),
        measures="how fast large records become blobs, and in how much memory",
    ),
    Workload(
        "kafka-10m",
        "Kafka, 32 LFS records of 10 MiB",
        "offload",
        size=10 * MIB,
        count=32,
        goals=(at_least("rate", 1.7, of="kafscale"), at_most("cpu_per_gb", 1.9)),
        measures="the same for records a little above what brokers take",
    ),
    Workload(
        "kafka-1k",
        "Kafka, ordinary records of 1 KB",
        "produce",
        size=1000,
        count=300_000,
        goals=(at_least("rate", 1.1, of="kafka-proxy"), at_most("cpu_per_gb", 1.0, of="kafka-proxy")),
        measures="what ordinary records notice of the proxy, in batches of up to 1 MB",
    ),
    Workload(
        "kafka-10k",
        "Kafka, ordinary records of 10 KB",
        "produce",
        size=10_000,
        count=60_000,
        goals=(at_least("rate", 1.1, of="kafka-proxy"), at_most("cpu_per_gb", 1.0, of="kafka-proxy")),
        measures="the same, with less work for the client",
    ),
    Workload(
        "kafka-in-turn",
        "Kafka, one record of 100 B a request",
        "produce_in_turn",
        size=100,
        count=4000,
        shown=IN_TURN,
        goals=(at_most_beyond("p50", 0.05, base="kafka-proxy"), at_most("cpu_per_request", 160)),
        measures="what the proxy adds to one small request (acks=1, linger.ms=0, the next after its answer)",
    ),
    Workload(
        "download-1g",
        "HTTP, download of 1 GiB",
        "download",
        size=1024 * MIB,
        count=1,
        goals=(at_least("rate", 0.5, of="straight"), at_most("cpu_per_gb", 1.4)),
        measures="how fast a blob is read and verified; straight, nothing is verified",
    ),
    Workload(
        "download-64m",
        "HTTP, 16 downloads of 64 MiB, 8 at once",
        "download",
        size=64 * MIB,
        count=16,
        at_once=8,
        measures="how downloads share a core",
        default=False,
    ),
    Workload(
        "hydrate-64m",
        "Kafka, 8 blobs of 64 MiB consumed without an SDK",
        "hydrate",
        size=64 * MIB,
        count=8,
        goals=(at_least("rate", 0.8, of="straight"), at_most("cpu_per_gb", 2.0), at_most("peak", 130)),
        measures="how fast a plain consumer gets blobs; straight, it is the Python library that reads them",
    ),
    Workload(
        "consume-1k",
        "Kafka, 1 KB records consumed",
        "consume",
        size=1000,
        count=300_000,
        measures="what consumers notice of the proxy",
        default=False,
    ),
    Workload(
        "tiny",
        "HTTP, 100 B by 4 connections",
        "upload_small_at_once",
        size=100,
        count=40,
        at_once=4,
        shown=AT_ONCE,
        measures="that all of this works, in a second",
        default=False,
    ),
)


def chosen(patterns: Sequence[str]) -> list[Workload]:
    """The workloads that one of ``patterns`` (as of file names) fits; without any, the default ones.

    Raises ValueError for a pattern that fits none.
    """
    if not patterns:
        return [each for each in WORKLOADS if each.default]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(each.name, pattern) for each in WORKLOADS):
            raise ValueError(f"{pattern} fits no workload: {', '.join(each.name for each in WORKLOADS)}")
    return [each for each in WORKLOADS if any(fnmatch.fnmatchcase(each.name, one) for one in patterns)]
