"""Resumable uploads through the HTTP door: what is cut short, published, terminated, and what expires."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived

from lfsproxy.checksums import Buffer
from lfsproxy.errors import BrokerRefused, BrokerUnavailable, OutcomeUnknown, StoreUnavailable
from lfsproxy.interfaces import StoredPart
from lfsproxy.resumable.publication import START_SECONDS
from tests.web.doubles import Answer, Client, request
from tests.web.tus_door import DATA, EXPIRY, OFFSET, TUS, TusDoor, TusTests, cut, encode, patch


class InterruptionTests(TusTests):
    def test_what_came_of_a_cut_request_is_kept(self) -> None:
        path = self.door.new(len(DATA))
        client = self.door.client()
        client.send(cut(path, 0, DATA[:2300], len(DATA)))
        client.leave()
        self.assertEqual(self.door.offset(path), 2300)
        self.assertPublished(DATA, self.door.patch(path, 2300, DATA[2300:]))

    def test_nothing_of_a_cut_request_with_a_checksum_is_kept(self) -> None:
        path = self.door.new(len(DATA))
        client = self.door.client()
        digest = encode(hashlib.sha1(DATA).digest())
        wire = cut(path, 0, DATA[:2300], len(DATA)).replace(
            b"\r\n\r\n", b"\r\nUpload-Checksum: sha1 %s\r\n\r\n" % digest.encode(), 1
        )
        client.send(wire)
        client.leave()
        self.assertEqual(self.door.offset(path), 0)
        self.assertPublished(DATA, self.door.patch(path, 0, DATA))

    def test_a_process_that_dies_costs_a_few_parts_at_most(self) -> None:
        path = self.door.new(len(DATA))
        dead = self.door.replica()
        client = dead.client()
        for start in range(0, 5000, 500):
            client.send(cut(path, 0, DATA[:500], len(DATA)) if not start else DATA[start : start + 500])
        self.assertEqual(self.door.offset(path), 4000)
        self.assertPublished(DATA, self.door.patch(path, 4000, DATA[4000:]))
        # The dead one wakes up: it has nothing to say any more.
        client.send(DATA[5000:])
        self.assertEqual(client.answer().status, 502)
        self.assertEqual(len(self.door.publisher.records), 1)

    def test_of_two_requests_at_once_the_second_is_423(self) -> None:
        path = self.door.new(len(DATA))
        client = self.door.client()
        client.send(cut(path, 0, DATA[:1000], len(DATA)))
        self.assertEqual(self.door.patch(path, 0, DATA).status, 423)
        self.assertEqual(self.door.delete(path).status, 423)
        client.send(DATA[1000:])
        self.assertPublished(DATA, client.answer())

    def test_of_two_replicas_at_once_one_is_told_to_ask_again(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:1500])
        other = self.door.replica()
        first, second = self.door.client(), other.client()
        first.send(cut(path, 1500, DATA[1500:2500], 1500))
        second.send(cut(path, 1500, b"\0" * 1000, 1500))
        first.send(DATA[2500:3000])
        self.assertEqual(first.answer().status, 204)
        second.send(b"\0" * 500)
        answer = second.answer()
        self.assertEqual((answer.status, answer.json["type"]), (409, "/problems/upload-moved"))
        answer = self.door.patch(path, 3000, DATA[3000:])
        # What the second wrote over the first's parts is never taken for them.
        self.assertEqual(answer.status, 502)
        self.assertEqual(self.door.publisher.records, [])

    def test_a_stalled_client_is_cut_and_its_bytes_are_kept(self) -> None:
        path = self.door.new(len(DATA))
        client = self.door.client()
        client.send(cut(path, 0, DATA[:1300], len(DATA)))
        self.door.clock.advance(self.door.settings.stall_timeout + 1)
        self.assertEqual(client.answer().status, 408)
        self.assertEqual(self.door.offset(path), 1300)

    def test_draining_takes_no_new_bytes(self) -> None:
        path = self.door.new(10)
        self.door.readiness.drain()
        answer = self.door.patch(path, 0, b"x")
        self.assertEqual((answer.status, "retry-after" in answer.headers), (503, True))
        self.assertEqual(self.door.create("Upload-Length: 1").status, 503)

    def test_trouble_with_the_store_keeps_what_was_stored_before(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:1500])
        self.door.uploads_store.fail_next("put_part", StoreUnavailable("down"))
        self.assertEqual(self.door.patch(path, 1500, DATA[1500:]).status, 503)
        offset = self.door.offset(path)
        self.assertLess(offset, len(DATA))
        self.assertPublished(DATA, self.door.patch(path, offset, DATA[offset:]))

    def test_trouble_with_the_last_bytes_is_no_end(self) -> None:
        for call in ("put_blob", "create_object"):
            self.door = TusDoor()
            path = self.door.new(500)
            self.door.uploads_store.fail_next(call, StoreUnavailable("down"))
            self.assertEqual(self.door.patch(path, 0, DATA[:500]).status, 503)
            self.assertEqual(self.door.offset(path), 0)
            self.assertPublished(DATA[:500], self.door.patch(path, 0, DATA[:500]))


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

        async def unsure(key: str, upload_id: str, parts: Sequence[StoredPart], length: int) -> bool:
            await complete(key, upload_id, parts, length)
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


class EndTests(TusTests):
    def test_termination_leaves_nothing(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:2500])
        self.assertEqual(self.door.delete(path).status, 204)
        self.assertNothingLeft()
        for answer in (self.door.head(path), self.door.patch(path, 2500, b""), self.door.delete(path)):
            self.assertEqual(answer.status, 404)

    def test_an_upload_of_another_topic_is_404(self) -> None:
        path = self.door.new(10)
        self.assertEqual(self.door.head(path.replace("/t/", "/other/")).status, 404)
        self.assertEqual(self.door.head("/v1/topics/t/uploads/..%2f..").status, 404)

    def test_an_expired_upload_is_410_and_gone(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:2500])
        self.door.clock.advance(EXPIRY - 1)
        self.assertEqual(self.door.head(path).status, 200)
        self.door.clock.advance(1)
        self.assertEqual(self.door.head(path).status, 410)
        self.assertNothingLeft()

    def test_asking_again_and_again_keeps_no_upload_alive(self) -> None:
        path = self.door.new(500)
        self.door.publisher.fail_next("publish", BrokerRefused(10, "too large"))
        self.assertEqual(self.door.patch(path, 0, b"a" * 500).status, 502)
        for _ in range(3):
            self.door.clock.advance(EXPIRY / 4)
            self.door.publisher.fail_next("publish", BrokerRefused(10, "too large"))
            self.assertEqual(self.door.head(path).status, 502)
        self.door.clock.advance(EXPIRY / 4)
        self.assertEqual(self.door.head(path).status, 410)
        self.assertNothingLeft()

    def test_a_sweep_removes_what_has_expired(self) -> None:
        self.door.patch(self.door.new(len(DATA)), 0, DATA[:2500])
        done = self.door.new(len(DATA))
        self.door.patch(done, 0, DATA)
        self.door.uploads.start()
        self.addCleanup(self.door.uploads.stop)
        self.assertEqual(len(self.door.blobs), 1)
        self.door.clock.advance(EXPIRY / 2)
        young = self.door.new(10)
        self.door.clock.advance(EXPIRY / 2)
        self.assertEqual(self.door.offset(young), 0)
        whole = [key for key in self.door.uploads_store.objects if key.endswith("/info")]
        self.assertEqual(whole, [f"lfs-uploads/{young[-32:]}/info"])
        self.assertEqual((self.door.blobs, self.door.uploads_store.uploads), ([DATA], {}))

    def test_a_sweep_that_fails_says_why_in_words(self) -> None:
        async def fail() -> None:
            raise ResponseNeverReceived([Failure(ConnectionRefusedError(111, "Connection refused"))])

        self.patch(self.door.uploads, "sweep", fail)
        with capturedLogs() as events:
            self.door.uploads.start()
            self.addCleanup(self.door.uploads.stop)
        self.assertIn("expired uploads stay for now: Connection refused", map(formatEvent, events))

    def test_an_upload_that_is_worked_on_does_not_expire(self) -> None:
        for checksum in ([], ["Upload-Checksum: sha1 " + encode(hashlib.sha1(DATA[100:]).digest())]):
            self.door = TusDoor(stall_timeout=2 * EXPIRY)
            path = self.door.new(len(DATA))
            self.door.patch(path, 0, DATA[:100])
            client = self.door.client()
            wire = request("PATCH", path, DATA[100:], [TUS, OFFSET, "Upload-Offset: 100", *checksum])
            client.send(wire[: -len(DATA) + 100])
            for at in range(100, 2100, 100):
                client.send(DATA[at : at + 100])
                self.door.clock.advance(EXPIRY / 3)
            self.assertEqual(self.door.replica().head(path).status, 200)
            client.send(DATA[2100:])
            self.assertPublished(DATA, client.answer())

    def test_a_request_whose_upload_was_terminated_elsewhere_leaves_nothing(self) -> None:
        # With a multipart upload that is gone too, and with one that is only begun afterwards.
        for before, status in ((1500, 502), (500, 410)):
            self.door = TusDoor()
            path = self.door.new(len(DATA))
            client = self.door.client()
            client.send(cut(path, 0, DATA[:before], len(DATA)))
            self.assertEqual(self.door.replica().delete(path).status, 204)
            client.send(DATA[before:])
            self.assertEqual(client.answer().status, status)
            self.assertEqual(self.door.publisher.records, [])
            self.assertNothingLeft()

    def test_a_blob_that_lands_behind_a_termination_elsewhere_does_not_stay(self) -> None:
        # One PUT, and parts that become a blob.
        for size, call in ((500, "put_blob"), (len(DATA), "complete_parts")):
            self.door = TusDoor()
            path = self.door.new(size)
            self.door.uploads_store.hold(call)
            client = self.door.client()
            client.send(patch(path, 0, DATA[:size]))
            self.assertEqual(self.door.uploads_store.held(call), 1)
            self.assertEqual(self.door.replica().delete(path).status, 204)
            self.door.uploads_store.let_go(call)
            self.assertIn(client.answer().status, (410, 502))
            self.assertEqual(self.door.publisher.records, [])
            self.assertNothingLeft()

    def test_what_a_killed_store_left_beside_the_state_is_none_of_it(self) -> None:
        # S3Proxy lists the temporary file of a PUT in whose midst it was killed: the key, and a uuid.
        uuid = "-0b1f5e0e-5e67-4d0c-8f0e-2a6f6f3f1a11"
        for name in ("info", "mark-00000002", "intent-00000001", "result", "unknown"):
            self.door = TusDoor()
            path = self.door.new(len(DATA))
            self.assertEqual(self.door.patch(path, 0, DATA[:100]).status, 204)
            key = f"lfs-uploads/{path[-32:]}/{name}{uuid}"
            self.door.uploads_store.objects[key] = (b"", self.door.clock.seconds())
            _, found = self.successResultOf(Deferred.fromCoroutine(self.door.uploads.find("t", path[-32:])))
            self.assertEqual(found.mark.offset, 100)
            self.assertPublished(DATA, self.door.patch(path, 100, DATA[100:]))

    def test_the_end_of_a_published_upload_takes_what_a_killed_process_had_begun(self) -> None:
        path = self.door.new(len(DATA))
        store = self.door.uploads_store
        answer = self.door.patch(path, 0, DATA)
        (key,) = store.blobs
        # Whoever published it was killed before it tidied up behind itself, or the store was.
        store.uploads["begun and never noted"] = (key, {})
        self.assertEqual(self.door.delete(path).status, 204)
        self.assertPublished(DATA, answer)

    def test_an_upload_that_another_replica_publishes_meanwhile_is_not_404(self) -> None:
        path = self.door.new(len(DATA))
        store = self.door.uploads_store
        read = store.read_object

        async def overtaken(key: str, start: int = 0, size: int | None = None) -> bytes | None:
            if key.endswith("/mark-00000001"):
                self.patch(store, "read_object", read)
                self.assertEqual(self.door.replica().patch(path, 0, DATA).status, 204)
            return await read(key, start, size)

        self.patch(store, "read_object", overtaken)
        self.assertPublished(DATA, self.door.head(path))

    def test_a_replica_that_finishes_a_terminated_upload_publishes_nothing(self) -> None:
        path = self.door.new(len(DATA))
        self.door.publisher.hold("log_end")
        client = self.door.client()
        client.send(patch(path, 0, DATA))
        self.assertEqual(self.door.replica().delete(path).status, 204)
        self.door.publisher.let_go("log_end")
        self.assertEqual(client.answer().status, 410)
        self.assertEqual(self.door.publisher.records, [])
        self.assertNothingLeft()


del TusTests
