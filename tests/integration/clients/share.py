"""Share consumers under one protocol: Apache Kafka's own (Share.java), and franz-go's (franz/share.go).

    clients = java_share()
    clients.open("a", bootstrap, group, topic)
    clients.acknowledge("a", [(record, "ACCEPT") for record in clients.poll("a")])
    clients.end()

All methods block.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from lfsproxy.devstack.jars import class_path
from lfsproxy.devstack.java import find_java
from lfsproxy.devstack.kafka import DEFAULT_RELEASE
from tests.integration.clients.commands import franz
from tests.integration.clients.java import OPTIONS, require_compiler

SOURCE = Path(__file__).with_name("Share.java")
SECONDS = 20


@attrs.frozen
class Shared:
    """A record as a share consumer got it; ``delivery`` counts how often the group did."""

    partition: int
    offset: int
    delivery: int
    size: int
    crc: int


class ShareError(Exception):
    """A client's own error, by its name."""


class ShareClients:
    """A process with as many consumers as are opened in it, by name.

    ``gives_renewed``: whether a record that was renewed is polled once more, and only then acknowledged.
    """

    def __init__(self, command: Sequence[str], gives_renewed: bool) -> None:
        self.gives_renewed = gives_renewed
        self._folder = tempfile.TemporaryDirectory(prefix="lfsproxy-share-")
        self._log = Path(self._folder.name, "log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """What the clients have logged so far."""
        return self._log.read_text(errors="replace")

    def ask(self, **command: Any) -> Any:
        """One command's answer. Raises ShareError where the client has an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the share consumers ended:\n{self.log[-2000:]}")
        answer = json.loads(line)
        if answer.get("error"):
            raise ShareError(answer["error"], answer.get("message"))
        return answer

    def open(self, name: str, bootstrap: str, group: str, topic: str) -> None:
        """Make a consumer."""
        self.ask(do="open", name=name, bootstrap=bootstrap, group=group, topic=topic)

    def poll(self, name: str, seconds: int = SECONDS) -> list[Shared]:
        """The next records as soon as there are any; none after so many seconds."""
        return [Shared(**each) for each in self.ask(do="poll", name=name, seconds=seconds)["records"]]

    def acknowledge(self, name: str, acks: Iterable[tuple[Shared, str]]) -> list[str]:
        """Acknowledge records as ACCEPT, RELEASE, REJECT or RENEW; the errors of those that failed."""
        each = [[record.partition, record.offset, how] for record, how in acks]
        found: list[str] = self.ask(do="acknowledge", name=name, acks=each)["errors"]
        return found

    def close(self, name: str) -> None:
        """Have a consumer leave its group."""
        self.ask(do="close", name=name)


def java_share() -> ShareClients:
    """Those of Java. Raises SkipTest where there is no compiler."""
    require_compiler()
    classes = class_path(f"kafka-{DEFAULT_RELEASE}")
    return ShareClients([find_java(), *OPTIONS, "-cp", classes, str(SOURCE)], gives_renewed=True)


def franz_share() -> ShareClients:
    """Those of franz-go. Raises SkipTest where there is no Go."""
    return ShareClients([franz(), "share"], gives_renewed=False)


def configure(bootstrap: str, group: str, **config: str) -> None:
    """Configure a group. Names have ``_`` in place of the dots."""
    names = {name.replace("_", "."): value for name, value in config.items()}
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.GROUP, group, names)])
    finally:
        admin.close()
