"""Resumable uploads through the HTTP door: requests that are cut short, overtaken or fail."""

from __future__ import annotations

import hashlib

from lfsproxy.errors import StoreUnavailable
from tests.web.tus_door import DATA, TusDoor, TusTests, cut, encode


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


del TusTests
