"""What the readers that are written in Python share: the job, and a line per record."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from typing import Any

import attrs

from tests.integration.hydration.model import digest_of


@attrs.frozen
class Wanted:
    """A partition to read, from ``start`` to ``until``, the offset of its last record."""

    topic: str
    partition: int
    start: int
    until: int


@attrs.frozen
class Job:
    """What the program is asked for; see the package."""

    bootstrap: str
    client_id: str
    committed: bool
    max_bytes: int
    partition_max_bytes: int
    parts: list[Wanted]
    rack: str = ""

    @property
    def isolation(self) -> str:
        return "read_committed" if self.committed else "read_uncommitted"


def read_job() -> Job:
    """The job on standard input."""
    asked = json.load(sys.stdin)
    return Job(**{**asked, "parts": [Wanted(**part) for part in asked["parts"]]})


class Printer:
    """Writes the lines, and knows when all was seen."""

    def __init__(self, job: Job) -> None:
        self._open = {(part.topic, part.partition): part.until for part in job.parts}

    @property
    def done(self) -> bool:
        """Whether the last record of each partition was seen."""
        return not self._open

    def line(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        timestamp: int,
        timestamp_type: int | None,
        headers: Iterable[tuple[str, bytes | None]],
        value: bytes | None,
    ) -> None:
        """Write a record."""
        length, digest = digest_of(value)
        fields: dict[str, Any] = {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "key": encoded(key),
            "timestamp": timestamp,
            "timestamp_type": timestamp_type,
            "headers": [[name, encoded(data)] for name, data in headers],
            "length": length,
            "sha256": digest,
        }
        sys.stdout.write(json.dumps(fields) + "\n")
        if offset >= self._open.get((topic, partition), offset + 1):
            del self._open[topic, partition]


def encoded(data: bytes | None) -> str | None:
    """Bytes in JSON."""
    return None if data is None else base64.b64encode(data).decode()
