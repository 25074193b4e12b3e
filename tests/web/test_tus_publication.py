"""Resumable uploads through the HTTP door: what is published, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from lfsproxy.checksums import Buffer
from lfsproxy.errors import BrokerRefused, BrokerUnavailable, OutcomeUnknown, StoreUnavailable
from lfsproxy.interfaces import StoredPart
from lfsproxy.resumable.publication import START_SECONDS
from tests.web.doubles import Answer, Client, request
from tests.web.tus_door import DATA, TUS, TusTests


class PublicationTests(TusTests):
    def complete(self, fault: Exception | None = None) -> tuple[str, Answer]:
        path = self.door.new(len(DATA))
        if fault is not None:
            self.door.publisher.fail_next("publish", fault)  # type: ignore[arg-type]
        return path, self.door.patch(path, 0, DATA)

    def test_every_later_head_names_the_record(self) -> None:
        path, answer = self.complete()
        self.assertPublished(DATA, answer)
        self.assertPublished(DATA, self.door.replica().head(path))
        self.assertPublished(DATA, self.door.patch(path, len(DATA), b""))

    def test_only_what_later_heads_need_stays(self) -> None:
        path, _ = self.complete()
        names = sorted(key.rpartition("/")[2] for key in self.door.uploads_store.objects)
        self.assertEqual([name.partition("-")[0] for name in names], ["info", "intent", "mark", "result"])
        self.assertEqual(self.door.delete(path).status, 204)
        names = sorted(key.rpartition("/")[2] for key in self.door.uploads_store.objects)
        self.assertEqual(names, ["intent-00000001", "result"])
        self.assertEqual(self.door.blobs, [DATA])

    def test_what_was_surely_not_sent_can_be_asked_for_again(self) -> None:
        path, answer = self.complete(BrokerUnavailable("no broker"))
        self.assertEqual(answer.status, 503)
        answer = self.door.head(path)
        self.assertEqual(answer.status, 200)
        self.assertPublished(DATA, answer)

    def test_an_unknown_outcome_that_the_log_proves_is_a_success(self) -> None:
        publish = self.door.publisher.publish

        async def publish_and_lose(*arguments: Any) -> Any:
            await publish(*arguments)
            raise OutcomeUnknown("lost")

        self.patch(self.door.publisher, "publish", publish_and_lose)
        path, answer = self.complete()
        self.assertEqual((answer.status, answer.json["type"]), (504, "/problems/outcome-unknown"))
        self.assertPublished(DATA, self.door.replica().head(path))

    def test_an_unknown_outcome_without_proof_stays_unknown(self) -> None:
        path, answer = self.complete(OutcomeUnknown("lost"))
        self.assertEqual(answer.status, 504)
        client = self.door.client()
        client.send(request("HEAD", path, None, [TUS]))
        self.assertEqual(client.received, b"")
        for _ in range(60):
            self.door.clock.advance(2)
        self.assertEqual(client.answer(head=True).status, 409)
        self.assertEqual(self.door.patch(path, len(DATA), b"").status, 409)
        self.assertEqual(self.door.publisher.records, [])
        self.assertEqual(self.door.metrics.of("orphan"), [("unknown_outcome",)])
        self.assertEqual(self.door.blobs, [DATA])

    def test_a_deletion_that_comes_late_takes_nothing_that_was_acknowledged(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.door.uploads.must_be_supported()))
        store, late = self.door.uploads_store, list[str]()

        async def answer_lost(key: str) -> None:
            # As the store's own clean-up, that goes on in the background.
            late.append(key)
            raise StoreUnavailable("the answer was lost")

        delete = store.delete_object
        self.patch(store, "delete_object", answer_lost)
        path, answer = self.complete(BrokerRefused(10, "too large"))
        self.assertEqual(answer.status, 502)
        self.patch(store, "delete_object", delete)
        self.assertPublished(DATA, self.door.head(path))
        for key in late:
            self.successResultOf(Deferred.fromCoroutine(delete(key)))
        self.assertEqual(self.door.head(path).status, 200)
        self.assertEqual(self.door.delete(path).status, 204)
        self.assertEqual((len(self.door.publisher.records), self.door.blobs), (1, [DATA]))

    def test_an_intent_whose_answer_was_lost_is_no_unknown_outcome(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.door.uploads.must_be_supported()))
        store = self.door.uploads_store
        create = store.create_object

        async def answer_lost(key: str, buffers: Sequence[Buffer]) -> bool:
            await create(key, buffers)
            if "/intent-" in key or "/void-" in key:
                raise StoreUnavailable("the answer was lost")
            return True

        self.patch(store, "create_object", answer_lost)
        path, answer = self.complete()
        self.assertEqual((answer.status, self.door.publisher.records), (503, []))
        self.patch(store, "create_object", create)
        # Here it is known at once that nothing was published, elsewhere when the store says so.
        other = self.door.replica().client()
        other.send(request("HEAD", path, None, [TUS]))
        self.door.clock.advance(2)
        self.assertEqual(other.answer(head=True).status, 503)
        self.assertPublished(DATA, self.door.head(path))
        self.assertPublished(DATA, self.door.replica().head(path))

    def test_a_replica_that_comes_to_publish_too_late_does_not(self) -> None:
        store = self.door.uploads_store
        read = store.read_object

        async def slow(key: str, start: int = 0, size: int | None = None) -> bytes | None:
            if key.endswith("/info") and any("/intent-" in one for one in store.objects):
                self.door.clock.advance(START_SECONDS + 1)
            return await read(key, start, size)

        self.patch(store, "read_object", slow)
        path, answer = self.complete()
        self.assertEqual((answer.status, self.door.publisher.records), (503, []))
        self.patch(store, "read_object", read)
        self.door.clock.advance(1)
        self.assertPublished(DATA, self.door.replica().head(path))

    def test_a_blob_that_the_store_does_not_vouch_for_is_read_back(self) -> None:
        store = self.door.uploads_store
        complete = store.complete_parts

        async def unsure(
            key: str, upload_id: str, parts: Sequence[StoredPart], length: int, part_size: int
        ) -> bool:
            await complete(key, upload_id, parts, length, part_size)
            store.blobs[key] = attrs.evolve(store.blobs[key], data=content)
            return False

        self.patch(store, "complete_parts", unsure)
        content = DATA[:-1] + b"?"
        path, answer = self.complete()
        self.assertEqual((answer.status, self.door.publisher.records), (502, []))
        content = DATA
        self.assertPublished(DATA, self.door.head(path))

    def test_other_bytes_of_the_same_length_are_a_conflict(self) -> None:
        path = self.door.new(500)
        store = self.door.uploads_store
        create = store.create_object

        async def no_mark(key: str, buffers: Sequence[Buffer]) -> bool:
            raise StoreUnavailable("down")

        self.patch(store, "create_object", no_mark)
        self.assertEqual(self.door.patch(path, 0, b"a" * 500).status, 503)
        self.patch(store, "create_object", create)
        answer = self.door.patch(path, 0, b"b" * 500)
        self.assertEqual((answer.status, answer.json["type"]), (409, "/problems/other-bytes"))
        self.assertEqual(self.door.publisher.records, [])
        self.assertPublished(b"a" * 500, self.door.patch(path, 0, b"a" * 500))

    def test_two_replicas_that_finish_at_once_publish_once(self) -> None:
        path, _ = self.complete(BrokerUnavailable("no broker"))
        self.door.publisher.hold("log_end")
        clients: list[Client] = [self.door.client(), self.door.replica().client()]
        for client in clients:
            client.send(request("HEAD", path, None, [TUS]))
        # Both have found that nobody publishes.
        self.assertEqual(self.door.publisher.held("log_end"), 2)
        self.door.publisher.let_go("log_end")
        for _ in range(5):
            self.door.clock.advance(2)
        for client in clients:
            self.assertPublished(DATA, client.answer(head=True))

    def test_an_upload_counts_once(self) -> None:
        path, _ = self.complete()
        self.door.head(path)
        self.door.delete(path)
        self.assertEqual(
            [(p, topic, result, size) for p, topic, result, size, _ in self.door.metrics.of("upload")],
            [("tus", "t", "ok", len(DATA))],
        )


del TusTests
