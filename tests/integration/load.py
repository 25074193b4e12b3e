"""Many connections that each produce one LFS record after the other, in a process of its own.

    python -m tests.integration.load BOOTSTRAP TOPIC CONNECTIONS BYTES SECONDS

prints how many records were acknowledged, how many were not, and the slowest answer in seconds, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time

import attrs

from lfsproxy.wire.answers import ProduceResponse
from tests.integration import frames


@attrs.define
class Load:
    """What came of it."""

    acknowledged: int = 0
    failed: int = 0
    slowest: float = 0.0


def run(bootstrap: str, topic: str, connections: int, size: int, seconds: float) -> Load:
    """Produce for so many seconds in a process of its own. Blocks."""
    command = [sys.executable, "-m", "tests.integration.load", bootstrap, topic]
    command += [str(connections), str(size), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=seconds + 120)
    return Load(**json.loads(done.stdout))


async def _produce(load: Load, host: str, port: int, request: bytes, end: float) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while time.monotonic() < end:
        started = time.monotonic()
        writer.write(request)
        await writer.drain()
        size = int.from_bytes(await reader.readexactly(4), "big")
        answer = await reader.readexactly(size)
        (verdict,) = ProduceResponse.decode(frames.VERSION, answer[4:]).partitions
        load.acknowledged += verdict.error_code == 0
        load.failed += verdict.error_code != 0
        load.slowest = max(load.slowest, time.monotonic() - started)
    writer.close()


async def _load(bootstrap: str, topic: str, connections: int, size: int, seconds: float) -> Load:
    host, _, port = bootstrap.rpartition(":")
    request = frames.produce(topic, frames.batch(frames.records(frames.lfs(os.urandom(size)))))
    load = Load()
    end = time.monotonic() + seconds
    await asyncio.gather(*[_produce(load, host, int(port), request, end) for _ in range(connections)])
    return load


def main() -> None:
    bootstrap, topic, connections, size, seconds = sys.argv[1:]
    load = asyncio.run(_load(bootstrap, topic, int(connections), int(size), float(seconds)))
    print(json.dumps(attrs.asdict(load)))


if __name__ == "__main__":
    main()
