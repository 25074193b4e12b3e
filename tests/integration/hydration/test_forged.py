"""Whoever may produce can forge an envelope: what a consumer gets for it, and what others get meanwhile."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

from lfsproxy.codes import KafkaCode
from tests.integration.hydration.fetches import NEWEST, Fetcher, topic_ids
from tests.integration.hydration.model import Part
from tests.integration.hydration.placed import Placer
from tests.integration.hydration.plans import CONFIG
from tests.integration.kafka_door import KafkaDoorTestCase
from tests.integration.proxy import shared_proxy
from tests.integration.stack import in_thread, stack

BLOB = b"the blob itself" * 100
LARGE = bytes(range(256)) * 40_000
"""More than a part: it is not held, but streamed."""

Values = Sequence[bytes | None]


class ForgedTests(KafkaDoorTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.proxy = await shared_proxy(LFS_HYDRATE_TOPICS="*")
        self.topic = await self.servers.new_topic("forged", partitions=2, config=CONFIG)
        self.placer = Placer(self.servers, self.topic)

    def fetched(self, positions: dict[Part, int]) -> dict[int, tuple[int, Values]]:
        """Error and values of each partition. AssertionError where the connection is closed instead."""
        fetcher = Fetcher(self.proxy.bootstrap, topic_ids(self.servers.kafka.bootstrap, [self.topic]))
        try:
            answer = fetcher.fetch(NEWEST, positions)
        finally:
            fetcher.close()
        return {
            found.part[1]: (found.error, [record.value for batch in found.batches() for record in batch])
            for found in answer.parts
        }

    async def test_what_may_not_be_followed_stays_as_it_is(self) -> None:
        await in_thread(self.check_not_followed)

    def check_not_followed(self) -> None:
        other = Placer(self.servers, f"{self.topic}-other").envelope(BLOB)
        good = self.placer.envelope(BLOB)
        key = json.loads(good)["s3_key"]
        forged: Values = [
            other,
            self.placer.envelope(BLOB, s3_bucket="another"),
            self.placer.envelope(BLOB, s3_key=key.replace(self.topic, f"{self.topic}/../{self.topic}")),
            self.placer.envelope(BLOB, s3_key="lfs/"),
            self.placer.envelope(BLOB, content_length=2**62),
            self.placer.envelope(BLOB, content_length=2**31 - 1),
            self.placer.envelope(BLOB, content_length=-1),
            self.placer.envelope(BLOB, checksum_algo="none"),
            self.placer.envelope(BLOB, lfs_version=2),
        ]
        self.placer.append([*forged, good, *forged], "zstd")
        (error, values) = self.fetched({(self.topic, 0): 0})[0]
        self.assertEqual((error, values), (0, [*forged, BLOB, *forged]))

    async def test_a_blob_that_is_not_as_its_envelope_says_is_corrupt(self) -> None:
        await in_thread(self.check_wrong)

    def check_wrong(self) -> None:
        place: Callable[..., bytes] = self.placer.envelope
        wrong = {
            "too small": place(BLOB, content_length=len(BLOB) - 1),
            "too large": place(BLOB, content_length=len(BLOB) + 1),
            "longer than a part, it says": place(BLOB, content_length=len(LARGE)),
            "shorter than a part, it says": place(LARGE, content_length=len(BLOB)),
            "checksum": place(BLOB, checksum=hashlib.sha256(b"another").hexdigest()),
            "missing": place(BLOB, s3_key=f"lfs/default/{self.topic}/0/0-none.bin"),
        }
        for name, envelope in wrong.items():
            first = self.placer.append([b"before", self.placer.envelope(BLOB), envelope, b"behind"], "lz4")
            other = self.placer.append([self.placer.envelope(BLOB)], partition=1)
            both = {(self.topic, 0): first, (self.topic, 1): other}
            self.assertEqual(self.fetched(both), {0: (0, [b"before", BLOB]), 1: (0, [BLOB])}, name)
            both[self.topic, 0] = first + 2
            expected = {0: (KafkaCode.CORRUPT_MESSAGE, []), 1: (0, [BLOB])}
            self.assertEqual(self.fetched(both), expected, name)
            # As an application that skips the record.
            _, values = self.fetched({(self.topic, 0): first + 3})[0]
            self.assertEqual(values[-1], b"behind", name)

    async def test_a_streamed_blob_with_a_wrong_checksum_ends_the_connection_and_is_then_corrupt(
        self,
    ) -> None:
        await in_thread(self.check_streamed)

    def check_streamed(self) -> None:
        wrong = self.placer.envelope(LARGE, checksum=hashlib.sha256(b"another").hexdigest())
        first = self.placer.append([wrong, b"behind"])
        place = {(self.topic, 0): first}
        with self.assertRaises(AssertionError):
            self.fetched(place)
        self.assertEqual(self.fetched(place), {0: (KafkaCode.CORRUPT_MESSAGE, [])})
