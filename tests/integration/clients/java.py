"""Apache Kafka's own Java producer, in one process for the whole trial run, and the tools beside it."""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor

from lfsproxy.devstack.jars import class_path
from lfsproxy.devstack.java import find_java
from lfsproxy.devstack.kafka import DEFAULT_RELEASE
from lfsproxy.devstack.tools import write_tools
from tests.integration.clients.records import BATCH_SIZE, Mode, Outcome, Record

SOURCE = Path(__file__).with_name("Client.java")
OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m")
SMALL = 64 * 1024
MOST = 64 * 1024 * 1024

_lock = threading.Lock()
_tools_lock = threading.Lock()
_tools_written: dict[str, Path] = {}
_client: subprocess.Popen[str] | None = None
_folder = tempfile.TemporaryDirectory(prefix="lfsproxy-java-")


@functools.cache
def has_compiler() -> bool:
    """Whether the Java runtime at hand can run Client.java from its source."""
    listed = subprocess.run([find_java(), "--list-modules"], capture_output=True, text=True, check=True)
    return "jdk.compiler@" in listed.stdout


def require_compiler() -> None:
    """Raise SkipTest where there is no Java producer for the tests."""
    if not has_compiler():
        raise SkipTest(
            f"{find_java()} is a runtime without a compiler; a JDK is needed on PATH or in JAVA_HOME"
        )


def _start() -> subprocess.Popen[str]:
    """The Java process; it ends with the trial run, or when its standard input does."""
    command = [
        find_java(),
        *OPTIONS,
        "-cp",
        class_path(f"kafka-{DEFAULT_RELEASE}"),
        str(SOURCE),
    ]
    with Path(_folder.name, "client.log").open("ab") as log:
        client = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )

    def close() -> None:
        client.kill()
        client.wait()

    from_thread: Callable[..., Any] = reactor.callFromThread  # type: ignore[attr-defined]
    from_thread(reactor.addSystemEventTrigger, "before", "shutdown", close)
    return client


def produce(
    bootstrap: str, topic: str, records: Sequence[Record], mode: Mode, **config: Any
) -> list[Outcome]:
    """By KafkaProducer. ``config`` has Java's names with ``_`` in place of the dots.

    Raises RuntimeError where the producer itself failed, as at the commit of a transaction.
    """
    settings: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "compression.type": mode.codec,
        "acks": mode.acks,
        "enable.idempotence": str(mode.idempotent or bool(mode.transactional_id)).lower(),
        "linger.ms": 20,
        "batch.size": BATCH_SIZE,
        "buffer.memory": 2 * MOST,
        "max.request.size": MOST,
        **{name.replace("_", "."): value for name, value in config.items()},
    }
    if mode.transactional_id:
        settings["transactional.id"] = mode.transactional_id
    with tempfile.TemporaryDirectory(dir=_folder.name) as folder:
        command = {
            "config": settings,
            "transactional": bool(mode.transactional_id),
            "records": [_encode(topic, record, Path(folder, str(i))) for i, record in enumerate(records)],
        }
        answer = _ask(command)
    if answer["fatal"]:
        raise RuntimeError(answer["fatal"])
    return [
        Outcome(one.get("offset", -1), one.get("error", ""), one.get("message") or "")
        for one in answer["results"]
    ]


def _ask(command: dict[str, Any]) -> Any:
    global _client
    with _lock:
        if _client is None or _client.poll() is not None:
            _client = _start()
        assert _client.stdin is not None
        assert _client.stdout is not None
        _client.stdin.write(json.dumps(command) + "\n")
        _client.stdin.flush()
        line = _client.stdout.readline()
    if not line:
        raise RuntimeError(f"the Java client ended:\n{Path(_folder.name, 'client.log').read_text()[-2000:]}")
    return json.loads(line)


def _encode(topic: str, record: Record, file: Path) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "topic": topic,
        "partition": record.partition,
        "key": _base64(record.key),
        "headers": [[name, _base64(value)] for name, value in record.headers],
    }
    if record.value is not None and len(record.value) > SMALL:
        file.write_bytes(record.value)
        encoded["file"] = str(file)
    else:
        encoded["value"] = _base64(record.value)
    return encoded


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def tools(bootstrap: str) -> Path:
    """The folder of the commands, written once: a command that runs cannot be written."""
    with _tools_lock:
        if bootstrap not in _tools_written:
            folder = Path(_folder.name, f"tools-{bootstrap.replace(':', '-')}")
            _tools_written[bootstrap] = write_tools(folder, bootstrap)
        return _tools_written[bootstrap]


def tool(
    bootstrap: str,
    name: str,
    *arguments: str,
    stdin: bytes = b"",
    timeout: float = 60,
    with_errors: bool = False,
) -> str:
    """Run one of Kafka's commands (``kafka-topics`` ...); its standard output, and standard error if wanted.

    Raises RuntimeError with all that it said where it failed.
    """
    done = subprocess.run(
        [tools(bootstrap) / name, *arguments],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
        env=os.environ,
    )
    output = done.stdout.decode(errors="replace")
    errors = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise RuntimeError(f"{name}: status {done.returncode}\n{output}\n{errors}")
    return output + errors if with_errors else output
