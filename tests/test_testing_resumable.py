"""The in-memory double of the resumable store keeps to the contract."""

from __future__ import annotations

from twisted.internet.task import Clock

from lfsproxy.testing.resumable import MemoryResumableStore
from tests.resumable_contract import ResumableStoreContract


class MemoryResumableStoreContract(ResumableStoreContract):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.memory = MemoryResumableStore(Clock())

    async def unfinished(self, key: str) -> int:
        return sum(kept[0] == key for kept in self.memory.uploads.values())


del ResumableStoreContract
