"""The readers by name: how each is run, and what it cannot tell of a record."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from tests.integration.hydration.model import NO_VALUE, Headers, Log, Part, Seen, View
from tests.integration.hydration.readers import tools
from tests.integration.hydration.readers.lines import Job, Wanted

ROOT = Path(__file__).resolve().parents[4]
MIB = 1024 * 1024
SECONDS: Final = 60.0
"""How long a reader may take: it would be far more if it did not get on."""


@attrs.frozen
class Limits:
    """What a client lets an answer have, in bytes: as a whole, and of one partition."""

    max_bytes: int = 50 * MIB
    partition_max_bytes: int = MIB


DEFAULT: Final = Limits()


@attrs.frozen
class Reader:
    """A client. ``command`` may raise SkipTest. ``known`` makes of a record what the client can tell of it.

    ``is_simple``: it gives markers as records, and those of aborted transactions, and fails where compaction
    has left nothing of a batch.
    """

    name: str
    command: Callable[[], list[str]]
    known: Callable[[Seen], Seen] = lambda seen: seen
    is_simple: bool = False

    def read(
        self,
        bootstrap: str,
        log: Log,
        view: View,
        starts: dict[Part, int] | None = None,
        limits: Limits = DEFAULT,
        client_id: str = "reader",
        seconds: float = SECONDS,
    ) -> tuple[list[Seen], list[Seen]]:
        """What the client gives, partition by partition in its own order, and what the log has. Blocks.

        Raises AssertionError where it fails, or takes longer than ``seconds``.
        """
        view = attrs.evolve(view, keeps_aborted=self.is_simple)
        given = dict.fromkeys(log.entries, 0) if starts is None else starts
        if self.is_simple:
            given = {part: start for part, start in given.items() if part[0] not in log.compacted}
        wanted = [
            Wanted(*part, start, found[-1].offset)
            for part, start in sorted(given.items())
            if (found := log.visible(part, view, start))
        ]
        job = Job(bootstrap, client_id, view.committed, limits.max_bytes, limits.partition_max_bytes, wanted)
        seen = self.run(job, seconds)
        if self.is_simple:
            seen = [one for one in seen if one.offset not in log.markers[one.topic, one.partition]]
        expected = log.seen(view, {(part.topic, part.partition): part.start for part in wanted})
        return [self.known(one) for one in seen], [self.known(one) for one in expected]

    def run(self, job: Job, seconds: float = SECONDS) -> list[Seen]:
        """What the client gives for a job, partition by partition in its own order.

        Blocks, and raises as ``read`` does.
        """
        command = self.command()
        asked = json.dumps(attrs.asdict(job)).encode()
        started = time.monotonic()
        try:
            done = subprocess.run(
                command, input=asked, capture_output=True, cwd=ROOT, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as late:
            lines = (late.stdout or b"").count(b"\n")
            told = (late.stderr or b"").decode(errors="replace")[-1000:]
            raise AssertionError(f"{self.name} has only {lines} records after {seconds} s: {told}") from None
        if done.returncode != 0:
            told = done.stderr.decode(errors="replace")[-2000:]
            spent = time.monotonic() - started
            raise AssertionError(f"{self.name}: status {done.returncode} after {spent:.1f} s: {told}")
        seen = [_parsed(json.loads(line)) for line in done.stdout.splitlines()]
        return sorted(seen, key=lambda one: (one.topic, one.partition))


def _parsed(line: dict[str, Any]) -> Seen:
    headers = tuple((name, _decoded(value)) for name, value in line["headers"])
    return Seen(**{**line, "key": _decoded(line["key"]), "headers": headers})


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _python(module: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"tests.integration.hydration.readers.{module}"]


def _kcat() -> list[str]:
    tools.kcat()
    return _python("kcat")()


def _without_type(seen: Seen) -> Seen:
    return attrs.evolve(seen, timestamp_type=None)


def _as_kcat(seen: Seen) -> Seen:
    """Without the timestamp's type, and the headers in one, as kcat writes them."""
    if [name for name, _ in seen.headers] == [""] and seen.timestamp_type is None:
        return seen
    told = b",".join(
        name.encode() + b"=" + (b"NULL" if value is None else value) for name, value in seen.headers
    )
    return attrs.evolve(seen, timestamp_type=None, headers=(("", told),))


def _as_kafka_go(seen: Seen) -> Seen:
    """Without what is empty or null, and without the time at which the broker appended it."""
    headers = tuple((name, value or None) for name, value in seen.headers)
    length = seen.length or NO_VALUE
    return attrs.evolve(
        seen,
        key=seen.key or None,
        timestamp=0,
        timestamp_type=None,
        headers=headers,
        length=length,
        sha256=seen.sha256 if length > 0 else "",
    )


def _by_name(seen: Seen) -> Seen:
    """Without the timestamp's type, the headers of one name together, as in an object of JavaScript's."""
    headers: Headers = tuple(sorted(seen.headers, key=lambda header: header[0]))
    return attrs.evolve(seen, timestamp_type=None, headers=headers)


READERS: Final = (
    Reader("librdkafka", _python("librdkafka")),
    Reader("kcat", _kcat, _as_kcat),
    Reader("java", tools.java),
    Reader("franz-go", lambda: tools.go("franz-go")),
    Reader("sarama", lambda: tools.go("sarama"), _without_type),
    Reader("kafka-go", lambda: tools.go("kafka-go"), _as_kafka_go, is_simple=True),
    Reader("kafka-python", _python("kafka_python")),
    Reader("aiokafka", _python("aiokafka")),
    Reader("kafkajs", tools.javascript, _by_name),
)
