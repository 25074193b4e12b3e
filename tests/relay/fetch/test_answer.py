"""Answers with blobs through a whole relay: what a consumer gets."""

from __future__ import annotations

from unittest import mock

from twisted.logger import LogLevel

from lfsproxy.codes import KafkaCode
from lfsproxy.relay import scanning
from lfsproxy.wire.fetch import parse_fetch_request
from tests.relay.fetch.hydration import LARGE, SMALL, TOPIC, VERSION, HydrationTestCase
from tests.relay.rig import KIB


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

    def test_the_store_is_asked_once_for_a_large_blob_where_it_tells_its_checksum(self) -> None:
        self.source.tells_crc = True
        self.serve(b"plain", self.put(LARGE), self.put(SMALL))
        self.source.hold("crc32c")
        opened = mock.Mock(wraps=self.source.open)
        self.patch(self.source, "open", opened)
        self.assertEqual(self.values(self.answer_of(self.consume())), [[b"plain", LARGE, SMALL]])
        self.assertEqual(opened.call_count, 2)

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

    def test_topics_that_match_nothing_are_told_of_once(self) -> None:
        for _ in range(2):
            self.consume(topics={"__offsets": [0], "demos": [0]})
        (line,) = [each for each in self.lines(LogLevel.info) if "LFS_HYDRATE_TOPICS" in each]
        self.assertIn("LFS_HYDRATE_TOPICS (demo-*,__*) does not match demos", line)

    def test_where_some_topic_matches_no_other_is_told_of(self) -> None:
        self.consume()
        self.consume(topics={"demos": [0]})
        self.assertEqual([each for each in self.lines(LogLevel.info) if "LFS_HYDRATE_TOPICS" in each], [])

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
