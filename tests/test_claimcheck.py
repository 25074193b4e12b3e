"""Payload in, envelope out, and what becomes of the blob in every case."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import HeldMemory
from lfsproxy.claimcheck import Claim, ClaimCheck, Payload
from lfsproxy.envelope import Envelope
from lfsproxy.errors import (
    BrokerRefused,
    ChecksumMismatch,
    ClientGone,
    InvalidChecksum,
    LfsError,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
)
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics

DATA = b"a large value"
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = "lfs/default/demo-topic/3/42-00000000-0000-0000-0000-000000000007.bin"
_T = TypeVar("_T")


class ClaimTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryBlobStore()
        self.metrics = MemoryMetrics()
        self.claims = ClaimCheck(
            self.store, self.metrics, self.clock, max_size=1000, new_uuid=lambda: UUID(int=7)
        )

    def run_now(self, flow: Coroutine[Deferred[Any], Any, _T]) -> _T:
        return self.successResultOf(Deferred.fromCoroutine(flow))

    def fails_now(self, flow: Coroutine[Deferred[Any], Any, object], error: type[LfsError]) -> LfsError:
        value = self.failureResultOf(Deferred.fromCoroutine(flow), error).value
        assert isinstance(value, LfsError)
        return value

    def begin(self, **known: Any) -> Claim:
        payload = Payload("http", "demo-topic", 3, 42, **known)
        return self.claims.begin(payload, HeldMemory())

    def finished(self, **known: Any) -> tuple[Claim, Envelope]:
        claim = self.begin(**known)
        claim.write(DATA)
        return claim, self.run_now(claim.finish())

    def assert_counted(self, result: str) -> None:
        """One upload, with that result."""
        self.assertEqual([result], [arguments[2] for arguments in self.metrics.of("upload")])

    def assert_nothing_left(self) -> None:
        self.assertEqual({}, self.store.blobs)
        self.assertEqual(0, self.store.open_uploads)
        self.assertEqual([], self.metrics.of("orphan"))


class FinishTests(ClaimTestCase):
    def test_the_envelope_describes_the_blob(self) -> None:
        claim, envelope = self.finished(content_type="image/png")
        self.assertEqual(
            Envelope("kafscale", KEY, "image/png", len(DATA), "sha256", SHA256),
            envelope,
        )
        self.assertEqual(KEY, claim.key)
        self.assertEqual(DATA, self.store.blobs[KEY].data)

    def test_the_object_carries_topic_partition_and_checksum(self) -> None:
        self.finished()
        self.assertEqual(
            {
                "lfs-topic": "demo-topic",
                "lfs-partition": "3",
                "lfs-checksum": SHA256,
                "lfs-checksum-algo": "sha256",
            },
            self.store.blobs[KEY].metadata,
        )

    def test_the_algorithm_that_was_asked_for_is_the_envelopes(self) -> None:
        _, envelope = self.finished(algorithm="crc32", expected=f"{zlib.crc32(DATA):08X}")
        self.assertEqual(("crc32", f"{zlib.crc32(DATA):08x}"), (envelope.checksum_algo, envelope.checksum))

    def test_nothing_is_visible_before_the_payload_is_whole(self) -> None:
        claim = self.begin()
        claim.write(DATA)
        self.assertEqual({}, self.store.blobs)

    def test_a_checksum_that_does_not_match_makes_nothing_visible(self) -> None:
        claim = self.begin(expected="0" * 64)
        claim.write(DATA)
        error = self.fails_now(claim.finish(), ChecksumMismatch)
        self.assertIn(SHA256, str(error))
        self.run_now(claim.abort(error))
        self.assert_nothing_left()
        self.assert_counted("client_error")
        self.assertEqual([("http",)], self.metrics.of("checksum_mismatch"))

    def test_fewer_bytes_than_announced_make_nothing_visible(self) -> None:
        claim = self.begin(length=len(DATA) + 1)
        claim.write(DATA)
        error = self.fails_now(claim.finish(), ClientGone)
        self.run_now(claim.abort(error))
        self.assert_nothing_left()
        self.assert_counted("cancelled")

    def test_more_bytes_than_announced_make_nothing_visible(self) -> None:
        claim = self.begin(length=len(DATA) - 1)
        claim.write(DATA)
        self.run_now(claim.abort(self.fails_now(claim.finish(), ClientGone)))
        self.assert_nothing_left()

    def test_a_store_in_trouble_makes_no_envelope(self) -> None:
        for call in ("seal", "commit"):
            self.store.fail_next(call, StoreUnavailable("down"))
            claim = self.begin()
            claim.write(DATA)
            self.run_now(claim.abort(self.fails_now(claim.finish(), StoreUnavailable)))
            self.assert_nothing_left()

    def test_a_store_that_fails_at_a_chunk_is_heard(self) -> None:
        self.store.fail_next("write", StoreRefused("no"))
        claim = self.begin()
        with self.assertRaises(StoreRefused) as caught:
            claim.write(DATA)
        self.run_now(claim.abort(caught.exception))
        self.assert_nothing_left()
        self.assert_counted("store_error")


class BeginTests(ClaimTestCase):
    def test_a_checksum_that_cannot_be_is_refused_before_the_first_byte(self) -> None:
        for known in ({"expected": "abc"}, {"algorithm": "sha3"}, {"algorithm": "md5", "expected": SHA256}):
            with self.assertRaises(InvalidChecksum):
                self.begin(**known)
        self.assert_nothing_left()

    def test_an_announced_length_beyond_the_limit_is_refused_before_the_first_byte(self) -> None:
        with self.assertRaisesRegex(TooLarge, "LFS_MAX_UPLOAD_SIZE"):
            self.begin(length=1001)
        self.assert_nothing_left()

    def test_bytes_beyond_the_limit_are_refused_as_they_come(self) -> None:
        claim = self.begin()
        claim.write(b"x" * 1000)
        with self.assertRaisesRegex(TooLarge, "LFS_MAX_UPLOAD_SIZE") as caught:
            claim.write(b"x")
        self.run_now(claim.abort(caught.exception))
        self.assert_nothing_left()

    def test_without_a_limit_any_size_is_taken(self) -> None:
        claims = ClaimCheck(self.store, self.metrics, self.clock)
        claims.begin(Payload("http", "t", 0, 0, length=2**50), HeldMemory()).write(b"x" * 2000)

    def test_a_writer_waits_when_the_store_says_so(self) -> None:
        self.store.hold("write")
        waiting = self.begin().write(DATA)
        assert waiting is not None
        self.assertNoResult(waiting)
        self.store.let_go("write")
        self.successResultOf(waiting)


class LateDescriptionTests(ClaimTestCase):
    def late(self) -> Claim:
        claim = self.begin()
        claim.write(DATA)
        return claim

    def test_what_is_told_late_is_in_the_envelope(self) -> None:
        for algorithm, checksum in (("sha256", SHA256), ("md5", hashlib.md5(DATA).hexdigest())):
            claim = self.late()
            claim.describe("image/png", algorithm, checksum)
            envelope = self.run_now(claim.finish())
            self.assertEqual(
                ("image/png", algorithm, checksum),
                (envelope.content_type, envelope.checksum_algo, envelope.checksum),
            )
            self.store.blobs.clear()

    def test_the_default_algorithm_serves_where_none_is_told(self) -> None:
        claim = self.late()
        claim.describe("image/png", None, None)
        self.assertEqual(SHA256, self.run_now(claim.finish()).checksum)

    def test_a_checksum_told_late_is_verified(self) -> None:
        claim = self.late()
        claim.describe("image/png", "crc32", "00000000")
        self.fails_now(claim.finish(), ChecksumMismatch)

    def test_only_the_default_algorithm_is_computed_as_the_bytes_come(self) -> None:
        claim = self.late()
        claim.describe("image/png", "md5", hashlib.md5(DATA).hexdigest())
        self.store.hold("read_back")
        finishing = Deferred.fromCoroutine(claim.finish())
        self.assertNoResult(finishing)
        self.assertIn(KEY, self.store.blobs)
        self.store.let_go("read_back")
        self.assertEqual("md5", self.successResultOf(finishing).checksum_algo)

    def test_other_bytes_than_were_received_are_not_vouched_for(self) -> None:
        # Nor is it the client's fault, whose record would be refused for good.
        for told in (None, hashlib.md5(DATA).hexdigest()):
            claim = self.late()
            claim.describe("image/png", "md5", told)
            self.store.hold("read_back")
            finishing = Deferred.fromCoroutine(claim.finish())
            self.store.blobs[KEY] = attrs.evolve(self.store.blobs[KEY], data=b"A large value")
            self.store.let_go("read_back")
            failure = self.failureResultOf(finishing, StoreUnavailable)
            self.assertIn("other bytes", str(failure.value))
            self.run_now(claim.abort(failure.value))
            self.assert_nothing_left()

    def test_nothing_is_read_back_for_the_default_algorithm(self) -> None:
        self.store.fail_next("read_back", StoreUnavailable("down"))
        for algorithm in (None, "sha256"):
            claim = self.late()
            claim.describe("image/png", algorithm, SHA256)
            self.run_now(claim.finish())
            self.store.blobs.clear()

    def test_a_blob_that_was_read_back_in_vain_is_removed(self) -> None:
        for checksum, error in (("00000000", ChecksumMismatch), (None, StoreUnavailable)):
            if error is StoreUnavailable:
                self.store.fail_next("read_back", StoreUnavailable("down"))
            claim = self.late()
            claim.describe("image/png", "crc32", checksum)
            failure = self.fails_now(claim.finish(), error)
            self.run_now(claim.abort(failure))
            self.assert_nothing_left()

    def test_a_claim_that_is_cancelled_while_its_blob_is_read_back_leaves_nothing(self) -> None:
        claim = self.late()
        claim.describe("image/png", "crc32", None)
        self.store.hold("read_back")
        finishing = Deferred.fromCoroutine(claim.finish())
        finishing.cancel()
        self.failureResultOf(finishing, CancelledError)
        self.run_now(claim.abort(ClientGone("gone")))
        self.assert_nothing_left()

    def test_a_checksum_told_late_that_cannot_be_is_refused(self) -> None:
        with self.assertRaises(InvalidChecksum):
            self.late().describe("image/png", "sha3", None)

    def test_what_turns_out_no_payload_leaves_nothing_and_counts_as_no_upload(self) -> None:
        self.run_now(self.late().discard())
        self.assert_nothing_left()
        self.assertEqual([], self.metrics.of("upload"))


class OutcomeTests(ClaimTestCase):
    def test_a_published_blob_stays_and_counts_its_bytes_and_seconds(self) -> None:
        claim = self.begin()
        self.clock.advance(5)
        claim.write(DATA)
        self.run_now(claim.finish())
        claim.published(42)
        self.assertEqual([("http", "demo-topic", "ok", len(DATA), 5.0)], self.metrics.of("upload"))
        self.assertIn(KEY, self.store.blobs)

    def test_a_blob_whose_envelope_was_refused_is_deleted(self) -> None:
        claim, _ = self.finished()
        self.run_now(claim.abort(BrokerRefused(10, "too large")))
        self.assert_nothing_left()
        self.assert_counted("broker_error")

    def test_a_blob_whose_envelope_may_be_published_stays_and_is_counted(self) -> None:
        claim, _ = self.finished()
        claim.unknown("the connection was lost")
        self.assertIn(KEY, self.store.blobs)
        self.assertEqual([("unknown_outcome",)], self.metrics.of("orphan"))
        self.assert_counted("broker_error")

    def test_a_blob_that_cannot_be_deleted_is_counted(self) -> None:
        claim, _ = self.finished()
        self.store.fail_next("delete", StoreUnavailable("down"))
        self.run_now(claim.abort(BrokerRefused(10, "too large")))
        self.assertEqual([("delete_failed",)], self.metrics.of("orphan"))

    def test_a_stored_blob_that_is_not_to_be_published_is_deleted(self) -> None:
        claim, _ = self.finished()
        self.run_now(claim.abort(ClientGone("gone")))
        self.assert_nothing_left()

    def test_the_first_outcome_counts(self) -> None:
        claim, _ = self.finished()
        claim.published(42)
        self.run_now(claim.abort(ClientGone("gone")))
        self.run_now(claim.abort(BrokerRefused(10, "too large")))
        claim.unknown("late")
        self.run_now(claim.discard())
        self.assertIn(KEY, self.store.blobs)
        self.assert_counted("ok")
        self.assertEqual([], self.metrics.of("orphan"))

    def test_a_claim_aborted_while_it_is_committed_leaves_nothing(self) -> None:
        self.store.hold("commit")
        claim = self.begin()
        claim.write(DATA)
        finishing = Deferred.fromCoroutine(claim.finish())
        self.run_now(claim.abort(ClientGone("gone")))
        self.store.let_go("commit")
        self.failureResultOf(finishing, CancelledError)
        self.assert_nothing_left()
