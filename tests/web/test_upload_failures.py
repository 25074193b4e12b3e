"""Uploads over HTTP that fail: nothing is published that was not acknowledged, and nothing is left."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import Lease
from lfsproxy.errors import (
    BrokerInvalid,
    BrokerRefused,
    BrokerUnavailable,
    LfsError,
    NotAuthorised,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
)
from tests.web.doubles import MIB, Door, chunked, form, request


class FailureTests(SynchronousTestCase):
    """Nothing is published that was not acknowledged, and nothing is left that was not published."""

    def setUp(self) -> None:
        self.door = Door()

    def assertNothingIsLeft(self) -> None:
        self.assertEqual(self.door.publisher.records, [])
        self.assertEqual(self.door.store.blobs, {})
        self.assertEqual(self.door.store.open_uploads, 0)
        self.assertEqual(self.door.budget.used, 0)
        self.assertEqual(self.door.site.in_flight, 0)

    def test_checksum_mismatch_publishes_nothing(self) -> None:
        answer = self.door.ask(request(path="/v1/topics/t/records?checksum=" + "0" * 64, body=b"hello"))
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        problem = answer.json
        self.assertEqual(problem["type"], "/problems/checksum-mismatch")
        self.assertEqual(problem["expected"], "0" * 64)
        self.assertEqual(problem["actual"], hashlib.sha256(b"hello").hexdigest())
        self.assertIn(problem["actual"], problem["detail"])
        self.assertEqual(self.door.metrics.of("checksum_mismatch"), [("http",)])
        self.assertNothingIsLeft()

    def test_a_body_that_is_too_large_is_refused_unread(self) -> None:
        door = self.door = Door(max_upload_size=10)
        client = door.client()
        client.send(request(body=bytes(11))[:-11])
        answer = client.answer()
        self.assertEqual(answer.status, 413)
        self.assertIn("LFS_MAX_UPLOAD_SIZE", answer.json["detail"])
        self.assertEqual(door.store.pieces, [])

    def test_a_chunked_body_that_grows_too_large_is_refused(self) -> None:
        door = self.door = Door(max_upload_size=10)
        client = door.client()
        client.send(request(body=None, headers=["Transfer-Encoding: chunked"]))
        client.send(b"b\r\n" + bytes(11))
        client.send(b"\r\n0\r\n\r\n")
        self.assertEqual(client.answer().status, 413)
        self.assertNothingIsLeft()

    def test_a_form_may_be_larger_than_its_file(self) -> None:
        door = self.door = Door(max_upload_size=10)
        body, content_type = form(("key", None, b"k"), ("file", "x", bytes(10)))
        self.assertEqual(door.ask(request(body=body, headers=[content_type])).status, 201)

    def test_a_form_is_refused_unread_when_its_file_must_be_too_large(self) -> None:
        door = self.door = Door(max_upload_size=10)
        client = door.client()
        client.send(
            request(
                body=None,
                headers=["Content-Type: multipart/form-data; boundary=b", "Content-Length: 70000"],
            )
        )
        self.assertEqual(client.answer().status, 413)

    def test_trouble_with_the_store(self) -> None:
        self.door.store.fail_next("write", StoreUnavailable("S3 is away"))
        answer = self.door.ask(request(body=b"hello"))
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.json["type"], "/problems/store-unavailable")
        self.assertIn("retry-after", answer.headers)
        self.assertNothingIsLeft()

    def test_a_refusal_of_the_store(self) -> None:
        self.door.store.fail_next("commit", StoreRefused("no such bucket"))
        answer = self.door.ask(request(body=b"hello"))
        self.assertEqual(answer.status, 502)
        self.assertNotIn("retry-after", answer.headers)
        self.assertNothingIsLeft()

    def test_a_topic_that_does_not_exist_is_told_before_the_body_is_read(self) -> None:
        client = self.door.client()
        client.send(request(path="/v1/topics/other/records", body=b"hello")[:-5])
        answer = client.answer()
        self.assertEqual((answer.status, answer.json["type"]), (404, "/problems/unknown-topic"))
        self.assertEqual(self.door.store.pieces, [])

    def publishing_fails(self, error: Exception) -> tuple[int, dict[str, str]]:
        self.door.publisher.fail_next("publish", error)  # type: ignore[arg-type]
        answer = self.door.ask(request(body=b"hello"))
        self.assertEqual(self.door.budget.used, 0)
        self.assertEqual(self.door.site.in_flight, 0)
        return answer.status, answer.headers

    def test_a_refused_envelope_takes_its_blob_with_it(self) -> None:
        refusals: list[tuple[LfsError, int]] = [
            (NotAuthorised(29, "no"), 403),
            (BrokerRefused(19, "no"), 502),
            (BrokerInvalid(87, "no"), 400),
            (BrokerUnavailable("nobody there"), 503),
        ]
        for error, status in refusals:
            self.assertEqual(self.publishing_fails(error)[0], status)
            self.assertEqual(self.door.store.blobs, {})
        self.assertEqual(self.door.metrics.of("orphan"), [])

    def test_an_unknown_outcome_keeps_the_blob(self) -> None:
        status, headers = self.publishing_fails(OutcomeUnknown("the connection was lost"))
        self.assertEqual(status, 504)
        self.assertNotIn("retry-after", headers)
        self.assertEqual(len(self.door.store.blobs), 1)
        self.assertEqual(self.door.metrics.of("orphan"), [("unknown_outcome",)])

    def test_an_unforeseen_failure_of_publishing_is_an_unknown_outcome(self) -> None:
        status, _ = self.publishing_fails(RuntimeError("what"))
        self.assertEqual(status, 504)
        self.assertEqual(len(self.door.store.blobs), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_an_unforeseen_failure_says_nothing_of_itself(self) -> None:
        self.door.store.fail_next("seal", RuntimeError("secret"))  # type: ignore[arg-type]
        answer = self.door.ask(request(body=b"hello"))
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertNothingIsLeft()

    def test_a_client_that_leaves_in_the_body_publishes_nothing(self) -> None:
        for whole in (
            request(body=b"hello"),
            request(body=None, headers=["Transfer-Encoding: chunked"]) + chunked(b"hello"),
        ):
            client = self.door.client()
            client.send(whole[:-2])
            self.assertEqual(self.door.site.in_flight, 1)
            client.leave()
            self.assertNothingIsLeft()
        self.assertEqual([call[2] for call in self.door.metrics.of("upload")], ["cancelled"] * 2)
        self.assertEqual(self.door.clock.getDelayedCalls()[2:], [])

    def test_a_client_that_leaves_while_the_store_is_slow_publishes_nothing(self) -> None:
        self.door.store.hold("write")
        client = self.door.client()
        client.send(request(body=b"hello"))
        client.leave()
        self.assertNothingIsLeft()

    def test_a_client_that_leaves_while_the_blob_is_completed_publishes_nothing(self) -> None:
        self.door.store.hold("seal")
        client = self.door.client()
        client.send(request(body=b"hello"))
        client.leave()
        self.assertNothingIsLeft()

    def test_a_client_that_leaves_while_it_waits_for_memory_publishes_nothing(self) -> None:
        lease = self.successResultOf(self.door.budget.acquire(18 * MIB))
        client = self.door.client()
        client.send(request(body=bytes(2 * MIB))[:-MIB])
        self.assertEqual(self.door.budget.waiting, 1)
        client.leave()
        self.assertEqual(self.door.budget.waiting, 0)
        lease.release()
        self.assertNothingIsLeft()

    def test_publishing_is_carried_through_when_the_client_leaves(self) -> None:
        self.door.publisher.hold("publish")
        client = self.door.client()
        client.send(request(body=b"hello"))
        client.leave()
        self.assertEqual(self.door.site.in_flight, 1)
        self.door.publisher.let_go("publish")
        self.assertEqual(len(self.door.store.blobs), 1)
        self.assertEqual([call[2] for call in self.door.metrics.of("upload")], ["ok"])
        self.assertEqual(self.door.site.in_flight, 0)
        self.assertEqual(self.door.budget.used, 0)

    def test_a_silent_client_is_cut(self) -> None:
        client = self.door.client()
        client.send(request(body=b"hello")[:-2])
        self.door.clock.advance(29)
        client.send(b"l")
        self.door.clock.advance(29)
        self.assertEqual(client.received, b"")
        self.door.clock.advance(1)
        answer = client.answer()
        self.assertEqual((answer.status, answer.json["type"]), (408, "/problems/stalled"))
        client.leave()
        self.assertNothingIsLeft()

    def test_a_slow_store_does_not_cut_its_client(self) -> None:
        self.door.store.hold("write")
        client = self.door.client()
        client.send(request(body=bytes(300_000))[:-100])
        self.door.clock.advance(300)
        self.assertEqual(client.received, b"")
        self.door.store.let_go("write")
        client.send(bytes(100))
        self.assertEqual(client.answer().status, 201)

    def test_a_slow_client_loses_its_memory_to_those_who_wait(self) -> None:
        slow = self.door.client()
        slow.send(request(body=bytes(5 * MIB))[: -4 * MIB])
        leases = [self.successResultOf(self.door.budget.acquire(5 * MIB)) for _ in range(2)]
        fast = self.door.client()
        fast.send(request(body=bytes(5 * MIB))[: -5 * MIB])
        self.assertEqual(self.door.budget.waiting, 1)
        self.door.clock.pump([1.0] * 3)
        self.assertEqual(slow.answer().status, 408)
        self.assertEqual(self.door.budget.waiting, 0)
        fast.send(bytes(5 * MIB))
        self.assertEqual(fast.answer().status, 201)
        for lease in leases:
            lease.release()

    def crowd(self) -> list[Lease]:
        """Take all memory but one part's, and let somebody wait for more."""
        leases = [self.successResultOf(self.door.budget.acquire(5 * MIB)) for _ in range(2)]
        self.addCleanup(self.door.budget.acquire(8 * MIB).cancel)
        self.assertEqual(self.door.budget.waiting, 1)
        return leases

    def test_who_waits_for_the_store_keeps_its_memory(self) -> None:
        self.door.store.hold("write")
        client = self.door.client()
        client.send(request(body=bytes(5 * MIB))[: -4 * MIB])
        leases = self.crowd()
        self.door.clock.pump([1.0] * 60)
        self.assertEqual(client.received, b"")
        client.leave()
        for lease in leases:
            lease.release()
        self.door.clock.advance(0)

    def test_a_dripping_client_keeps_its_memory_until_it_fills_no_part(self) -> None:
        client = self.door.client()
        client.send(request(body=bytes(5 * MIB))[: -4 * MIB])
        leases = self.crowd()
        for _ in range(29):
            client.send(b"x")
            self.door.clock.advance(1)
        self.assertEqual(client.received, b"")
        client.send(b"x")
        self.door.clock.advance(1)
        self.assertEqual(client.answer().status, 408)
        for lease in leases:
            lease.release()

    def test_a_stop_that_the_store_swallows_publishes_nothing(self) -> None:
        self.door.store.deaf = True
        self.door.store.hold("seal")
        client = self.door.client()
        client.send(request(body=b"hello"))
        client.leave()
        self.assertNothingIsLeft()
