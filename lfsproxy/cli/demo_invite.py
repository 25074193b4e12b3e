"""What the demo says when everything is up: where the servers are, and commands to paste into a second shell.

The commands work in any POSIX shell, from any folder, and whatever ports the demo was told to use.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from lfsproxy.cli.demo_round import FILE_NAME
from lfsproxy.cli.demo_servers import TOPIC, Servers
from lfsproxy.cli.demo_unaware import UnawareRound
from lfsproxy.devstack.s3 import LOCAL_KEY


def places(servers: Servers) -> list[tuple[str, str]]:
    """What is where, a name and a text each."""
    plan = servers.plan
    http, proxy = _addresses(servers)
    return [
        ("Upload page", f"{http}/"),
        ("HTTP API", f"{http}/docs describes it and tries it out"),
        ("Kafka clients", f"{proxy} (the proxy), {servers.brokers} (Kafka itself)"),
        ("S3", f"{servers.s3_endpoint}, bucket {plan.bucket}"),
        ("Metrics", f"http://localhost:{plan.metrics_port}/metrics"),
        ("Logs and data", str(servers.data)),
    ]


def exports(servers: Servers, folder: Path) -> list[str]:
    """The lines to paste first: they bring the commands, the file's folder and the servers' addresses."""
    http, proxy = _addresses(servers)
    variables = {"LFS_PROXY_URL": http, "LFS_PROXY_BOOTSTRAP": proxy, **servers.s3_environment}
    if variables.get("AWS_SECRET_ACCESS_KEY", LOCAL_KEY) != LOCAL_KEY:
        # A secret of the user's own is not shown: the other shell has it, too.
        del variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]
    commands = [str(path) for path in (servers.tools, Path(sys.executable).parent) if path is not None]
    return [
        f"cd {shlex.quote(str(folder))}",
        f'export PATH="{":".join(commands)}:$PATH"',
        "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items()),
    ]


def commands(servers: Servers) -> list[str]:
    """What can be tried once the ``exports`` are pasted."""
    plan = servers.plan
    http, proxy = _addresses(servers)
    lines = [
        f'curl -F "file=@{FILE_NAME}" {http}/v1/topics/{TOPIC}/records',
        f"kcat -P -b {proxy} -t {TOPIC} -H LFS_BLOB= -X message.max.bytes=100000000 {FILE_NAME}",
    ]
    if servers.tools:
        lines.append(f"kafka-console-consumer --topic {TOPIC} --from-beginning")
    lines += [
        f"lfsproxy download {TOPIC}:0:0 -o again.bin",
        f"cmp {FILE_NAME} again.bin",
        UnawareRound.command(servers),
        f"aws --endpoint-url {servers.s3_endpoint} s3 ls --recursive s3://{plan.bucket}",
    ]
    return lines


def _addresses(servers: Servers) -> tuple[str, str]:
    plan = servers.plan
    return f"http://localhost:{plan.http_port}", f"localhost:{plan.proxy_port}"
