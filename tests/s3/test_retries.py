"""A request is tried again while S3 is in trouble, and for no longer than it may be."""

from __future__ import annotations

import socket
from itertools import pairwise

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.s3.index import list_uploads
from tests.s3.faults import Held, OkButError, Refuse, Reset, Silence
from tests.s3.helpers import FakeS3TestCase, reactor

MIB = 1024 * 1024


class RetryTests(FakeS3TestCase):
    async def put(self, data: bytes = b"data", key: str = "k") -> int:
        """One PutObject; how often it was sent."""
        answer = await self.s3.client.put_object(key, {}, [data], None)
        self.assertFalse(answer.is_error, answer)
        return answer.attempts

    async def assert_tried_again(self, *faults: Refuse | Reset | Silence, data: bytes = b"data") -> None:
        self.fake.fault("put_object", *faults)
        self.assertEqual(len(faults) + 1, await self.put(data))
        self.assertEqual(data, self.fake.objects["k"].data)
        self.assertEqual([("put_object",)] * len(faults), self.metrics.of("s3_retry"))

    async def test_errors_of_the_server_are_tried_again(self) -> None:
        await self.assert_tried_again(*(Refuse(status) for status in (500, 502, 503, 504, 429, 408)))

    async def test_slow_down_and_request_timeout_are_tried_again(self) -> None:
        await self.assert_tried_again(Refuse(503, "SlowDown"), Refuse(400, "RequestTimeout"))

    async def test_bytes_that_broke_on_the_way_are_sent_again(self) -> None:
        await self.assert_tried_again(Refuse(400, "BadDigest"))

    async def test_a_connection_reset_in_mid_body_is_tried_again(self) -> None:
        await self.assert_tried_again(Reset(after=300_000), data=b"x" * MIB)

    async def test_a_connection_lost_before_the_answer_is_tried_again(self) -> None:
        await self.assert_tried_again(Reset(after=4))

    async def test_every_try_is_measured_with_its_result(self) -> None:
        self.fake.fault("put_object", Refuse(500))
        await self.put()
        results = [arguments[:2] for arguments in self.metrics.of("s3_operation")]
        self.assertEqual([("put_object", "store_error"), ("put_object", "ok")], results)

    async def test_it_is_tried_again_for_as_long_as_it_may_be(self) -> None:
        tries = 0

        def jitter() -> float:
            nonlocal tries
            tries += 1
            # 2**1024 is more than a float holds.
            if tries > 1025:
                self.clock.advance(60)
            return 0.0

        await self.listening.stopListening()
        self.use_store(random=jitter)
        with self.assertRaisesRegex(StoreUnavailable, "connection refused"):
            await self.s3.blobs.check()

    # A thousand connections take their time where others are at work too.
    test_it_is_tried_again_for_as_long_as_it_may_be.timeout = 60  # type: ignore[attr-defined]  # for trial

    async def test_a_refusal_is_final_and_says_what_s3_said(self) -> None:
        self.fake.fault("put_object", Refuse(403, "AccessDenied"))
        with self.assertRaisesRegex(StoreRefused, "403 AccessDenied: told to say AccessDenied"):
            await self.put()
        self.assertEqual(["put_object"], self.fake.operations())

    async def test_a_refusal_that_comes_before_the_body_was_sent_is_heard(self) -> None:
        self.fake.fault("put_object", Refuse(403, "AccessDenied", early=True))
        with self.assertRaisesRegex(StoreRefused, "AccessDenied"):
            await self.put(b"x" * 32 * MIB)
        self.assertEqual(["put_object"], self.fake.operations())

    async def test_a_bare_refusal_before_the_body_was_sent_is_heard(self) -> None:
        self.fake.fault("put_object", Refuse(403, early=True))
        with self.assertRaisesRegex(StoreRefused, "403"):
            await self.put(b"x" * 32 * MIB)

    async def test_the_connection_of_an_early_refusal_is_closed(self) -> None:
        for code in ("AccessDenied", ""):
            self.fake.fault("put_object", Refuse(403, code, early=True, stay=True))
            with self.assertRaises(StoreRefused):
                await self.put(b"x" * 32 * MIB)
            await self.fake.gone()

    async def test_trouble_that_lasts_ends_within_the_retry_timeout(self) -> None:
        self.fake.always["put_object"] = Refuse(503, "SlowDown")
        self.fake.seen = lambda operation: self.clock.advance(0.75)
        with self.assertRaisesRegex(StoreUnavailable, "SlowDown"):
            await self.put()
        # The first answer came at 0.75 s; trouble counts from there.
        self.assertEqual(15.75, self.clock.seconds())

    async def test_no_connection_is_unavailable(self) -> None:
        self.use_store(random=self.five_seconds_later)
        await self.listening.stopListening()
        with self.assertRaisesRegex(StoreUnavailable, "refused"):
            await self.s3.blobs.check()

    async def test_silence_after_the_body_is_trouble(self) -> None:
        self.fake.always["put_object"] = Silence(after=None)
        came = self.fake.came("put_object")
        result = Deferred.fromCoroutine(self.put())
        await came
        came = self.fake.came("put_object")
        self.clock.pump([1.0] * 10)
        await came
        # After ten seconds of silence, one more try with the five that are left.
        self.clock.pump([1.0] * 4)
        self.assertNoResult(result)
        self.clock.pump([1.0] * 2)
        with self.assertRaisesRegex(StoreUnavailable, "does not answer in time"):
            await result

    async def test_a_server_that_stops_reading_is_trouble(self) -> None:
        self.fake.fault("put_object", Silence(after=1000))
        result = Deferred.fromCoroutine(self.put(b"x" * 32 * MIB))
        await self.fake.came("put_object")
        await self.advance_until(lambda: bool(self.metrics.of("s3_retry")))
        self.assertEqual(2, await result)

    async def test_a_transfer_that_progresses_is_never_cut(self) -> None:
        # Each piece that is read takes a second: far more, in all, than a stall may last. What the server's
        # kernel takes looks like progress, so it may not take much.
        self.listening.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        self.fake.trickle = lambda: self.clock.advance(1)
        self.assertEqual(1, await self.put(b"x" * 8 * MIB))
        self.assertGreater(self.clock.seconds(), 60)

    async def test_time_for_an_answer_begins_anew_with_each_try(self) -> None:
        slow: Deferred[None] = Deferred()
        self.fake.fault("put_object", Held(slow))
        came = self.fake.came("put_object")
        result = Deferred.fromCoroutine(self.put())
        await came
        self.clock.pump([1.0] * 9)
        slow.callback(None)
        self.assertEqual(1, await result)

    async def test_a_cancelled_request_is_not_tried_again(self) -> None:
        self.fake.fault("put_object", Silence())
        came = self.fake.came("put_object")
        result = Deferred.fromCoroutine(self.put(b"x" * 32 * MIB))
        await came
        result.cancel()
        with self.assertRaises(CancelledError):
            await result
        self.assertEqual(["put_object"], self.fake.operations())
        self.assertEqual("cancelled", self.metrics.of("s3_operation")[0][1])

    async def test_a_request_on_a_stale_connection_is_sent_again_at_once(self) -> None:
        self.use_store(random=lambda: 1.0)
        await self.put(key="first")
        self.fake.fault("put_object", Reset(after=0))
        self.assertEqual(2, await self.put(key="second"))
        self.assertEqual([], self.metrics.of("s3_retry"))

    async def test_connections_are_used_again(self) -> None:
        for number in range(5):
            await self.put(key=str(number))
        self.assertEqual(1, self.fake.connected)

    async def test_a_success_that_turns_out_an_error_is_tried_again(self) -> None:
        self.fake.fault("put_object", OkButError("InternalError"))
        self.assertEqual(2, await self.put())

    async def test_pauses_between_tries_grow_and_are_jittered(self) -> None:
        self.use_store(random=lambda: 1.0)
        self.fake.fault("head_bucket", *[Refuse(500)] * 3)
        times: list[float] = []
        self.fake.seen = lambda operation: times.append(self.clock.seconds())
        result = Deferred.fromCoroutine(self.s3.blobs.check())
        await self.advance_until(lambda: result.called, step=0.05)
        pauses = [later - sooner for sooner, later in pairwise(times)]
        for expected, pause in zip((0.2, 0.4, 0.8), pauses, strict=True):
            self.assertApproximates(expected, pause, 0.11)

    async def test_a_request_that_is_given_up_says_so(self) -> None:
        self.fake.always["head_bucket"] = Refuse(500)
        self.use_store(random=lambda: 1.0)
        checking = Deferred.fromCoroutine(self.s3.blobs.check())
        while not self.clock.getDelayedCalls() or self.metrics.of("s3_retry") == []:
            await deferLater(reactor, 0)
        checking.cancel()
        with self.assertRaisesRegex(CancelledError, "^the request to S3 was given up$"):
            await checking

    async def test_a_missing_bucket_is_named(self) -> None:
        self.fake.fault("head_bucket", Refuse(404))
        with self.assertRaisesRegex(StoreRefused, "there is no bucket kafscale"):
            await self.s3.blobs.check()

    async def test_a_bucket_that_is_not_ours_is_named(self) -> None:
        self.fake.fault("head_bucket", Refuse(403))
        with self.assertRaisesRegex(StoreRefused, "kafscale"):
            await self.s3.blobs.check()

    async def test_a_store_that_does_not_know_if_none_match_is_asked_without_it(self) -> None:
        self.fake.fault("put_object", Refuse(501, "NotImplemented"))
        await self.put(key="first")
        await self.put(key="second")
        asked = ["if-none-match" in request.headers for request in self.fake.requests]
        self.assertEqual([True, False, False], asked)

    async def test_an_answer_without_end_is_trouble(self) -> None:
        self.fake.padding = 5 * MIB
        self.use_store(random=self.five_seconds_later)
        with self.assertRaisesRegex(StoreUnavailable, "an answer of more than"):
            [page async for page in list_uploads(self.s3.client, "k")]
