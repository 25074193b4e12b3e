"""Through what the workloads go: a table of targets, and how each is started."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import attrs

from benchmarks.compare import anchors
from benchmarks.compare.jobs import Job
from benchmarks.compare.kafka_loads import HYDRATED
from benchmarks.compare.servers import Null, Real, kept
from benchmarks.compare.workloads import LOADS, Workload
from benchmarks.stack import TOPIC
from lfsproxy.devstack.ports import HOST
from tests.integration.proxy import ProxyProcess

Servers = Real | Null
KAFKA = ("produce", "produce_in_turn", "consume")
UPLOADS = ("upload", "upload_in_turn", "upload_small_at_once")
NOT_READ = tuple(each for each in LOADS if each not in ("download", "consume", "hydrate"))


@attrs.frozen
class Ready:
    """A target that can be used: its process (None: there is none), its doors, and its log."""

    pid: int | None
    bootstrap: str
    http_port: int = 0
    upload_path: str = ""
    download_path: str = ""
    headers: Mapping[str, str] = attrs.Factory(dict)
    straight: bool = False
    log: Callable[[], str] = lambda: ""

    def job(self, workload: Workload, servers: Servers, file: Path | None) -> Job:
        """A workload, as a client of this target has to do it."""
        download = workload.load == "download"
        return Job(
            load=workload.load,
            size=workload.size,
            count=workload.count,
            at_once=workload.at_once,
            topic=workload.name if workload.load in ("consume", "hydrate") else TOPIC,
            bootstrap=self.bootstrap,
            straight=self.straight,
            file=str(file or ""),
            http_port=self.http_port,
            path=self.download_path.format(topic=workload.name) if download else self.upload_path,
            headers=self.headers,
            s3={**servers.s3, **({"key": kept(workload)} if download else {})},
        )


@attrs.frozen
class Options:
    """What the user says of targets: ``settings`` of the proxy, and a folder with another version of it."""

    settings: Mapping[str, str] = attrs.Factory(dict)
    other: Path | None = None


Start = Callable[[Servers, Options], AbstractContextManager[Ready]]


@attrs.frozen
class Target:
    """``loads`` are those that it can do. ``null``: it stands in front of servers that keep nothing.

    ``find`` raises anchors.Missing where it is not on this machine.
    """

    name: str
    title: str
    loads: Sequence[str]
    start: Start
    null: bool = False
    find: Callable[[Options], object] = lambda _: None


@contextlib.contextmanager
def ours(servers: Servers, options: Options, **environment: str) -> Iterator[Ready]:
    """The proxy of this checkout."""
    given = {
        "AWS_ACCESS_KEY_ID": servers.s3["access_key"],
        "AWS_SECRET_ACCESS_KEY": servers.s3["secret_key"],
        "LFS_S3_ENDPOINT": servers.s3["endpoint"],
        "LFS_S3_BUCKET": servers.s3["bucket"],
        "LFS_S3_PATH_STYLE": "true",
        "LFS_KAFKA_BROKERS": f"{HOST}:{servers.kafka_port}",
        "LFS_HYDRATE_TOPICS": "hydrate-*",
        "LFS_HYDRATE_CLIENT_IDS": HYDRATED,
        "LFS_HYDRATE_MAX_SIZE": "100000000",
    }
    proxy = ProxyProcess({**given, **options.settings, **environment})
    proxy.environment["LFS_KAFKA_BROKER_PORT_BASE"] = str(proxy.node_port - servers.node)
    try:
        proxy.start(60)
        yield Ready(
            proxy.pid,
            proxy.bootstrap,
            proxy.http_port,
            f"/v1/topics/{TOPIC}/records",
            "/v1/topics/{topic}/partitions/0/records/0",
            log=lambda: proxy.log,
        )
    finally:
        proxy.close()


def other(servers: Servers, options: Options) -> AbstractContextManager[Ready]:
    """Another version of the proxy, by this checkout's Python."""
    return ours(servers, options, PYTHONPATH=str(options.other))


def other_given(options: Options) -> None:
    """Raises Missing without another version."""
    if options.other is None:
        raise anchors.Missing("set OTHER (--other) to a folder with another version")
    if not (options.other / "lfsproxy").is_dir():
        raise anchors.Missing(f"{options.other} has no lfsproxy")


@contextlib.contextmanager
def straight(servers: Servers, _: Options) -> Iterator[Ready]:
    """No proxy."""
    yield Ready(None, f"{HOST}:{servers.kafka_port}", straight=True)


@contextlib.contextmanager
def kafscale(servers: Servers, _: Options) -> Iterator[Ready]:
    """KafScale's proxy."""
    with anchors.kafscale(servers) as running:
        yield Ready(
            running.process.pid,
            f"{HOST}:{running.kafka_port}",
            running.http_port,
            "/lfs/produce",
            headers={"X-Kafka-Topic": TOPIC},
            log=running.process.tail,
        )


@contextlib.contextmanager
def kafka_proxy(servers: Servers, _: Options) -> Iterator[Ready]:
    """kafka-proxy."""
    with anchors.kafka_proxy(servers) as running:
        yield Ready(running.process.pid, f"{HOST}:{running.kafka_port}", log=running.process.tail)


TARGETS: Sequence[Target] = (
    Target("ours", "LFS Proxy", tuple(LOADS), ours),
    Target("other", "another version of LFS Proxy", tuple(LOADS), other, find=other_given),
    Target(
        "straight",
        "no proxy: boto3 to S3, librdkafka to Kafka",
        [load for load in LOADS if load != "upload_small_at_once"],
        straight,
    ),
    Target(
        "kafscale",
        "KafScale's LFS proxy",
        NOT_READ,
        kafscale,
        find=lambda _: anchors.kafscale_programs(),
    ),
    Target(
        "kafka-proxy",
        "kafka-proxy",
        KAFKA,
        kafka_proxy,
        find=lambda _: anchors.kafka_proxy_program(),
    ),
    Target("null", "LFS Proxy in front of servers that keep nothing", NOT_READ, ours, null=True),
)


def present(names: Sequence[str], options: Options) -> tuple[list[Target], dict[str, str]]:
    """The targets of these names (none: all) that are on this machine, and why the others are not.

    Raises ValueError for a name that no target has.
    """
    known = {each.name for each in TARGETS}
    if wrong := sorted(set(names) - known):
        raise ValueError(f"there is no target {', '.join(wrong)}: {', '.join(sorted(known))}")
    found, absent = [], {}
    for target in TARGETS:
        if names and target.name not in names:
            continue
        try:
            target.find(options)
        except anchors.Missing as why:
            absent[target.name] = str(why)
        else:
            found.append(target)
    return found, absent
