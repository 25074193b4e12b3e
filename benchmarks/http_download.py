"""Download through the HTTP door, and the same blob with boto3 straight from the same store, in one run.

    python -m benchmarks.http_download [--mib 1024] [--rounds 3] [--at-once 16 --at-once-mib 256]

Alternates both, prints the median rates, their ratio, the proxy's CPU time and its peak memory; then a
smaller blob several times at once, and the peak memory again. boto3 reads by one GET, as the proxy does, and
verifies nothing. Needs curl, and boto3 and psutil (extra ``test``).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.http_upload import write_file
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

READ = MIB


def upload(running: Servers, folder: str, mib: int) -> Any:
    """Put random bytes behind a record; what the proxy answers."""
    path = Path(folder, "file")
    write_file(path, mib)
    url = f"{running.proxy.http}/v1/topics/{TOPIC}/records"
    done = subprocess.run(["curl", "-sS", "-X", "POST", "-T", path, url], stdout=subprocess.PIPE, check=True)
    path.unlink()
    return json.loads(done.stdout)


def straight(s3: Any, key: str) -> None:
    """Read an object to its end, and forget it."""
    body = s3.get_object(Bucket=BUCKET, Key=key)["Body"]
    while body.read(READ):
        """Nothing is done with it."""


def download(running: Servers, record: Any, count: int = 1) -> None:
    """Download ``count`` times at once; every one must be whole."""
    place = f"{record['topic']}/partitions/{record['partition']}/records/{record['offset']}"
    command = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code} %{size_download}"]
    url = f"{running.proxy.http}/v1/topics/{place}"
    at_work = [subprocess.Popen([*command, url], stdout=subprocess.PIPE) for _ in range(count)]
    answers = {each.communicate()[0].decode() for each in at_work}
    if answers != {f"200 {record['envelope']['content_length']}"} or any(each.returncode for each in at_work):
        raise SystemExit(f"the answers were {answers}:\n{running.proxy.log[-2000:]}")


def main() -> None:
    chosen = transfer_options(__doc__)
    direct, proxied = Series("boto3 straight from the store"), Series("HTTP through the proxy")
    with tempfile.TemporaryDirectory() as folder, servers() as running:
        large, small = (upload(running, folder, mib) for mib in (chosen.mib, chosen.at_once_mib))
        # The peak of the uploads is not what is measured here.
        running.proxy.stop()
        running.proxy.start()
        s3 = s3_client(running.s3)
        get = partial(straight, s3, large["envelope"]["s3_key"])
        for _ in range(chosen.rounds):
            measure(direct, chosen.mib * MIB, get, None)
            measure(proxied, chosen.mib * MIB, partial(download, running, large), running.proxy)
        report(direct, proxied)
        print(f"peak RSS of the proxy: {running.proxy.peak_memory / 1e6:.0f} MB")
        together = Series(f"{chosen.at_once} downloads of {chosen.at_once_mib} MiB at once")
        size = chosen.at_once * chosen.at_once_mib * MIB
        measure(together, size, partial(download, running, small, chosen.at_once), running.proxy)
        print(f"{together}\npeak RSS of the proxy: {running.proxy.peak_memory / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
