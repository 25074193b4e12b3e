"""Streams a blob of 1 GiB by every SDK that is here, and prints the seconds and what its process grew by.

    python -m benchmarks.sdk_memory [--mebibytes 1024] [--rounds 3]

Each SDK has a process of its own, its driver of the end-to-end tests: it reads the blob in chunks, verifies
it and hashes it once more. The peak is the process's VmHWM after the last round, idle that before the first.
"""

from __future__ import annotations

import argparse
from time import perf_counter
from unittest import SkipTest

from benchmarks.stack import BUCKET, MIB, servers
from tests.integration.sdk_blobs import put_large
from tests.integration.sdks import SDKS, Sdk, new_driver
from tests.integration.stack import Stack


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mebibytes", type=int, default=1024, help="of the blob, a multiple of 8")
    options.add_argument("--rounds", type=int, default=3, help="by each SDK")
    chosen = options.parse_args()
    with servers() as running:
        stack = Stack(running.kafka, running.s3, BUCKET)
        value, sha256 = put_large(stack, "lfs/memory.bin", chosen.mebibytes * MIB)
        for sdk in SDKS:
            try:
                sdk.require()
            except SkipTest as reason:
                print(reason)
            else:
                measure(sdk, stack, value, sha256, chosen.rounds)


def measure(sdk: Sdk, stack: Stack, value: bytes, sha256: str, rounds: int) -> None:
    """Stream the blob by one SDK, and print what it took. Raises RuntimeError for other bytes."""
    driver = new_driver(sdk, stack)
    try:
        idle, seconds = driver.peak_memory, []
        for _ in range(rounds):
            started = perf_counter()
            answer = driver.read("stream", value)
            seconds.append(perf_counter() - started)
            if (answer["outcome"], answer["sha256"]) != ("blob", sha256):
                raise RuntimeError(f"{sdk.name}: {answer}")
        peak = driver.peak_memory
        took = " ".join(f"{each:.1f}" for each in seconds)
        print(
            f"{sdk.name}: idle {idle / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB, "
            f"grew by {(peak - idle) / 1e6:.0f} MB; {took} s",
            flush=True,
        )
    finally:
        driver.close()


if __name__ == "__main__":
    main()
