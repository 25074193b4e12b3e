"""Clients that are programs of their own: kcat, and franz-go in a small Go program."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import SkipTest

from tests.integration.clients.records import BATCH_SIZE, Mode, Outcome, Record

FRANZ = Path(__file__).with_name("franz")
SECONDS = 90

_built = tempfile.TemporaryDirectory(prefix="lfsproxy-franz-")


def run(command: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, whatever its status."""
    return subprocess.run(command, input=stdin, capture_output=True, timeout=SECONDS, check=False)


def output_of(command: Sequence[str], stdin: bytes = b"") -> str:
    """What a program wrote. Raises RuntimeError with what it said where its status is not 0."""
    done = run(command, stdin)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def kcat(bootstrap: str) -> list[str]:
    """The command with its first arguments. Raises SkipTest where there is none."""
    found = shutil.which("kcat") or shutil.which("kafkacat")
    if found is None:
        raise SkipTest("kcat is not on PATH (apt-get install kcat)")
    return [found, "-b", bootstrap, "-X", "broker.address.family=v4"]


def franz() -> str:
    """The program of tests/integration/clients/franz, built now if this is the first call of the run.

    Raises SkipTest where there is no Go, or its modules cannot be had.
    """
    program = Path(_built.name, "franz")
    if not program.exists():
        go = shutil.which("go")
        if go is None:
            raise SkipTest("go is not on PATH, so franz-go is not tested")
        fetched = subprocess.run(
            [go, "mod", "download"], cwd=FRANZ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if fetched.returncode != 0:
            raise SkipTest(f"the modules of franz-go cannot be had: {fetched.stderr.strip()}")
        subprocess.run([go, "build", "-o", str(program), "."], cwd=FRANZ, timeout=3 * SECONDS, check=True)
    return str(program)


def franz_go(
    bootstrap: str, topic: str, records: Sequence[Record], mode: Mode, batch_bytes: int = 4 * BATCH_SIZE
) -> list[Outcome]:
    """By franz-go, with its own names of errors. Raises RuntimeError where the producer itself failed."""
    job = {
        "bootstrap": bootstrap,
        "topic": topic,
        "codec": mode.codec,
        "acks": mode.acks,
        "idempotent": mode.idempotent,
        "transactional_id": mode.transactional_id,
        "batch_bytes": batch_bytes,
        "records": [
            {
                "partition": record.partition,
                "key": _base64(record.key),
                "value": _base64(record.value),
                "headers": [{"name": name, "value": _base64(value)} for name, value in record.headers],
            }
            for record in records
        ],
    }
    answer = json.loads(output_of([franz(), "produce"], json.dumps(job).encode()))
    return [Outcome(**one) for one in answer["results"]]


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
