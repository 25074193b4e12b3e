"""Reads by every SDK that is here: a blob of 1 GiB as a stream, and a poll of 100 blobs of 10 MiB.

    python -m benchmarks.sdk_reads [--mebibytes 1024] [--records 100] [--record-mebibytes 10] [--rounds 3]

Each SDK has a process of its own for each of the two, its driver of the end-to-end tests, which hashes what
it gets once more. Printed is a table in markdown: the best round's MB/s, and what the process grew by from
before the first round to its peak (VmHWM). An SDK that cannot do one of the two is told by name.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any
from unittest import SkipTest

import attrs

from benchmarks.stack import BUCKET, MIB, servers
from lfsproxy.envelope import Envelope
from tests.integration.sdk_blobs import payload, put_large
from tests.integration.sdks import SDKS, Driver, DriverError, Sdk, new_driver
from tests.integration.stack import Stack

CONCURRENCY = 8
MAX_BYTES = 256 * MIB


@attrs.frozen
class Read:
    """One way to read. ``ask`` has a driver do it, and raises RuntimeError for other bytes."""

    name: str
    size: int
    ask: Callable[[Driver], None]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mebibytes", type=int, default=1024, help="of the stream, a multiple of 8")
    options.add_argument("--records", type=int, default=100, help="of the poll")
    options.add_argument("--record-mebibytes", type=int, default=10, help="of each record of the poll")
    options.add_argument("--rounds", type=int, default=3, help="by each SDK")
    chosen = options.parse_args()
    with servers() as running:
        stack = Stack(running.kafka, running.s3, BUCKET)
        reads = (
            stream_of(stack, chosen.mebibytes * MIB),
            poll_of(stack, chosen.records, chosen.record_mebibytes * MIB),
        )
        print("| SDK | read | MB/s | peak memory, MB |")
        print("|---|---|---:|---:|")
        for sdk in SDKS:
            try:
                sdk.require()
            except SkipTest as reason:
                print(reason, file=sys.stderr)
            else:
                for read in reads:
                    print(measure(sdk, stack, read, chosen.rounds), flush=True)


def stream_of(stack: Stack, size: int) -> Read:
    """One large blob, in chunks."""
    value, sha256 = put_large(stack, "lfs/stream.bin", size)

    def ask(driver: Driver) -> None:
        check(driver.read("stream", value), {"outcome": "blob", "length": size, "sha256": sha256})

    return Read(f"a stream of {size // MIB} MiB", size, ask)


def poll_of(stack: Stack, count: int, size: int) -> Read:
    """A poll's blobs, each of other bytes, in parallel."""
    values: list[bytes | None] = []
    wanted: list[dict[str, Any]] = []
    data = bytearray(payload(size))
    for number in range(count):
        data[:4] = number.to_bytes(4)
        key, digest = f"lfs/poll/{number}.bin", hashlib.sha256(data).hexdigest()
        stack.s3_client().put_object(Bucket=stack.bucket, Key=key, Body=bytes(data))
        values.append(Envelope(stack.bucket, key, "image/png", size, "sha256", digest).to_bytes())
        wanted.append({"outcome": "blob", "length": size, "sha256": digest})

    def ask(driver: Driver) -> None:
        answer = driver.poll(values, CONCURRENCY, MAX_BYTES)
        check(answer, {"outcome": "ok"})
        for seen, one in zip(answer["records"], wanted, strict=True):
            check(seen, one)

    return Read(f"a poll of {count} x {size // MIB} MiB", count * size, ask)


def check(answer: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise RuntimeError for another answer."""
    if {name: answer.get(name) for name in wanted} != wanted:
        raise RuntimeError(f"{answer}, and not {wanted}")


def measure(sdk: Sdk, stack: Stack, read: Read, rounds: int) -> str:
    """A line of the table."""
    driver = new_driver(sdk, stack)
    try:
        idle, seconds = driver.peak_memory, []
        for _ in range(rounds):
            started = perf_counter()
            read.ask(driver)
            seconds.append(perf_counter() - started)
        grown = (driver.peak_memory - idle) / 1e6
        return f"| {sdk.name} | {read.name} | {read.size / 1e6 / min(seconds):.0f} | {grown:.0f} |"
    except (DriverError, RuntimeError) as error:
        return f"| {sdk.name} | {read.name} | not done: {' '.join(str(error).split())[:80]} | |"
    finally:
        driver.close()


if __name__ == "__main__":
    main()
