"""Blobs that cannot be given: what a consumer gets in their place, and what others get."""

from __future__ import annotations

import hashlib

from lfsproxy.codes import KafkaCode
from lfsproxy.errors import BlobMissing, StoreRefused, StoreUnavailable
from lfsproxy.relay.fetch import blobs, shared, small
from lfsproxy.relay.fetch.answer import MOST_PLANS
from tests.relay.fetch.hydration import LARGE, SMALL, TOPIC, HydrationTestCase
from tests.relay.rig import KIB, Client

ERROR = KafkaCode.KAFKA_STORAGE_ERROR


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

    def test_a_blob_that_the_store_never_gives_does_not_hold_back_those_of_other_partitions(self) -> None:
        self.serve(self.put(LARGE))
        self.serve(self.put(LARGE), partition=1)
        both = {TOPIC: [0, 1]}
        self.source.fail_next("crc32c", StoreUnavailable("503"))
        self.assertEqual(self.codes(self.consume(topics=both, max_bytes=500)), [ERROR, ERROR])
        self.source.hold("crc32c")
        client = self.consume(topics=both, max_bytes=500)
        self.pass_seconds(blobs.AGAIN_SECONDS)
        self.source.let_go("crc32c")
        self.net.flow()
        self.assertEqual(self.codes(client), [ERROR, 0])
        self.assertEqual(self.values(self.answer_of(client)), [[], [LARGE]])

    def test_a_blob_that_there_was_trouble_with_is_given_as_soon_as_the_store_does(self) -> None:
        self.serve(self.put(SMALL))
        self.source.fail_next("open", StoreUnavailable("503"))
        self.assertEqual(self.codes(self.consume()), [ERROR])
        self.assertEqual(self.values(self.answer_of(self.consume())), [[SMALL]])

    def test_and_is_then_waited_for_as_long_as_any(self) -> None:
        self.serve(self.put(LARGE))
        self.source.fail_next("crc32c", StoreUnavailable("503"))
        self.assertEqual(self.codes(self.consume()), [ERROR])
        self.assertEqual(self.codes(self.consume()), [0])
        self.source.hold("crc32c")
        client = self.consume()
        self.pass_seconds(2 * blobs.AGAIN_SECONDS)
        self.assertEqual(self.source.held("crc32c"), 1)
        self.source.let_go("crc32c")
        self.net.flow()
        self.assertEqual(self.codes(client), [0])

    def test_of_many_blobs_that_there_was_trouble_with_one_is_waited_for(self) -> None:
        partitions = range(5)
        for number in partitions:
            self.serve(self.put(LARGE), partition=number)
            self.source.fail_next("crc32c", StoreUnavailable("503"))
            self.consume(topics={TOPIC: [number]})
        self.source.hold("crc32c")
        client = self.consume(topics={TOPIC: partitions}, max_bytes=500)
        self.pass_seconds(blobs.AGAIN_SECONDS)
        self.assertEqual(self.codes(client), [ERROR] * 5)

    def test_after_a_while_it_is_waited_for_as_long_as_any(self) -> None:
        self.serve(self.put(LARGE))
        self.source.fail_next("crc32c", StoreUnavailable("503"))
        self.consume()
        self.source.hold("crc32c")
        for seconds, held in ((0.0, 0), (shared.TROUBLED_SECONDS, 1)):
            self.net.advance(seconds)
            self.consume()
            self.pass_seconds(blobs.AGAIN_SECONDS)
            self.assertEqual(self.source.held("crc32c"), held)

    def test_the_store_is_asked_for_so_many_small_blobs_at_once_whoever_waits(self) -> None:
        partitions = range(1 + small.AT_ONCE // blobs.SMALL_AT_ONCE)
        for number in partitions:
            self.serve(*[self.put(SMALL) for _ in range(blobs.SMALL_AT_ONCE)], partition=number)
        self.source.hold("open")
        clients = [self.consume(topics={TOPIC: [number]}) for number in partitions]
        self.assertEqual(self.source.held("open"), small.AT_ONCE)
        clients[0].hang_up()
        self.assertEqual(self.source.held("open"), small.AT_ONCE)
        self.source.let_go("open")
        self.net.flow()
        for client in clients[1:]:
            self.assertEqual(self.values(self.answer_of(client)), [[SMALL] * blobs.SMALL_AT_ONCE])

    def test_a_small_blob_that_many_want_at_once_is_got_once(self) -> None:
        self.serve(self.put(SMALL))
        self.source.hold("open")
        first, *others = [self.consume() for _ in range(5)]
        self.assertEqual(self.source.held("open"), 1)
        first.hang_up()
        self.assertEqual(self.source.held("open"), 1)
        self.source.let_go("open")
        self.net.flow()
        for client in others:
            self.assertEqual(self.values(self.answer_of(client)), [[SMALL]])

    def test_one_key_with_another_checksum_is_another_blob(self) -> None:
        right = self.put(SMALL)
        self.serve(right, right.replace(hashlib.sha256(SMALL).hexdigest().encode(), b"0" * 64))
        self.assertEqual(self.values(self.answer_of(self.consume())), [[SMALL]])

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
        self.source.hold("crc32c")
        client = self.consume()
        self.pass_seconds(blobs.AGAIN_SECONDS)
        self.assertEqual(self.codes(client), [ERROR])


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
