"""Upload one large blob of unknown length, and the same bytes with boto3, to the same store in one run.

    python benchmarks/s3_upload.py --endpoint http://127.0.0.1:9000 --bucket kafscale --mib 1024 --rounds 3

Needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Every upload runs in a process of its own and prints its
rate, CPU seconds and peak resident memory; the last line is the median rate as a ratio to boto3's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import statistics
import subprocess
import sys
import time
import uuid

MIB = 1024 * 1024
CHUNK = 256 * 1024


class Stream(io.RawIOBase):
    """``size`` bytes that cannot be seeked in, the same block over and over."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._block = os.urandom(MIB)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = min(self._left, size if size >= 0 else self._left)
        self._left -= size
        # A new object for every read, as it is with bytes off a socket.
        return b"".join(
            [memoryview(self._block)[:MIB]] * (size // MIB) + [memoryview(self._block)[: size % MIB]]
        )


def with_boto3(options: argparse.Namespace) -> float:
    import boto3

    s3 = boto3.client("s3", endpoint_url=options.endpoint, region_name="us-east-1")
    started = time.perf_counter()
    s3.upload_fileobj(Stream(options.mib * MIB), options.bucket, key := f"bench/{uuid.uuid4()}")
    seconds = time.perf_counter() - started
    s3.delete_object(Bucket=options.bucket, Key=key)
    return seconds


def with_lfsproxy(options: argparse.Namespace) -> float:
    from twisted.internet.base import ReactorBase
    from twisted.internet.defer import Deferred
    from twisted.internet.task import deferLater, react

    from lfsproxy.backends import make_store
    from lfsproxy.budget import MemoryBudget
    from lfsproxy.checksums import new_checksum
    from lfsproxy.settings import Settings
    from lfsproxy.testing import MemoryMetrics

    async def upload(reactor: ReactorBase) -> None:
        settings = Settings(s3_bucket=options.bucket, s3_endpoint=options.endpoint, s3_path_style=True)
        s3 = make_store(reactor, settings, {}, MemoryMetrics())
        store = s3.blobs
        await store.check()
        started = time.perf_counter()
        lease = await MemoryBudget(
            reactor, settings.upload_memory, store.part_size, settings.stall_timeout
        ).acquire(store.part_size)
        key = f"bench/{uuid.uuid4()}"
        blob = store.begin(key, "application/octet-stream", {}, new_checksum("sha256"), None, lease)
        stream = Stream(options.mib * MIB)
        while data := stream.read(CHUNK):
            wait = blob.write(data)
            await (wait if wait is not None else deferLater(reactor, 0))
        await blob.seal()
        await blob.commit({})
        lease.release()
        took.append(time.perf_counter() - started)
        await store.delete(key)
        await s3.close()

    took: list[float] = []
    with contextlib.suppress(SystemExit):
        react(lambda reactor: Deferred.fromCoroutine(upload(reactor)))
    return took[0]


CLIENTS = {"boto3": with_boto3, "lfsproxy": with_lfsproxy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--bucket", default="kafscale")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        seconds = CLIENTS[options.client](options)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
        return
    rates: dict[str, list[float]] = {name: [] for name in CLIENTS}
    for _ in range(options.rounds):
        for name in CLIENTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--client", name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds, cpu, peak = map(float, output.split())
            rates[name].append(options.mib * MIB / seconds / 1e6)
            print(f"{name:9} {rates[name][-1]:7.1f} MB/s {cpu:6.2f} CPU s {peak / 1e6:6.1f} MB", flush=True)
    ratio = statistics.median(rates["lfsproxy"]) / statistics.median(rates["boto3"])
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
