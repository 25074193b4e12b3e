"""The small parts: which names are chosen, what is remembered and for how long, what is asked of a broker."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.names import is_chosen, is_internal
from lfsproxy.relay.fetch import ids, suspects, untaken
from lfsproxy.relay.fetch.asked import lowered
from lfsproxy.relay.fetch.ids import TopicNames
from lfsproxy.relay.fetch.suspects import Suspects
from lfsproxy.relay.fetch.untaken import Untaken
from lfsproxy.relay.fetch.writing import WRITES_AT_ONCE, Writer
from lfsproxy.wire.fetch import FetchRequest, parse_fetch_request
from tests.wire.test_fetch import requests


class ChosenTests(SynchronousTestCase):
    def test_globs_choose_and_leave_out(self) -> None:
        for globs, chosen, left_out in (
            (("*",), ["a", ""], []),
            (("*", "!sdk-*"), ["kcat", "asdk-"], ["sdk-", "sdk-1"]),
            (("!sdk-*", "sdk-1"), [], ["sdk-1", "sdk-2", "x"]),
            (("!a",), ["b", ""], ["a"]),
            (("photos", "video-?"), ["photos", "video-1"], ["Photos", "video-12", "video-"]),
            ((), [], ["a", ""]),
        ):
            for name in chosen:
                self.assertTrue(is_chosen(name, globs), (name, globs))
            for name in left_out:
                self.assertFalse(is_chosen(name, globs), (name, globs))

    def test_internal_topics(self) -> None:
        self.assertTrue(is_internal("__consumer_offsets"))
        self.assertFalse(is_internal("_schemas"))


class SuspectsTests(SynchronousTestCase):
    def test_a_blob_is_wrong_for_a_while_and_longer_each_time(self) -> None:
        clock = Clock()
        wrong = Suspects(clock)
        for seconds in (5, 10, 20, 40, 80, 160, 300, 300):
            wrong.add("key", "why")
            clock.advance(seconds - 1)
            self.assertEqual((wrong.why("key"), wrong.why("other")), ("why", None))
            clock.advance(1)
            self.assertIsNone(wrong.why("key"), seconds)

    def test_consumers_of_the_same_time_do_not_make_it_longer(self) -> None:
        clock = Clock()
        wrong = Suspects(clock)
        wrong.add("key", "why")
        clock.advance(suspects.FIRST - 1)
        wrong.add("key", "why")
        clock.advance(1)
        self.assertIsNone(wrong.why("key"))

    def test_a_blob_that_was_right_for_long_begins_anew(self) -> None:
        clock = Clock()
        wrong = Suspects(clock)
        wrong.add("key", "why")
        clock.advance(2 * suspects.LONGEST)
        wrong.add("key", "why")
        clock.advance(suspects.FIRST)
        self.assertIsNone(wrong.why("key"))

    def test_the_first_is_forgotten_beyond_a_number(self) -> None:
        wrong = Suspects(Clock())
        for number in range(suspects.MOST + 1):
            wrong.add(str(number), "why")
        self.assertEqual([wrong.why(key) for key in ("0", "1")], [None, "why"])


class UntakenTests(SynchronousTestCase):
    def test_only_the_same_client_and_record_count_for_a_while(self) -> None:
        clock = Clock()
        left = Untaken(clock)
        one, another = ("topic", 0, 1), ("topic", 0, 2)
        self.assertFalse(left.add("client", "host", one))
        clock.advance(untaken.SECONDS - 1)
        for name, host, at in (("other", "host", one), ("client", "else", one), ("client", "host", another)):
            self.assertFalse(left.add(name, host, at))
        self.assertTrue(left.add("client", "host", one))
        clock.advance(untaken.SECONDS - 1)
        self.assertTrue(left.add("client", "host", one))
        clock.advance(untaken.SECONDS)
        self.assertFalse(left.add("client", "host", one))

    def test_the_first_is_forgotten_beyond_a_number(self) -> None:
        left = Untaken(Clock())
        for number in range(untaken.MOST + 1):
            left.add("client", "host", ("topic", 0, number))
        self.assertEqual(
            [left.add("client", "host", ("topic", 0, number)) for number in (1, 0)], [True, False]
        )


class TopicNamesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[list[bytes]] = []
        self.told: Mapping[bytes, str | None] | None = {b"a": "A", b"b": None}

    def ask(self, unknown: Collection[bytes]) -> Deferred[Any]:
        self.asked.append(list(unknown))
        return succeed(self.told)

    def of(self, names: TopicNames, *wanted: bytes) -> Mapping[bytes, str | None]:
        found: Mapping[bytes, str | None] = self.successResultOf(
            Deferred.fromCoroutine(names.of(wanted, self.ask))
        )
        return found

    def test_only_what_is_not_known_is_asked(self) -> None:
        names = TopicNames()
        self.assertEqual(self.of(names, b"a", b"b"), {b"a": "A", b"b": None})
        self.assertEqual(self.of(names, b"a"), {b"a": "A"})
        self.of(names, b"a", b"b")
        self.assertEqual(self.asked, [[b"a", b"b"], [b"b"]])

    def test_no_answer_is_an_error(self) -> None:
        self.told = None
        failed = Deferred.fromCoroutine(TopicNames().of([b"a"], self.ask))
        self.failureResultOf(failed, BrokerUnavailable)

    def test_the_first_is_forgotten_beyond_a_number(self) -> None:
        names = TopicNames()
        with mock.patch.object(ids, "MOST", 1):
            self.of(names, b"a")
            self.told = {b"c": "C"}
            self.of(names, b"c")
        self.told = {b"a": "A"}
        self.of(names, b"a", b"c")
        self.assertEqual(self.asked[-1], [b"a"])


class LoweredTests(SynchronousTestCase):
    @given(st.integers(4, 15).flatmap(lambda version: st.tuples(st.just(version), requests(version))))
    def test_a_request_asks_for_no_more_than_can_be_held_and_makes_no_session(
        self, case: tuple[int, FetchRequest]
    ) -> None:
        version, request = case
        read = parse_fetch_request(version, lowered(request, 1000).to_bytes(version))
        self.assertEqual((read.session_id, read.session_epoch, list(read.forgotten)), (0, -1, []))
        self.assertEqual(read.max_bytes, min(request.max_bytes, 1000))
        self.assertEqual(read.min_bytes, min(request.min_bytes, read.max_bytes))
        for topic, before in zip(read.topics, request.topics, strict=True):
            for each, was in zip(topic.partitions, before.partitions, strict=True):
                self.assertEqual(each.max_bytes, min(was.max_bytes, 1000))
                self.assertEqual((each.partition, each.fetch_offset), (was.partition, was.fetch_offset))


class WriterTests(SynchronousTestCase):
    def test_others_have_their_turn_while_nothing_is_to_be_written_yet(self) -> None:
        clock = Clock()
        writer = Writer(clock, mock.Mock(), None)

        async def write() -> None:
            for _ in range(WRITES_AT_ONCE):
                await writer.write(b"")

        writing = Deferred.fromCoroutine(write())
        self.assertNoResult(writing)
        clock.advance(0)
        self.successResultOf(writing)
