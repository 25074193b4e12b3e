"""The proxy's own questions in every version that it speaks, and answers that are none."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BrokerUnavailable, FramingError
from lfsproxy.kafka.messages import (
    API_VERSIONS,
    FETCH,
    INIT_PRODUCER_ID,
    LIST_OFFSETS,
    METADATA,
    Api,
    Build,
    batches_from,
    highest,
    metadata_of,
    new_producer,
    offset_of,
    ranges_of,
)

ALL: list[tuple[Api, Build]] = [
    (METADATA, metadata_of("demo", create=True)),
    (METADATA, metadata_of(None, create=False)),
    (LIST_OFFSETS, offset_of("demo", 3, -1)),
    (FETCH, batches_from("demo", 3, 7, 1, 1)),
    (INIT_PRODUCER_ID, new_producer),
    (API_VERSIONS, lambda version: {}),
]


class QuestionTests(SynchronousTestCase):
    def read(self, api: Api, build: Build, version: int) -> Any:
        frame = api.encode(version, 5, build(version))
        self.assertEqual(int.from_bytes(frame[:4], "big"), len(frame) - 4)
        return api.request.decode(frame, version=version, header=True, framed=True)

    def test_each_is_what_it_was_in_every_version(self) -> None:
        for api, build in ALL:
            for version in range(api.low, api.high + 1):
                self.read(api, build, version)

    def test_metadata(self) -> None:
        for version in range(METADATA.low, METADATA.high + 1):
            asked = self.read(METADATA, metadata_of("demo", create=True), version)
            self.assertEqual(
                ([each.name for each in asked.topics], asked.allow_auto_topic_creation), (["demo"], True)
            )
            asked = self.read(METADATA, metadata_of(None, create=False), version)
            self.assertEqual((asked.topics, asked.allow_auto_topic_creation), ([], False))

    def test_fetch(self) -> None:
        for version in range(FETCH.low, FETCH.high + 1):
            asked = self.read(FETCH, batches_from("demo", 3, 7, 99, 1), version)
            partition = asked.topics[0].partitions[0]
            self.assertEqual(
                (asked.topics[0].topic, partition.partition, partition.fetch_offset), ("demo", 3, 7)
            )
            self.assertEqual((asked.isolation_level, asked.max_bytes, asked.min_bytes), (1, 99, 0))

    @given(st.sampled_from(ALL), st.binary(max_size=200), st.data())
    def test_whatever_comes_is_read_or_refused(self, one: tuple[Api, Build], body: bytes, data: Any) -> None:
        api, _ = one
        version = data.draw(st.integers(api.low, api.high))
        with contextlib.suppress(FramingError):
            api.decode(version, body)


class RangeTests(SynchronousTestCase):
    def test_the_highest_of_both_sides(self) -> None:
        for theirs, ours, found in (
            ((0, 5), (1, 9), 5),
            ((0, 12), (1, 9), 9),
            ((5, 12), (1, 4), None),
            ((0, 0), (1, 4), None),
            ((-1, -1), (0, 4), None),
        ):
            self.assertEqual(highest({7: theirs}, 7, *ours), found)
        self.assertIsNone(highest({}, 7, 0, 4))

    def test_what_a_broker_tells(self) -> None:
        One = API_VERSIONS.response.ApiVersion
        keys = [One(version=0, api_key=3, min_version=0, max_version=9)]
        answer = API_VERSIONS.response(version=0, error_code=0, api_keys=keys)
        read = API_VERSIONS.decode(0, bytes(answer.encode(version=0)))
        self.assertEqual(ranges_of(read), {3: (0, 9)})
        read.error_code = 35
        self.assertRaises(BrokerUnavailable, ranges_of, read)
