"""Resumable uploads through the HTTP door: what is terminated, and what expires."""

from __future__ import annotations

import hashlib

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived

from lfsproxy.errors import BrokerRefused
from tests.web.doubles import request
from tests.web.tus_door import DATA, EXPIRY, OFFSET, TUS, TusDoor, TusTests, cut, encode, patch


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
