"""Set-ups of which one thing is wrong, and what ``lfsproxy check`` says of each.

    python -m tests.integration.broken_setups      # the table of docs/operate/upkeep.md, as Markdown

They are tried with the real servers of the tests, where these can be had so wrong; else with doubles on
loopback. Those of ``tests.integration.mistakes`` are among them.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import attrs
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults, maybeDeferred
from twisted.internet.protocol import Factory, Protocol

from lfsproxy.cli.checking import check_all
from lfsproxy.cli.console import Screen
from lfsproxy.cli.upkeep import Job
from lfsproxy.devstack import KafkaServer
from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.metrics import PrometheusMetrics
from lfsproxy.settings import load_settings
from lfsproxy.upkeep.steps.chain import Step
from tests.certificates import Authority
from tests.integration.minio_users import create_user, read_policy, set_policy, without
from tests.integration.mistakes import mistakes
from tests.integration.rights import EXAMPLES
from tests.integration.secured import SecuredKafka, secured
from tests.integration.stack import in_thread
from tests.integration.wrong_servers import other_web_server
from tests.s3.bucket import Reply, Request, error_answer
from tests.s3.fake_s3 import FakeS3

AT_ONCE = 6
SECRET = "a-secret-of-the-user"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@attrs.frozen
class Setup:
    """What somebody set up: variables besides those of one that works, and the topic that is asked for.

    ``step`` is a part of the name of the step that tells; else it is the first one that failed.
    """

    name: str
    environment: Mapping[str, str]
    topic: str | None = None
    step: str = ""


@attrs.frozen
class Told:
    """The step that tells what is wrong with a set-up, and all of them."""

    setup: Setup
    step: Step
    steps: Sequence[Step]

    @property
    def row(self) -> str:
        """A row of the page's table, with the usual ports."""
        step = self.step
        mark = "ok, but" if step.ok else "FAILED"
        cells = (self.setup.name, f"{mark} {step.name}", step.wrong or step.note, step.do)
        return f"| {' | '.join(_usual(each) for each in cells)} |"


def _usual(text: str) -> str:
    """Without what differs from run to run: ports, folders, uuids, days."""
    for pattern, usual in (
        (r"\blocalhost:\d+", "localhost:9000"),
        (r"\b127\.0\.0\.1:\d+", "127.0.0.1:9092"),
        (r"/tmp/[\w./-]*/", "/etc/lfsproxy/"),
        (_UUID, "…"),
        (r"\d{4}-\d\d-\d\d\b", "2026-01-31"),
    ):
        text = re.sub(pattern, usual, text)
    return text.replace("|", "\\|")


class _Hung(Protocol):
    """Takes connections and never answers."""


class _Unconditional(FakeS3):
    """Writes over what is there, as stores do that do not know If-None-Match."""

    def put_object(self, request: Request, body: bytes) -> Reply:
        request.headers.pop("if-none-match", None)
        return super().put_object(request, body)


class _NoCrc(FakeS3):
    """Refuses objects with a CRC-32C."""

    def put_object(self, request: Request, body: bytes) -> Reply:
        if "x-amz-checksum-crc32c" in request.headers:
            return error_answer(400, "InvalidRequest")
        return super().put_object(request, body)


@contextmanager
def no_other_credentials() -> Iterator[None]:
    """Within it, botocore finds none but those in a set-up's variables."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "LFS_"))}
    with (
        tempfile.TemporaryDirectory() as home,
        patch.dict(os.environ, {**kept, "HOME": home, "AWS_EC2_METADATA_DISABLED": "true"}, clear=True),
    ):
        yield


async def check(setup: Setup, right: Mapping[str, str]) -> Told:
    """What ``lfsproxy check`` says of it. Raises LookupError where nothing is wrong."""
    anywhere = f"{HOST}:0"
    environment = {
        **right,
        "LFS_HTTP_ADDR": anywhere,
        "LFS_METRICS_ADDR": anywhere,
        "LFS_KAFKA_ADDR": anywhere,
        "LFS_KAFKA_BROKER_PORT_BASE": str(free_port() - 1),
        **setup.environment,
    }
    loaded = load_settings(environment, {})
    job = Job(reactor, loaded, environment, PrometheusMetrics("test"), Screen(quiet=True), as_json=True)
    steps = await check_all(job, setup.topic, lambda step: None)
    for step in steps:
        if setup.step in step.name and (step.ok is False or (setup.step and step.warning)):
            return Told(setup, step, steps)
    raise LookupError(
        f"nothing is wrong with: {setup.name}; {[each for each in steps if each.ok is not True]}"
    )


async def check_each(setups: Sequence[Setup], right: Mapping[str, str]) -> list[Told]:
    """All of them, some at a time."""
    limit = DeferredSemaphore(AT_ONCE)
    with no_other_credentials():
        asked = [limit.run(check, each, right) for each in setups]
        return await gatherResults(asked, consumeErrors=True)


@asynccontextmanager
async def setups() -> AsyncIterator[tuple[list[Setup], Mapping[str, str]]]:
    """All of them, and the variables of one that works; the servers that they need end with the context."""
    servers = await secured()
    async with AsyncExitStack() as ending:
        made = mistakes(servers)
        others = await in_thread(made.__enter__)
        ending.push_async_callback(in_thread, made.__exit__, None, None, None)
        here = await ending.enter_async_context(_doubles())
        advertised = KafkaServer(
            config={"advertised.listeners": f"PLAINTEXT://{HOST}:{free_port()}"}, heap="256m"
        )
        ending.push_async_callback(in_thread, advertised.close)
        await in_thread(advertised.start)
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="lfsproxy-setups-")))
        yield (
            [
                *(Setup(one.name, one.environment) for one in others),
                *await _kafka(servers, advertised, here["hung"]),
                *await _s3(servers, here, folder),
                *_own(ending.enter_context(ExitStack()), folder),
            ],
            servers.stack.environment,
        )


@asynccontextmanager
async def _doubles() -> AsyncIterator[dict[str, int]]:
    """Ports of servers in this process."""
    factories: dict[str, Any] = {
        "hung": Factory.forProtocol(_Hung),
        "unconditional": _Unconditional(),
        "no crc": _NoCrc(),
    }
    listening = {name: reactor.listenTCP(0, factory, interface=HOST) for name, factory in factories.items()}
    try:
        yield {name: cast(Any, port.getHost()).port for name, port in listening.items()}
    finally:
        for port in listening.values():
            await maybeDeferred(port.stopListening)


async def _kafka(servers: SecuredKafka, advertised: KafkaServer, hung: int) -> list[Setup]:
    kafka = servers.kafka
    await in_thread(kafka.create_topic, "check-denied")
    await in_thread(servers.allow_only, "alice", "check-denied")
    await in_thread(kafka.create_topic, "check-small", config={"max.message.bytes": "2000"})
    as_proxy = servers.environment("SASL", "PLAIN")
    return [
        Setup("Kafka does not answer", {"LFS_KAFKA_BROKERS": f"{HOST}:{hung}"}),
        Setup(
            "one of several Kafka addresses is wrong",
            {"LFS_KAFKA_BROKERS": f"{kafka.bootstrap},kafka-2.invalid:9092"},
        ),
        Setup(
            "clients are told an address that cannot be reached", {"LFS_KAFKA_BROKERS": advertised.bootstrap}
        ),
        Setup("no such topic", {}, "nowhere"),
        Setup("a topic name that Kafka does not allow", {}, "no topic/name"),
        Setup("the Kafka user may not write to the topic", as_proxy, "check-denied", "produce"),
        Setup("the topic takes only small records", {}, "check-small"),
        Setup(
            "the proxy has no sign-in of its own",
            {name: text for name, text in as_proxy.items() if not name.startswith("LFS_KAFKA_SASL")},
            step="metadata",
        ),
        Setup("broker ports above 65535", {"LFS_KAFKA_BROKER_PORT_BASE": "65535"}),
    ]


async def _s3(servers: SecuredKafka, here: Mapping[str, int], folder: Path) -> list[Setup]:
    s3 = servers.stack.s3
    found = [
        Setup(
            "the store has no conditional writes",
            {"LFS_S3_ENDPOINT": f"http://localhost:{here['unconditional']}"},
            step="conditional",
        ),
        Setup("the store refuses a CRC-32C", {"LFS_S3_ENDPOINT": f"http://localhost:{here['no crc']}"}),
        Setup("S3 does not answer", {"LFS_S3_ENDPOINT": f"http://localhost:{here['hung']}"}),
    ]
    if s3.kind != "MinIO":
        return found
    proxy = read_policy(EXAMPLES / "s3-proxy-policy.json")
    policies = {
        "may-read": read_policy(EXAMPLES / "s3-reader-policy.json"),
        "may-not-delete": without(proxy, "s3:DeleteObject"),
        "may-not-abort": without(proxy, "s3:AbortMultipartUpload"),
    }
    for name, policy in policies.items():
        await in_thread(set_policy, s3, name, policy)
        await in_thread(create_user, s3, name, SECRET, name)

    def user(name: str) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": SECRET}

    return [
        *found,
        Setup("a bucket name that S3 does not allow", {"LFS_S3_BUCKET": "No_Bucket"}),
        Setup("the S3 user may only read", user("may-read"), step="put"),
        Setup("the S3 user may not delete", user("may-not-delete")),
        Setup("the S3 user may not abort uploads", user("may-not-abort")),
    ]


def _own(ending: ExitStack, folder: Path) -> list[Setup]:
    """Of the proxy's own files and ports."""
    taken = ending.enter_context(socket.create_server((HOST, 0)))
    authority = Authority(folder, "check")
    here, other = authority.issue("proxy.example"), authority.issue("other.example")
    expired = authority.issue("expired.example", days=-3)
    served = other_web_server(authority.issue("localhost", days=-2))
    ending.callback(served.close)
    keys = folder / "keys.json"
    keys.write_text("no JSON\n")

    def https(certificate: Path, key: Path) -> dict[str, str]:
        return {"LFS_HTTP_TLS_CERT": str(certificate), "LFS_HTTP_TLS_KEY": str(key)}

    return [
        Setup(
            "S3 certificate that has expired",
            {"LFS_S3_ENDPOINT": f"https://localhost:{served.port}", "LFS_S3_CA": str(authority.file)},
        ),
        Setup("a port of the proxy is in use", {"LFS_HTTP_ADDR": f"{HOST}:{taken.getsockname()[1]}"}),
        Setup("a file that is not there", https(here.certificate, folder / "nowhere.key")),
        Setup("a key of another certificate", https(here.certificate, other.key)),
        Setup("an own certificate that has expired", https(expired.certificate, expired.key)),
        Setup("a file of API keys that is none", {"LFS_HTTP_API_KEYS_FILE": str(keys)}),
        Setup(
            "an advertised host that DNS does not know",
            {"LFS_KAFKA_ADVERTISED_HOST": "proxy.invalid"},
            step="LFS_KAFKA_ADVERTISED_HOST",
        ),
    ]


async def print_table() -> None:
    """Start the servers, check every set-up, and print what was said."""
    async with setups() as (all_of_them, right):
        told = await check_each(all_of_them, right)
    print("| set-up | step | what is wrong | what to do |\n|---|---|---|---|")
    print("\n".join(one.row for one in told))


if __name__ == "__main__":
    task.react(lambda _: Deferred.fromCoroutine(print_table()))
