"""Every client library reads random logs as they are in the model, with the blobs where the proxy hydrates.

The broker itself is read too, by which the model and the readers are held to what Kafka does.
"""

from __future__ import annotations

import random

from tests.integration.hydration.cases import CHOSEN, SEEDS, Hydrated, LogTestCase, Relayed, log_of
from tests.integration.hydration.cursors import first_difference
from tests.integration.hydration.model import Log, Part, View
from tests.integration.hydration.readers.programs import MIB, READERS, Limits
from tests.integration.stack import in_thread

ANSWERS = 60
"""About how many of a client's smallest answers make the whole log."""


class BrokerTests(LogTestCase):
    """``committed`` is what the clients ask for."""

    committed: tuple[bool, ...] = (True,)

    async def read_by(self, name: str) -> None:
        (reader,) = (each for each in READERS if each.name == name)
        for seed in SEEDS:
            log, where = await log_of(seed), await self.bootstrap()
            for committed in self.committed:
                view = View(committed, self.hydrated)
                starts, limits = self.asked(log, random.Random(f"{name} {seed}"))
                seen, wanted = await in_thread(reader.read, where, log, view, starts, limits)
                self.assertTrue(wanted)
                if seen != wanted:
                    self.fail(f"{name}, seed {seed}: {first_difference(seen, wanted)}")

    def asked(self, log: Log, chance: random.Random) -> tuple[dict[Part, int], Limits]:
        """Where a client begins, and its limits."""
        return dict.fromkeys(log.entries, 0), Limits()

    async def test_librdkafka(self) -> None:
        await self.read_by("librdkafka")

    async def test_kcat(self) -> None:
        await self.read_by("kcat")

    async def test_java(self) -> None:
        await self.read_by("java")

    async def test_franz_go(self) -> None:
        await self.read_by("franz-go")

    async def test_sarama(self) -> None:
        await self.read_by("sarama")

    async def test_kafka_go(self) -> None:
        await self.read_by("kafka-go")

    async def test_kafka_python(self) -> None:
        await self.read_by("kafka-python")

    async def test_aiokafka(self) -> None:
        await self.read_by("aiokafka")

    async def test_kafkajs(self) -> None:
        await self.read_by("kafkajs")


if CHOSEN:
    # Without that, tests of raw fetches and the clients' own tests are enough for a proxy that only relays.
    class RelayedTests(Relayed, BrokerTests):
        committed = (False,)


class HydratedTests(Hydrated, BrokerTests):
    """Some begin in the middle of batches, with limits that most batches do not fit."""

    committed = (True, False)

    def asked(self, log: Log, chance: random.Random) -> tuple[dict[Part, int], Limits]:
        size = sum(len(entry.blob or entry.value or b"") for found in log.entries.values() for entry in found)
        least = size // ANSWERS
        starts = {part: chance.choice((0, chance.randrange(end // 2))) for part, end in log.ends.items()}
        limits = Limits(chance.randint(least, 50 * MIB), chance.randint(least, 5 * MIB))
        return starts, limits
