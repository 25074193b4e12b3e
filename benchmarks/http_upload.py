"""Upload through the HTTP door, and the same file with boto3 straight to the same store, in one run.

    python -m benchmarks.http_upload [--mib 1024] [--rounds 3] [--at-once 16 --at-once-mib 256]

Alternates both, prints the median rates, their ratio, the proxy's CPU time and its peak memory; then uploads
several files at once and prints the peak memory again. Needs curl, and boto3 and psutil (extra ``test``).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from functools import partial
from pathlib import Path

from benchmarks.stack import (
    BUCKET,
    MIB,
    TOPIC,
    Series,
    Servers,
    measure,
    report,
    s3_client,
    servers,
    transfer_options,
)

BLOCK = 16 * MIB


def curl(running: Servers, path: Path) -> subprocess.Popen[bytes]:
    """Begin an upload of raw bytes; prints the status when it is done."""
    url = f"{running.proxy.http}/v1/topics/{TOPIC}/records"
    command = ["curl", "-s", "-S", "-o", os.devnull, "-w", "%{http_code}", "-X", "POST", "-H", "Expect:"]
    return subprocess.Popen([*command, "-T", str(path), url], stdout=subprocess.PIPE)


def upload(running: Servers, path: Path, count: int = 1) -> None:
    """Upload a file ``count`` times at once; every one must be answered 201."""
    at_work = [curl(running, path) for _ in range(count)]
    statuses = {each.communicate()[0] for each in at_work}
    if statuses != {b"201"}:
        raise SystemExit(f"the answers were {statuses}:\n{running.proxy.log[-2000:]}")


def write_file(path: Path, mib: int) -> None:
    """Random bytes, so that nothing on the way can compress them."""
    with path.open("wb") as file:
        for _ in range(mib * MIB // BLOCK):
            file.write(os.urandom(BLOCK))


def main() -> None:
    chosen = transfer_options(__doc__)
    straight, proxied = Series("boto3 straight to the store"), Series("HTTP through the proxy")
    with tempfile.TemporaryDirectory() as folder, servers() as running:
        large, small = Path(folder, "large"), Path(folder, "small")
        write_file(large, chosen.mib)
        write_file(small, chosen.at_once_mib)
        s3 = s3_client(running.s3)
        for _ in range(chosen.rounds):
            key = f"benchmark/{uuid.uuid4()}"
            measure(straight, chosen.mib * MIB, partial(s3.upload_file, str(large), BUCKET, key), None)
            s3.delete_object(Bucket=BUCKET, Key=key)
            measure(proxied, chosen.mib * MIB, lambda: upload(running, large), running.proxy)
        report(straight, proxied)
        print(f"peak RSS of the proxy: {running.proxy.peak_memory / 1e6:.0f} MB")
        together = Series(f"{chosen.at_once} uploads of {chosen.at_once_mib} MiB at once")
        size = chosen.at_once * chosen.at_once_mib * MIB
        measure(together, size, lambda: upload(running, small, chosen.at_once), running.proxy)
        print(f"{together}\npeak RSS of the proxy: {running.proxy.peak_memory / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
