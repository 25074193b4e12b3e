"""Moves leaders under idempotent librdkafka producers, without a proxy, and says what is there twice.

python -m tests.integration.faults.straight [--minutes 2] [--through-proxy]
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.integration.faults.kafka_cases import lead
from tests.integration.faults.scene import NODES, scene
from tests.integration.renumbered import is_renumbered, producers_of
from tests.integration.storm.inspection import read_all
from tests.integration.storm.notes import Journal, Outcome
from tests.integration.storm.producers import KafkaClient

CLIENTS = 6
SEED = 1


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=2)
    options.add_argument("--through-proxy", action="store_true")
    chosen = options.parse_args()
    with scene(SEED) as where, ThreadPoolExecutor(CLIENTS) as threads:
        bootstrap = where.proxy.bootstrap if chosen.through_proxy else where.servers.kafka.bootstrap
        journal, over = Journal(), threading.Event()
        for number in range(CLIENTS):
            client = KafkaClient(str(number), bootstrap, journal, Random(number), over, lfs_every=None)
            threads.submit(client.run)
        deadline, moves = time.monotonic() + chosen.minutes * 60, 0
        for node in itertools.cycle(NODES):
            if time.monotonic() > deadline:
                break
            lead(where, node)
            moves += 1
        over.set()
        threads.shutdown()
        published = read_all(where.servers.kafka.bootstrap)
        acknowledged = [note for note in journal.notes if note.outcome is Outcome.ACKNOWLEDGED]
        lost = [note for note in acknowledged if note.key not in published]
        twice = [note for note in journal.notes if len(published.get(note.key, [])) > 1]
        anew = 0
        for note in twice:
            places = {(record.partition, record.offset) for record in published[note.key]}
            anew += is_renumbered(producers_of(where.nodes.values(), note.topic, places))
        print(
            f"{moves} moves, {len(journal.notes)} records, {len(acknowledged)} acknowledged, "
            f"{len(lost)} lost, {len(twice)} twice, {anew} of these under another epoch"
        )


if __name__ == "__main__":
    main()
