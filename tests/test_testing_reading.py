"""The double of topics that are read whole keeps to the contract."""

from __future__ import annotations

from collections.abc import Sequence

from lfsproxy.testing.reading import MemoryReading
from lfsproxy.wire.batch import parse_batch_header
from tests.reading_contract import ReadingContract


class MemoryReadingContract(ReadingContract):
    def setUp(self) -> None:
        super().setUp()
        self.reading = self.memory = MemoryReading()
        [self.log] = self.memory.create("demo")

    def append(self, *batches: bytes) -> None:
        for data in batches:
            self.log.append(data)

    def end(self) -> int:
        return self.log.end

    def decided(self, stable: int | None, aborted: Sequence[tuple[int, int]] = ()) -> None:
        self.log.stable, self.log.aborted = stable, list(aborted)

    def remove(self, place: int) -> None:
        del self.log.batches[place]

    def expire(self, first: int) -> None:
        self.log.batches = [one for one in self.log.batches if parse_batch_header(one).base_offset >= first]
        self.log.first = first

    def create(self, topic: str, hidden: bool = False) -> None:
        self.memory.create(topic)
        if hidden:
            self.memory.hidden.add(topic)


del ReadingContract
