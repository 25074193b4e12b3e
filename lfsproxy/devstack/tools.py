"""A folder of ``kafka-console-consumer`` and its siblings, to put on PATH: the commands that ship with Kafka.

They run from the same locked jars as the server, and talk to it where the command line names no other.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.kafka import DEFAULT_RELEASE, LOG4J
from lfsproxy.devstack.prepare import java_command

COMMANDS = {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-configs": "org.apache.kafka.tools.ConfigCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    "kafka-streams-groups": "org.apache.kafka.tools.streams.StreamsGroupCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
}

PERFORMANCE = ("kafka-producer-perf-test", "org.apache.kafka.tools.ProducerPerformance")
"""The one command without --bootstrap-server before Kafka 4.2: the address is among its --producer-props."""

_BOOTSTRAP = """\
case " $* " in
  *" --bootstrap-server "* | *" --bootstrap-server="* | *" --bootstrap-controller"*) ;;
  *) set -- --bootstrap-server "$server" "$@" ;;
esac
"""

_PRODUCER_PROPS = """\
case " $* " in
  *bootstrap.servers=* | *" --bootstrap-server"*) ;;
  *" --producer-props "*)
    count=$#
    while [ "$count" -gt 0 ]; do
      argument=$1
      shift
      set -- "$@" "$argument"
      if [ "$argument" = --producer-props ]; then set -- "$@" "bootstrap.servers=$server"; fi
      count=$((count - 1))
    done
    ;;
  *) set -- "$@" --producer-props "bootstrap.servers=$server" ;;
esac
"""


def write_tools(
    folder: Path, bootstrap: str, *, release: str = DEFAULT_RELEASE, cache: Path | None = None
) -> Path:
    """Fill ``folder`` with a script per command, ``bootstrap`` being the default server; returns ``folder``.

    Raises DevstackError, as the jars or a Java runtime may be missing.
    """
    java = java_command(f"kafka-{release}", cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log4j = folder / "log4j2.properties"
        log4j.write_text(LOG4J.replace("Console\n", "Console\nappender.out.target = SYSTEM_ERR\n", 1))
        for name, main_class in (*COMMANDS.items(), PERFORMANCE):
            default = _PRODUCER_PROPS if name == PERFORMANCE[0] else _BOOTSTRAP
            command = shlex.join([*java, f"-Dlog4j2.configurationFile={log4j.as_uri()}", main_class])
            script = folder / name
            script.write_text(f'#!/bin/sh\nserver={shlex.quote(bootstrap)}\n{default}exec {command} "$@"\n')
            script.chmod(0o755)
    except OSError as error:
        raise DevstackError(f"The folder {folder} cannot be written: {error.strerror}.") from error
    return folder
