"""Random logs, thought of before anything is written: the same seed gives the same log.

A plan is steps for each partition. Whoever carries it out learns the offsets from the broker.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import attrs

from tests.integration.clients.records import CODECS
from tests.integration.hydration.model import Headers

KIB, MIB = 1024, 1024 * 1024
EPOCH: Final = 1_700_000_000_000
"""Milliseconds: about where the timestamps are."""
PRODUCERS: Final = 2
"""Transactions that may be open at the same time in one partition."""
MANY: Final = 5000
"""Records of the largest batch."""
VALUES: Final = 10
"""Different values of a batch."""


@attrs.frozen
class Item:
    """A record to write. ``blob`` is to lie in S3, and the value to be its envelope."""

    key: bytes | None
    headers: Headers
    timestamp: int
    value: bytes | None = None
    blob: bytes | None = None


@attrs.frozen
class Batch:
    """Records that are written as one batch. ``producer`` is None, or of which transaction they are."""

    items: Sequence[Item]
    codec: str
    producer: int | None = None
    idempotent: bool = False


@attrs.frozen
class End:
    """The end of a producer's transaction."""

    producer: int
    commit: bool


Step = Batch | End


@attrs.frozen
class Plan:
    """A topic: its settings, and the steps of each partition."""

    name: str
    config: dict[str, str]
    partitions: Sequence[Sequence[Step]]

    @property
    def is_compacted(self) -> bool:
        return self.config.get("cleanup.policy") == "compact"


CONFIG: Final = {
    # About as much as a broker takes in one request.
    "max.message.bytes": "104000000",
    # The timestamps are of long ago.
    "retention.ms": "-1",
}


class Planner:
    """Thinks of the logs of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._noise = self.random.randbytes(64 * KIB)

    def plans(self) -> list[Plan]:
        """The topics of the seed."""
        append = {**CONFIG, "message.timestamp.type": "LogAppendTime"}
        compact = {
            **CONFIG,
            "cleanup.policy": "compact",
            "segment.ms": "1000",
            "min.cleanable.dirty.ratio": "0.01",
        }
        return [
            Plan("mixed", CONFIG, [self._steps(14, giant=True, many=True), self._steps(10)]),
            Plan("append-time", append, [self._steps(8)]),
            Plan("compacted", compact, [self._repeated_keys()]),
        ]

    def _steps(self, count: int, giant: bool = False, many: bool = False) -> list[Step]:
        """Batches and transactions, all of which end; then a record, an open transaction and a record."""
        chance = self.random
        steps: list[Step] = []
        under_way: set[int] = set()
        for _ in range(count):
            if under_way and chance.random() < 0.3:
                steps.append(End(producer := chance.choice(sorted(under_way)), chance.random() < 0.5))
                under_way.discard(producer)
            producer_or_none = chance.randrange(PRODUCERS) if chance.random() < 0.4 else None
            if producer_or_none is not None:
                under_way.add(producer_or_none)
            steps.append(self._batch(producer=producer_or_none))
        steps += [End(producer, chance.random() < 0.5) for producer in sorted(under_way)]
        if giant:
            steps.insert(chance.randrange(len(steps)), Batch([self._giant(), *self._items(3)], "none"))
        if many:
            values = [self._value(chance.choice((0, 5, 20))) for _ in range(VALUES)]
            tiny = [self._tiny(chance.choice(values), blob=chance.random() < 0.05) for _ in range(MANY)]
            steps.insert(chance.randrange(len(steps)), Batch(tiny, chance.choice(CODECS)))
        plain = Batch([Item(b"last", (), EPOCH, b"of all that is committed")], "none")
        return [*steps, plain, self._batch(producer=0), self._batch(), plain]

    def _repeated_keys(self) -> list[Step]:
        """What leaves holes when it is compacted: keys again and again, tombstones, whole batches that go."""
        steps: list[Step] = []
        for number in range(12):
            items = [
                attrs.evolve(item, key=b"key-%d" % self.random.randrange(40), timestamp=EPOCH + number)
                for item in self._items(self.random.choice((1, 5, 60)))
            ]
            steps.append(Batch(items, self.random.choice(CODECS), idempotent=self.random.random() < 0.5))
        # Far enough in time for a new segment: all others can be compacted then.
        return [*steps, Batch([Item(b"last", (), EPOCH + 60_000, b"of the next segment")], "none")]

    def _batch(self, producer: int | None = None) -> Batch:
        count = self.random.choice((1, 1, 2, 3, 10, 10, 100, 300))
        idempotent = producer is None and self.random.random() < 0.2
        return Batch(self._items(count), self.random.choice(CODECS), producer, idempotent)

    def _items(self, count: int) -> list[Item]:
        share = self.random.choice((0.0, 0.1, 0.5, 1.0))
        largest = 256 * KIB if count < 20 else 20 * KIB
        values = [self._value(self.random.choice((0, 1, 50, 300, 2 * KIB, largest))) for _ in range(VALUES)]
        return [self._item(self.random.random() < share, values) for _ in range(count)]

    def _item(self, has_blob: bool, values: Sequence[bytes]) -> Item:
        chance = self.random
        value = chance.choice(values)
        around = self._key(), self._headers(), EPOCH + chance.randrange(-100_000, 100_000)
        if has_blob:
            return Item(*around, blob=value)
        if chance.random() < 0.1:
            return Item(*around)
        return Item(*around, value=self._decoy() if chance.random() < 0.05 else value)

    def _giant(self) -> Item:
        return Item(self._key(), self._headers(), EPOCH, blob=self._value(20 * MIB))

    def _tiny(self, value: bytes, blob: bool) -> Item:
        return Item(None, (), EPOCH, None if blob else value, value if blob else None)

    def _value(self, most: int) -> bytes:
        """Up to so many bytes, which can be compressed or not."""
        size = self.random.randint(most // 2, most)
        block = self._noise if self.random.random() < 0.5 else self._noise[:50]
        start = self.random.randrange(1000)
        return (b"%d " % start + block * (size // len(block) + 1))[:size]

    def _decoy(self) -> bytes:
        """What looks like an envelope from afar."""
        return self.random.choice(
            (
                b"{",
                b'{"lfs_version":',
                b'{"lfs_version":1}',
                b'{"lfs_version":99,"s3_bucket":"kafscale","s3_key":"k"}',
                b'{"a":"\\"lfs_version\\"","lfs_version":1,"s3_bucket":null}',
                b'{"lfs_version":1,"s3_bucket":"other","s3_key":"lfs/default/t/0/0-x.bin","content_type":"a/b",'
                b'"content_length":3,"checksum_algo":"crc32","checksum":"00000000"}',
                b'{"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/another/0/0-x.bin",'
                b'"content_type":"a/b","content_length":3,"checksum_algo":"crc32","checksum":"00000000"}',
            )
        )

    def _key(self) -> bytes | None:
        return self.random.choice((None, b"", b"key", self._noise[:40]))

    def _headers(self) -> Headers:
        some: Headers = (
            ("", b"no name"),
            ("null", None),
            ("empty", b""),
            ("trace", b"1"),
            ("trace", b"2"),
            ("größe", self._noise[:9]),
        )
        return tuple(self.random.sample(some, self.random.choice((0, 0, 0, 1, 3))))
