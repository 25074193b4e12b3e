"""Kills both replicas of the proxy and the S3 server with SIGKILL, again and again under load.

    python -m benchmarks.kills [--seconds 60] [--seed N] [--s3proxy]

Kafka producers, HTTP clients and tus clients note what they are told; then everything is left to settle, and
the topics and the bucket are compared with the notes. Prints a table, and exits 1 where a promise was broken.
The seed decides the pauses between kills and what the clients do, not how all of that falls together.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from benchmarks.stack import BUCKET
from lfsproxy.devstack import KafkaServer, S3Server
from tests.integration.stack import Stack
from tests.integration.storm.notes import Door
from tests.integration.storm.run import Storm, observe

COLUMNS = {
    "sent": "sent",
    "acknowledged": "acknowledged",
    "refused": "refused",
    "unknown": "unknown",
    "unknown_but_there": "of these published",
    "lost": "lost",
    "twice": "twice",
    "dangling": "dangling",
    "wrong": "wrong bytes",
    "orphans": "blobs without a record",
}
"""The fields of a row with their headings."""
NAMES = {
    Door.PLAIN: "Kafka, plain records",
    Door.KAFKA: "Kafka, LFS records",
    Door.HTTP: "HTTP",
    Door.TUS: "tus",
}


def table(storm: Storm) -> str:
    """What came of it, in Markdown."""
    lines = [f"| door | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for door, name in NAMES.items():
        row = storm.findings.rows[door]
        lines.append(f"| {name} | {' | '.join(str(getattr(row, field)) for field in COLUMNS)} |")
    return "\n".join(lines)


def summary(storm: Storm) -> str:
    """What the table has no place for."""
    bucket = storm.bucket
    kills = ", ".join(f"{name} {count} times" for name, count in storm.kills.items())
    state = ", ".join(f"{count} {name}" for name, count in sorted(bucket.state.items())) or "nothing"
    unfinished = ", ".join(f"{count} of {topic}" for topic, count in sorted(storm.unfinished.items()))
    return (
        f"Killed: {kills}. Envelopes: {storm.findings.envelopes}; each blob was read and compared.\n"
        f"tus uploads whose outcome stays unknown: {len(bucket.unknown)}; blobs of others without a record: "
        f"{len(storm.findings.unexplained)}.\n"
        f"Left in the bucket: {len(bucket.unfinished)} unfinished multipart uploads ({unfinished}); "
        f"objects under lfs-uploads/: {state}."
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--logs", type=Path, default=None, help="a folder to leave the replicas' logs in")
    options.add_argument("--s3proxy", action="store_true", help="S3Proxy, also where PATH has MinIO")
    chosen = options.parse_args()
    seed = random.randrange(10**6) if chosen.seed is None else chosen.seed
    kafka, s3 = KafkaServer(), S3Server(minio="" if chosen.s3proxy else None)
    try:
        kafka.start()
        s3.start()
        s3.create_bucket(BUCKET)
        print(f"seed {seed}, {chosen.seconds:.0f} s, store: {s3.kind}", flush=True)
        storm = observe(Stack(kafka, s3, BUCKET), seed, chosen.seconds)
    finally:
        s3.close()
        kafka.close()
    print(f"\n{table(storm)}\n\n{summary(storm)}")
    if chosen.logs is not None:
        chosen.logs.mkdir(parents=True, exist_ok=True)
        for number, log in enumerate(storm.logs, 1):
            (chosen.logs / f"replica-{number}.log").write_text(log)
    for key in storm.findings.store_lost:
        print(f"cannot be completed (502), as the store has its parts no more: {key}")
    for key in storm.findings.unexplained:
        print(f"left without a reason: {key}")
    for line in storm.broken:
        print(f"BROKEN: {line}")
    sys.exit(1 if storm.broken else 0)


if __name__ == "__main__":
    main()
