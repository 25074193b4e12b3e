"""Restarts two replicas behind HAProxy again and again while clients go on: what the clients saw, as a table.

    python -m tests.integration.rolling [RESTARTS]

RESTARTS is 10 unless told. ``test_replicas`` does two, and more besides.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from tests.integration.clients.python import read_topic
from tests.integration.replicas import JAVA_RATE, Seen, Site, counted
from tests.integration.stack import Stack, in_thread, stack
from tests.integration.traffic import Client, Traffic

STEP = 25
"""Records that each producer sends between two restarts."""
JAVA_EACH = 10 * JAVA_RATE
"""Records of the Java producer for each restart: for about as long as one takes."""
AGE = "10"
"""LFS_KAFKA_MAX_CONNECTION_AGE and LFS_HTTP_MAX_CONNECTION_AGE."""

Row = tuple[str, int, int, int, int | str]
NOT_COUNTED = ""
"""A group may read a record again after a rebalance."""


def in_topic(servers: Stack, topic: str, name: str, keys: Iterable[bytes], errors: int) -> Row:
    """What became of one producer's acknowledged records."""
    counts = counted(servers, topic)
    acknowledged = set(keys)
    lost = sum(not counts[key] for key in acknowledged)
    twice = sum(counts[key] > 1 for key in acknowledged)
    return name, len(acknowledged), errors, lost, twice


async def roll(restarts: int) -> list[Row]:
    """Have it all happen; the rows of the table."""
    servers = await stack()
    topics = [await servers.new_topic(name) for name in ("kafka", "java", "http", "transactions")]
    topic, java_topic, http_topic, transactions_topic = topics
    site = Site(servers, LFS_KAFKA_MAX_CONNECTION_AGE=AGE, LFS_HTTP_MAX_CONNECTION_AGE=AGE)
    clients: list[Client] = []
    try:
        await in_thread(site.start)
        traffic = Traffic(site.bootstrap, topic)
        seen = Seen()
        posters = [site.poster(http_topic, seen, slow) for slow in (False, True)]
        transactions = site.transactions(transactions_topic)
        clients = [*traffic.clients, *posters, transactions]
        count = JAVA_EACH * restarts
        sending = in_thread(site.produce_by_java, java_topic, count)
        reading = in_thread(site.consume_by_java, java_topic, count)
        for number in range(restarts):
            await in_thread(site.restart, number % len(site.replicas))
            await traffic.goes_on(STEP)
            print(f"{number + 1} of {restarts}", file=sys.stderr, flush=True)
        await gatherResults([client.stop() for client in (*posters, transactions)])
        exceptions, read = await sending, await reading
        await traffic.end()
    finally:
        # Whatever happened: their threads would go on for ever.
        await gatherResults([client.stop() for client in clients], consumeErrors=True)
        await in_thread(site.close)
    rows = [
        await in_thread(in_topic, servers, topic, f"{each.name}, idempotent", each.keys, len(each.errors))
        for each in traffic.producers
    ]
    found = len(await in_thread(read_topic, servers.kafka.bootstrap, java_topic))
    lost, twice = max(count - found, 0), max(found - count, 0)
    rows.append(("Java producer, idempotent", count, len(exceptions), lost, twice))
    for name, of, client in (
        ("librdkafka, transactional", transactions_topic, transactions),
        *((f"HTTP, {poster.name}", http_topic, poster) for poster in posters),
    ):
        rows.append(await in_thread(in_topic, servers, of, name, client.keys, len(client.errors)))
    acknowledged = traffic.acknowledged
    for group in traffic.groups:
        keys = {key for member in group for key in member.keys}
        errors = sum(len(member.errors) for member in group)
        rows.append(
            (f"group of {group[0].name.split()[0]}", len(keys), errors, len(acknowledged - keys), NOT_COUNTED)
        )
    # Where it fails, so does this run.
    rows.append(("group of Java", read, 0, count - read, NOT_COUNTED))
    print(
        f"HTTP: {seen.retried} sent again after 503 or a refused connection, {seen.unknown} unknown outcomes"
    )
    return rows


def main(reactor: Any) -> Deferred[None]:
    """Print the table."""

    async def run() -> None:
        rows = await roll(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
        print("| client | records | errors seen by the application | lost | twice |\n|---|---|---|---|---|")
        for row in rows:
            print("|", " | ".join(map(str, row)), "|")

    return Deferred.fromCoroutine(run())


if __name__ == "__main__":
    react(main)
