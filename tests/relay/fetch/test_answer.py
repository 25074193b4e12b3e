"""Answers with blobs through a whole relay: what a consumer gets, and what is left after faults."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, cast
from unittest import mock
from uuid import UUID

from twisted.internet.defer import CancelledError
from twisted.logger import LogLevel

from lfsproxy.codes import KafkaCode
from lfsproxy.envelope import Envelope, object_key
from lfsproxy.errors import BlobMissing, StoreRefused, StoreUnavailable
from lfsproxy.relay import scanning
from lfsproxy.relay.fetch import blobs, shared, untaken
from lfsproxy.relay.fetch.answer import MOST_PLANS
from lfsproxy.testing import MemoryBlob
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.fetch import FetchPartition, FetchRequest, FetchTopic, TopicRef, parse_fetch_request
from lfsproxy.wire.fetch_answers import FetchAnswer, FetchedPartition, FetchedTopic, read_fetch_answer
from tests.relay.broker import Request
from tests.relay.fetch.log import seen
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, Client, RelayTestCase

TOPIC = "demo-topic"
SMALL, LARGE = b"s" * 1000, b"L" * 600 * KIB
VERSION = 11
LIMIT = 2**30


class HydrationTestCase(RelayTestCase):
    """A relay that gives blobs, and a broker with ``partitions``: records by topic and partition."""

    overrides: dict[str, Any] = {
        "hydrate_topics": ("demo-*", "__*"),
        "hydrate_client_ids": ("*", "!sdk-*"),
        "upload_memory": 16 * 1024 * KIB,
    }

    def prepare(self) -> None:
        self.numbers = itertools.count()
        self.partitions: dict[tuple[TopicRef, int], bytes] = {}
        self.cluster.others[KafkaApi.FETCH] = self.fetched

    def fetched(self, one: Request) -> bytes:
        """What the broker answers: everything that it has of what is asked."""
        asked = parse_fetch_request(one.version, one.body)
        answer = FetchAnswer(
            session_id=0 if asked.session_epoch < 0 else 77,
            topics=[
                FetchedTopic(
                    topic.topic,
                    [
                        FetchedPartition(
                            each.partition, 0, 9, 9, self.partitions.get((topic.topic, each.partition), b"")
                        )
                        for each in topic.partitions
                    ],
                )
                for topic in asked.topics
            ],
        )
        pieces = answer.layout(one.version, 0)
        return b"".join(bytes(piece) for piece in pieces if not isinstance(piece, FetchedPartition))[8:]

    def put(self, data: bytes, topic: str = TOPIC, **fields: Any) -> bytes:
        """A blob in the store, and its envelope."""
        key = object_key("default", topic, 0, 0, UUID(int=next(self.numbers)))
        self.store.blobs[key] = MemoryBlob(data, "text/plain", {})
        said = {"content_length": len(data), "checksum": hashlib.sha256(data).hexdigest(), **fields}
        return Envelope(
            s3_bucket=self.store.bucket,
            s3_key=key,
            content_type="text/plain",
            checksum_algo="sha256",
            **said,
        ).to_bytes()

    def key_of(self, index: int = -1) -> str:
        """The key of a blob that was put."""
        return list(self.store.blobs)[index]

    def serve(self, *values: bytes, topic: TopicRef = TOPIC, partition: int = 0, codec: int = 0) -> bytes:
        """Have the broker give a batch with these values."""
        data = batch(*[record(value) for value in values], codec=codec)
        self.partitions[topic, partition] = data
        return data

    def fetch(
        self,
        correlation_id: int = 1,
        topics: Mapping[TopicRef, Sequence[int]] | None = None,
        version: int = VERSION,
        session: tuple[int, int] = (0, 0),
        max_bytes: int = LIMIT,
        client_id: bytes = b"a-consumer",
    ) -> bytes:
        """A Fetch request."""
        asked = FetchRequest(
            500,
            1,
            max_bytes,
            0,
            [
                FetchTopic(topic, [FetchPartition(each, 0, max_bytes) for each in partitions])
                for topic, partitions in (topics or {TOPIC: [0]}).items()
            ],
            *session,
        )
        return request(KafkaApi.FETCH, version, correlation_id, asked.to_bytes(version), client_id)

    def answer_of(self, client: Client, correlation_id: int = 1, version: int = VERSION) -> FetchAnswer:
        """An answer as the client got it."""
        (body,) = [reply.body for reply in client.replies if reply.correlation_id == correlation_id]
        return read_fetch_answer(version, body)

    def values(self, answer: FetchAnswer) -> list[list[bytes | None]]:
        """The values of each partition's records."""
        return [
            [value for _, value in seen(bytes(each.records or b""), 0)[0]]
            for topic in answer.topics
            for each in topic.partitions
        ]

    def results(self) -> list[tuple[object, ...]]:
        """What was counted, without the bytes."""
        return [(topic, result) for topic, result, _ in self.metrics.of("hydration")]

    def consume(self, *args: Any, **named: Any) -> Client:
        """A client that has fetched."""
        client = self.client()
        client.send(self.fetch(*args, **named))
        return client


class GivenTests(HydrationTestCase):
    def test_envelopes_are_blobs_and_other_values_stay(self) -> None:
        for codec in range(5):
            self.serve(b"plain", self.put(SMALL), self.put(LARGE), self.put(b""), b"end", codec=codec)
            client = self.consume()
            self.assertEqual(self.values(self.answer_of(client)), [[b"plain", SMALL, LARGE, b"", b"end"]])
        self.assertEqual(self.results(), [(TOPIC, "ok")] * 15)
        self.assertEqual(len(self.metrics.of("hydration_time")), 5)

    def test_the_broker_is_asked_in_full_without_a_session_for_what_can_be_held(self) -> None:
        self.serve(self.put(SMALL))
        client = self.consume(session=(0, 0))
        asked = parse_fetch_request(VERSION, self.broker.requests[-1].body)
        self.assertEqual((asked.session_id, asked.session_epoch), (0, -1))
        self.assertEqual(asked.max_bytes, self.settings.max_passthrough_size)
        self.assertEqual(asked.topics[0].partitions[0].max_bytes, self.settings.max_passthrough_size)
        self.assertEqual(self.answer_of(client).session_id, 0)

    def test_an_answer_without_envelopes_passes_byte_for_byte(self) -> None:
        for values in ([b"plain"], [b"x" * 200 * KIB], [b'{"lfs_version":1}'], []):
            data = self.serve(*values) if values else b""
            self.partitions[TOPIC, 0] = data
            client = self.consume()
            answer = self.answer_of(client)
            self.assertEqual(bytes(answer.topics[0].partitions[0].records or b""), data)
        self.assertEqual(self.results(), [])

    def test_topics_are_told_by_their_ids_which_are_asked_once(self) -> None:
        topic_id = bytes(range(16))
        self.cluster.names[topic_id] = TOPIC
        self.serve(self.put(SMALL), topic=topic_id)
        for _ in range(2):
            client = self.consume(topics={topic_id: [0]}, version=15)
            self.assertEqual(self.values(self.answer_of(client, version=15)), [[SMALL]])
        self.assertEqual(self.cluster.asked_ids, [topic_id])

    def test_a_topic_whose_id_the_broker_does_not_know_passes(self) -> None:
        client = self.consume(topics={b"?" * 16: [0]}, version=13)
        self.assertEqual(self.values(self.answer_of(client, version=13)), [[]])
        self.assertEqual(self.answer_of(client, version=13).session_id, 0)

    def test_a_topic_whose_id_becomes_known_gives_blobs_from_then_on(self) -> None:
        topic_id = bytes(range(16))
        self.serve(self.put(SMALL), topic=topic_id)
        client = self.consume(topics={topic_id: [0]}, version=13)
        self.cluster.names[topic_id] = TOPIC
        # In a session the broker would give its records to a request that does not name it.
        self.cluster.names[b"o" * 16] = "other"
        client.send(self.fetch(2, topics={b"o" * 16: [0]}, version=13, session=(77, 1)))
        self.assertEqual(self.answer_of(client, 2, 13).error_code, KafkaCode.FETCH_SESSION_ID_NOT_FOUND)
        client.send(self.fetch(3, topics={topic_id: [0]}, version=13))
        self.assertEqual(self.values(self.answer_of(client, 3, 13)), [[SMALL]])

    def test_a_broker_that_does_not_tell_names_ends_the_connection(self) -> None:
        self.cluster.silent = True
        client = self.consume(topics={b"?" * 16: [0]}, version=13)
        self.pass_seconds(10)
        self.assertFalse(client.is_open)

    def test_the_limits_of_the_consumer_are_kept(self) -> None:
        self.serve(self.put(SMALL), self.put(SMALL), self.put(SMALL))
        answer = self.answer_of(self.consume(max_bytes=2500))
        self.assertEqual(self.values(answer), [[SMALL, SMALL]])

    def test_blobs_that_are_held_together_have_room_in_a_part(self) -> None:
        value = b"m" * 200 * KIB
        self.serve(self.put(value), self.put(value))
        self.assertEqual(self.values(self.answer_of(self.consume())), [[value]])

    def test_a_small_answer_is_searched_at_once_and_a_large_one_is_not_however_many_partitions(self) -> None:
        self.patch(scanning, "AT_ONCE_SECONDS", 60.0)
        threads = self.net.getThreadPool()
        run = mock.Mock(wraps=threads.callInThreadWithCallback)
        self.patch(threads, "callInThreadWithCallback", run)
        for size, searches in ((KIB, 0), (100 * KIB, 1)):
            for number in range(3):
                self.serve(bytes(size), self.put(SMALL), partition=number)
            client = self.consume(topics={TOPIC: range(3)})
            self.assertEqual(self.values(self.answer_of(client)), [[bytes(size), SMALL]] * 3)
            self.assertEqual(run.call_count, searches)

    def test_what_is_too_large_or_not_allowed_stays_an_envelope(self) -> None:
        forged = self.put(SMALL, topic="other")
        self.serve(forged, self.put(SMALL))
        self.assertEqual(self.values(self.answer_of(self.consume())), [[forged, SMALL]])
        self.assertEqual(self.results(), [(TOPIC, "not_allowed"), (TOPIC, "ok")])


class PassingTests(HydrationTestCase):
    def test_other_topics_other_clients_and_old_versions_pass_byte_for_byte(self) -> None:
        data = self.serve(self.put(SMALL))
        self.partitions["other", 0] = self.partitions["__demo", 0] = data
        for frame in (
            self.fetch(topics={"other": [0]}),
            self.fetch(topics={"__demo": [0]}),
            self.fetch(client_id=b"sdk-1"),
        ):
            client = self.client()
            client.send(frame)
            self.assertEqual(self.broker.requests[-1].frame, frame)
            answer = self.answer_of(client)
            self.assertEqual(bytes(answer.topics[0].partitions[0].records or b""), data)
            self.assertEqual(answer.session_id, 77)

    def test_a_client_that_is_left_out_is_told_of_once_for_those_who_debug(self) -> None:
        client = self.consume(client_id=b"sdk-1")
        client.send(self.fetch(2, client_id=b"sdk-1"))
        self.consume()
        (line,) = [each for each in self.lines(LogLevel.debug) if "LFS_HYDRATE_CLIENT_IDS" in each]
        self.assertRegex(line, r"^Kafka client sdk-1 \(.*\) gets envelopes")

    def test_a_session_of_other_topics_goes_on(self) -> None:
        client = self.consume(topics={"other": [0]})
        client.send(self.fetch(2, topics={"other": [1]}, session=(77, 1)))
        self.assertEqual(parse_fetch_request(VERSION, self.broker.requests[-1].body).session_id, 77)
        self.assertEqual(client.order, [1, 2])

    def test_a_session_that_may_have_blobs_is_not_known(self) -> None:
        for first, topic in ((None, "other"), ({TOPIC: [0]}, "other"), ({"other": [0]}, TOPIC)):
            client = self.client() if first is None else self.consume(topics=first)
            sent = len(self.broker.requests)
            client.send(self.fetch(2, topics={topic: [0]}, session=(77, 1)))
            self.assertEqual(self.answer_of(client, 2).error_code, KafkaCode.FETCH_SESSION_ID_NOT_FOUND)
            self.assertEqual(len(self.broker.requests), sent)


class FaultTests(HydrationTestCase):
    def codes(self, client: Client) -> list[int]:
        return [each.error_code for topic in self.answer_of(client).topics for each in topic.partitions]

    def test_a_blob_that_cannot_be_given_is_its_partition_s_error_and_others_are_served(self) -> None:
        lost = self.put(SMALL)
        del self.store.blobs[self.key_of()]
        for value, call, error, code, result in (
            (lost, "", None, KafkaCode.CORRUPT_MESSAGE, "missing"),
            (self.put(SMALL, content_length=999), "", None, KafkaCode.CORRUPT_MESSAGE, "corrupt"),
            (self.put(SMALL, checksum="0" * 64), "", None, KafkaCode.CORRUPT_MESSAGE, "corrupt"),
            (self.put(SMALL), "open", StoreUnavailable("down"), KafkaCode.KAFKA_STORAGE_ERROR, "store_error"),
            (self.put(LARGE), "crc32c", BlobMissing("gone"), KafkaCode.CORRUPT_MESSAGE, "missing"),
        ):
            if error is not None:
                self.source.fail_next(call, error)
            self.serve(value, b"behind")
            self.serve(b"other", partition=1)
            client = self.consume(topics={TOPIC: [0, 1]})
            self.assertEqual(
                (self.codes(client), self.values(self.answer_of(client))), ([code, 0], [[], [b"other"]])
            )
            self.assertEqual(self.results()[-1], (TOPIC, result))
            line = self.lines()[-1]
            self.assertIn("does not get the blob of demo-topic, partition 0, offset 0", line)
            self.assertIn(f"; it gets {code.name}", line)
            self.assertEqual("LFS_HYDRATE_MISSING=envelope" in line, result == "missing", line)

    def test_what_comes_before_it_is_given_first(self) -> None:
        self.serve(b"before", self.put(SMALL), self.put(SMALL, checksum="0" * 64), b"behind")
        client = self.consume()
        self.assertEqual(
            (self.codes(client), self.values(self.answer_of(client))), ([0], [[b"before", SMALL]])
        )

    def test_the_room_of_one_that_cannot_be_given_is_for_others(self) -> None:
        self.serve(self.put(SMALL, checksum="0" * 64))
        self.serve(self.put(SMALL), partition=1)
        client = self.consume(topics={TOPIC: [0, 1]}, max_bytes=500)
        self.assertEqual(self.values(self.answer_of(client)), [[], [SMALL]])

    def test_when_the_store_is_away_not_every_blob_is_asked_for(self) -> None:
        self.source.hold("open")
        self.serve(*[self.put(b"%d" % number) for number in range(100)])
        client = self.consume()
        for _ in range(32):
            self.source.fail_next("open", StoreUnavailable("down"))
        self.source.let_go("open")
        self.net.flow()
        self.assertEqual(self.codes(client), [KafkaCode.KAFKA_STORAGE_ERROR])

    def test_a_blob_that_the_store_refuses_leaves_the_others(self) -> None:
        self.serve(self.put(SMALL))
        self.serve(self.put(SMALL), partition=1)
        self.source.fail_next("open", StoreRefused("not this one"))
        client = self.consume(topics={TOPIC: [0, 1]}, max_bytes=500)
        self.assertEqual(self.codes(client), [KafkaCode.KAFKA_STORAGE_ERROR, 0])
        self.assertEqual(self.values(self.answer_of(client)), [[], [SMALL]])

    def test_the_store_is_asked_for_so_many_small_blobs_at_once_whoever_waits(self) -> None:
        self.serve(*[self.put(SMALL) for _ in range(blobs.SMALL_AT_ONCE)])
        self.source.hold("open")
        clients = [self.consume() for _ in range(1 + shared.SMALL_AT_ONCE // blobs.SMALL_AT_ONCE)]
        self.assertEqual(self.source.held("open"), shared.SMALL_AT_ONCE)
        clients[0].hang_up()
        self.assertEqual(self.source.held("open"), shared.SMALL_AT_ONCE)
        self.source.let_go("open")
        self.net.flow()
        for client in clients[1:]:
            self.assertEqual(self.values(self.answer_of(client)), [[SMALL] * blobs.SMALL_AT_ONCE])

    def test_an_answer_of_many_partitions_without_their_blobs_is_planned_a_few_times(self) -> None:
        partitions = range(20)
        for number in partitions:
            self.serve(self.put(LARGE), partition=number)
        self.store.blobs.clear()
        client = self.consume(topics={TOPIC: partitions}, max_bytes=1000)
        rest = [number for number, code in enumerate(self.codes(client)) if not code]
        self.assertEqual(rest, list(partitions[MOST_PLANS - 1 :]))
        self.assertEqual(self.values(self.answer_of(client)), [[]] * 20)
        client = self.consume(topics={TOPIC: rest}, max_bytes=1000)
        self.assertEqual(self.codes(client)[0], KafkaCode.CORRUPT_MESSAGE)

    def test_a_blob_that_turns_out_wrong_at_its_end_closes_the_connection_and_is_an_error_then(self) -> None:
        self.serve(self.put(LARGE, checksum="0" * 64))
        client = self.consume()
        self.assertFalse(client.is_open)
        self.assertLess(len(client.data), len(LARGE))
        self.source.hold("crc32c")
        self.assertEqual(self.codes(self.consume()), [KafkaCode.CORRUPT_MESSAGE])
        self.pass_seconds(300)
        self.consume()
        self.assertEqual(self.source.held("crc32c"), 1)

    def test_a_store_that_fails_in_the_middle_closes_the_connection(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        client = self.consume()
        self.source.fail_next("read", StoreUnavailable("down"))
        self.source.let_go("read")
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.results(), [(TOPIC, "store_error")])
        self.assertEqual(self.metrics.of("kafka_closed"), [("store-unavailable",)])


class KeepingTests(HydrationTestCase):
    overrides = {**HydrationTestCase.overrides, "hydrate_missing": "envelope", "hydrate_max_size": 500 * KIB}

    def test_a_blob_that_is_gone_leaves_its_envelope(self) -> None:
        lost, there = self.put(SMALL), self.put(b"there")
        del self.store.blobs[self.key_of(0)]
        self.serve(lost, there, lost)
        self.assertEqual(self.values(self.answer_of(self.consume())), [[lost, b"there", lost]])
        self.assertEqual(self.results(), [(TOPIC, "missing"), (TOPIC, "missing"), (TOPIC, "ok")])
        self.assertTrue(all(line.endswith("; it gets the envelope") for line in self.lines()), self.lines())

    def test_one_that_is_too_large_stays_an_envelope(self) -> None:
        large = self.put(LARGE)
        data = self.serve(large)
        answer = self.answer_of(self.consume())
        self.assertEqual(bytes(answer.topics[0].partitions[0].records or b""), data)
        self.assertEqual(self.results(), [(TOPIC, "too_large")])


class GoneTests(HydrationTestCase):
    """A client that leaves gives everything back, wherever its answer is; later answers are still taken."""

    def test_whatever_is_waited_for_ends_with_the_client(self) -> None:
        self.serve(self.put(SMALL), self.put(LARGE))
        for call in ("open", "crc32c", "read"):
            self.source.hold(call)
            client = self.consume()
            self.assertGreater(self.budget.used, 0)
            client.hang_up()
            self.assertEqual((self.budget.used, self.source.open_downloads), (0, 0), call)
            self.source.let_go(call)
            self.net.flow()
        self.assertEqual(set(self.results()), {(TOPIC, "cancelled")})

    def test_a_client_that_does_not_read_ends_when_it_leaves(self) -> None:
        self.serve(self.put(LARGE))
        client = self.client()
        client.wire.peer_reads = False
        client.send(self.fetch())
        self.assertEqual(self.source.open_downloads, 1)
        client.hang_up()
        self.assertEqual((self.budget.used, self.source.open_downloads), (0, 0))

    def test_one_that_waits_for_memory_leaves_the_queue(self) -> None:
        self.serve(b"x" * 200 * KIB)
        everything = self.budget.acquire(self.budget.largest)
        client = self.consume()
        self.assertEqual(self.budget.waiting, 1)
        client.hang_up()
        self.assertEqual(self.budget.waiting, 0)
        self.successResultOf(everything).release()

    def test_the_answers_behind_it_still_decide_about_blobs(self) -> None:
        self.serve(self.put(LARGE))
        self.know_topic()
        kept = len(self.store.blobs)
        self.source.hold("read")
        client = self.client()
        self.know_topic()
        client.send(self.fetch(1), produce(2, batch(lfs(b"published"))))
        self.assertEqual(len(self.cluster.produced), 1)
        client.hang_up()
        self.assertEqual(len(self.store.blobs), kept + 1)
        self.assertEqual(self.metrics.of("orphan"), [])

    def test_a_stop_of_the_process_ends_it(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        self.consume()
        self.successResultOf(self.stop())

    def test_a_drain_waits_for_it(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        client = self.consume()
        drained = self.relay.drain()
        self.net.flow()
        self.assertNoResult(drained)
        self.source.let_go("read")
        self.net.flow()
        self.assertEqual(self.values(self.answer_of(client)), [[LARGE]])
        self.successResultOf(drained)

    def test_one_that_leaves_before_the_same_blob_again_is_told_of(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        self.consume().hang_up()
        self.consume(client_id=b"another").hang_up()
        self.assertEqual(self.lines(), [])
        self.consume().hang_up()
        (line,) = self.lines()
        self.assertRegex(
            line,
            r"a-consumer \(.*\) has again closed .* demo-topic, partition 0, offset 0 \(614400 bytes, .*"
            "receive.message.max.bytes.* request timeout .* LFS_HYDRATE_MAX_SIZE",
        )

    def test_after_a_while_it_is_not_told_of(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        self.consume().hang_up()
        self.net.advance(untaken.SECONDS)
        self.consume().hang_up()
        self.assertEqual(self.lines(), [])

    def test_connections_that_the_proxy_ends_are_not_told_of(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        self.consume()
        self.consume()
        self.successResultOf(self.stop())
        self.assertEqual(self.lines(), [])
        self.assertEqual(self.results(), [(TOPIC, "cancelled")] * 2)


class MemoryTests(HydrationTestCase):
    def test_none_is_held_while_the_broker_waits_for_records(self) -> None:
        self.serve(b"x" * 200 * KIB)
        self.cluster.held = True
        self.consume()
        self.assertEqual(self.budget.used, 0)
        self.answer()
        self.assertGreater(self.budget.peak, 200 * KIB)

    def test_one_that_waits_too_long_loses_its_connection(self) -> None:
        self.serve(b"x" * 200 * KIB)
        everything = self.successResultOf(self.budget.acquire(self.budget.largest))
        client = self.consume()
        self.pass_seconds(10)
        self.assertFalse(client.is_open)
        everything.release()

    def test_a_client_that_takes_nothing_is_evicted_while_others_wait(self) -> None:
        self.serve(self.put(LARGE))
        client = self.client()
        client.wire.peer_reads = False
        client.send(self.fetch())
        everything = self.successResultOf(self.budget.acquire(self.budget.largest))
        waiting = self.budget.acquire(self.budget.largest)
        self.pass_seconds(5)
        self.assertFalse(client.is_open)
        everything.release()
        self.net.flow()
        self.successResultOf(waiting).release()

    def test_an_answer_that_is_more_than_a_lease_passes(self) -> None:
        data = self.serve(self.put(SMALL), b"x" * 7 * 1024 * KIB)
        answer = self.answer_of(self.consume())
        self.assertEqual(bytes(answer.topics[0].partitions[0].records or b""), data)
        self.assertEqual(self.results(), [(TOPIC, "too_large")])

    def test_an_answer_that_the_store_gives_up_in_the_middle_closes_the_connection(self) -> None:
        self.serve(self.put(LARGE))
        self.source.hold("read")
        client = self.consume()
        self.source.fail_next("read", cast(Any, CancelledError()))
        self.source.let_go("read")
        self.net.flow()
        self.assertGreater(len(client.data), 0)
        self.assertFalse(client.is_open)

    def test_nothing_is_got_for_a_connection_that_was_given_up(self) -> None:
        self.serve(self.put(LARGE))
        self.serve(self.put(SMALL), partition=1)
        self.source.hold("read")
        client = self.client()
        client.send(self.fetch(), self.fetch(2, topics={TOPIC: [1]}))
        self.source.fail_next("read", StoreUnavailable("down"))
        self.source.let_go("read")
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.results(), [(TOPIC, "store_error")])

    def test_no_more_requests_are_read_than_can_be_kept_for_their_answers(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(*[self.fetch(number, topics={TOPIC: range(4000)}) for number in range(5)])
        self.assertEqual(len(self.broker.requests), 3)
        while self.broker.pending:
            self.answer()
        self.assertEqual(client.order, list(range(5)))

    def test_large_requests_that_wait_behind_an_upload_are_not_gathered(self) -> None:
        self.store.hold("write")
        client = self.client()
        client.send(produce(0, batch(lfs(b"x" * KIB))))
        client.send(*[self.fetch(number, topics={TOPIC: range(4000)}) for number in range(1, 7)])
        self.assertGreater(client.wire.unread, 200 * KIB)
        self.let_go("write")
        self.assertEqual(client.order, list(range(7)))

    def test_a_client_that_does_not_send_the_rest_of_a_large_request_loses_its_memory(self) -> None:
        client = self.client()
        frame = self.fetch(topics={TOPIC: range(5000)})
        client.send(frame[: len(frame) // 2])
        self.assertGreater(self.budget.used, 0)
        self.pass_seconds(60)
        self.assertTrue(client.is_open)
        waiting = self.budget.acquire(self.budget.largest)
        self.pass_seconds(4)
        self.assertFalse(client.is_open)
        self.successResultOf(waiting).release()
