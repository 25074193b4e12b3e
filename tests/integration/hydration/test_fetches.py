"""Every record of random logs comes once, in order and as in the model, whatever a consumer's limits are.

The broker itself is read too, by which the model and its reader are held to what Kafka does.
"""

from __future__ import annotations

import random

from tests.integration.hydration.cases import SEEDS, Hydrated, LogTestCase, Relayed, log_of
from tests.integration.hydration.cursors import read_by_fetches
from tests.integration.hydration.model import View
from tests.integration.stack import in_thread


class BrokerTests(LogTestCase):
    rounds = 1

    async def test_all_that_is_committed(self) -> None:
        await self.read(committed=True)

    async def test_all_that_is_there(self) -> None:
        await self.read(committed=False)

    async def read(self, committed: bool) -> None:
        for seed in SEEDS:
            log = await log_of(seed)
            chance = random.Random(seed)
            for _ in range(self.rounds):
                view = View(committed, self.hydrated)
                await in_thread(read_by_fetches, await self.bootstrap(), log, view, chance)


class RelayedTests(Relayed, BrokerTests):
    pass


class HydratedTests(Hydrated, BrokerTests):
    rounds = 3
