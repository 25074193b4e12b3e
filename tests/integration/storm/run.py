"""Two replicas of the proxy and their S3 server are killed again and again under load, then all settles."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import attrs

from tests.integration.proxy import ProxyProcess
from tests.integration.stack import Stack
from tests.integration.storm.bucket import Bucket, blob_keys, look
from tests.integration.storm.inspection import Findings, inspect, read_all
from tests.integration.storm.notes import MIB, TOPICS, Journal, Publishes
from tests.integration.storm.posts import HttpClient
from tests.integration.storm.producers import KafkaClient
from tests.integration.storm.resuming import TusClient, settle
from tests.integration.storm.uploads import Upload
from tests.integration.storm.victims import Victim, start_proxy

PARTITIONS = 3
KAFKA_CLIENTS, HTTP_CLIENTS, TUS_CLIENTS = 3, 4, 8
SETTINGS = {"LFS_S3_PART_SIZE": str(5 * MIB), "LFS_MAX_PASSTHROUGH_SIZE": str(MIB)}
EXPIRY_SECONDS = 5
"""How long an upload lives while what is left is cleaned up."""
SETTLE_SECONDS = 150.0
"""What may be published, or not, is known 60 s after its intent."""


@attrs.define
class Storm:
    """What happened. ``kills`` by name; ``resumable`` are where the blobs of those tus uploads are that were
    not removed yet when the clean-up began."""

    kills: dict[str, int]
    findings: Findings
    bucket: Bucket
    logs: list[str]
    resumable: set[str]

    @property
    def unfinished(self) -> Counter[str]:
        """Unfinished multipart uploads that are left, by topic."""
        named = {key for log in self.logs for key in re.findall(r"lfs/default/[^ ]+\.bin", log)}
        return self.bucket.unfinished_by_topic(named | self.resumable)

    @property
    def broken(self) -> list[str]:
        """Every promise that was not kept."""
        traces = sum(len(re.findall(r"Traceback|Unhandled", log)) for log in self.logs)
        return self.findings.broken + ([f"{traces} tracebacks in the logs"] if traces else [])


def observe(servers: Stack, seed: int, seconds: float, settling: float = SETTLE_SECONDS) -> Storm:
    """Have a storm of so many seconds over servers whose S3 is nobody else's, and look what is left. Blocks.

    ``settling`` is for how long uploads without an end are asked for: below 60 s, some may stay without one.
    """
    for topic in TOPICS:
        servers.kafka.create_topic(topic, partitions=PARTITIONS)
    proxies = [ProxyProcess({**servers.environment, **SETTINGS}) for _ in range(2)]
    try:
        for proxy in proxies:
            proxy.start()
        return _observe(servers, proxies, seed, seconds, settling)
    finally:
        for proxy in proxies:
            proxy.close()


def _observe(
    servers: Stack, proxies: Sequence[ProxyProcess], seed: int, seconds: float, settling: float
) -> Storm:
    journal, over = Journal(), threading.Event()
    store, *replicas = victims = _victims(servers, proxies, seed)
    by_proxy = dict(zip(proxies, replicas, strict=True))

    def publishes(proxy: ProxyProcess) -> None:
        store.publishes()
        by_proxy[proxy].publishes()

    clients, resuming = _clients(proxies, journal, seed, over, publishes)
    with ThreadPoolExecutor(len(clients)) as threads:
        running = [threads.submit(client) for client in clients]
        try:
            for victim in victims:
                victim.begin()
            time.sleep(seconds)
        finally:
            over.set()
            for victim in victims:
                victim.end()
        for one in running:
            one.result()
    unsettled = settle([upload for client in resuming for upload in client.later], settling)
    client = servers.s3_client()
    resumable = blob_keys(client, look(servers.s3, client, servers.bucket))
    if settling >= SETTLE_SECONDS:
        journal.broken += [f"{_name(upload)} has come to no end: {upload.note.said}" for upload in unsettled]
        clean_up(servers, proxies)
    bucket = look(servers.s3, client, servers.bucket)
    findings = inspect(journal, read_all(servers.kafka.bootstrap), client, bucket)
    kills = {victim.name: victim.kills for victim in victims}
    return Storm(kills, findings, bucket, [proxy.log for proxy in proxies], resumable)


def _name(upload: Upload) -> str:
    return f"{upload.name} of {upload.note.size} bytes ({upload.plan.value})"


def _victims(servers: Stack, proxies: Sequence[ProxyProcess], seed: int) -> list[Victim]:
    victims = [Victim(servers.s3.kind, servers.s3.kill, servers.s3.start, Random(f"{seed} s3"))]
    for number, proxy in enumerate(proxies, 1):

        def start(proxy: ProxyProcess = proxy) -> None:
            start_proxy(proxy)

        victims.append(Victim(f"replica {number}", proxy.kill, start, Random(f"{seed} {number}")))
    return victims


def _clients(
    proxies: Sequence[ProxyProcess],
    journal: Journal,
    seed: int,
    over: threading.Event,
    publishes: Publishes,
) -> tuple[list[Callable[[], None]], list[TusClient]]:
    bootstrap = ",".join(proxy.bootstrap for proxy in proxies)
    running: list[Callable[[], None]] = []
    for number in range(KAFKA_CLIENTS):
        name = f"kafka-{number}"
        running.append(KafkaClient(name, bootstrap, journal, Random(f"{seed} {name}"), over).run)
    for number in range(HTTP_CLIENTS):
        name = f"http-{number}"
        running.append(HttpClient(name, proxies, journal, Random(f"{seed} {name}"), over, publishes).run)
    resuming = []
    for number in range(TUS_CLIENTS):
        name = f"tus-{number}"
        resuming.append(TusClient(name, proxies, journal, Random(f"{seed} {name}"), over, publishes))
        running.append(resuming[-1].run)
    return running, resuming


def clean_up(servers: Stack, proxies: Sequence[ProxyProcess]) -> None:
    """Have every upload expire: one that nobody knows, whose creation's answer was lost, too."""
    for proxy in proxies:
        proxy.stop()
        proxy.environment["LFS_TUS_EXPIRY"] = str(EXPIRY_SECONDS)
        proxy.start()
    client = servers.s3_client()
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        state = look(servers.s3, client, servers.bucket).state
        if not state["info"]:
            return
        time.sleep(2)
