"""What the hook is told, what progress is, and which errors may be tried again."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy import client
from lfsproxy.client import RecordCoordinates, Resolution
from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.errors import ProxyUnavailable, UploadRefused
from lfsproxy.client.problems import error_of
from lfsproxy.client.retry import Retry
from lfsproxy.client.upload import Body, Uploader
from lfsproxy.errors import (
    BlobMissing,
    LfsError,
    OutcomeUnknown,
    ReadInterrupted,
    StoreUnavailable,
)
from tests.client.doubles import Dropped, FakeStore, envelope_of, reader, refused, stored
from tests.client.proxy_double import DATA as BODY
from tests.client.proxy_double import answer, start_proxy

DATA = bytes(range(256)) * 10_000
PLACE = RecordCoordinates("demo", 3, 41)


class HookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[Resolution] = []
        self.store, self.value = stored(DATA)
        self.reader = reader(self.store, on_resolve=self.told.append)

    def only(self) -> Resolution:
        (one,) = self.told
        return one

    def test_tries_are_the_gets_that_were_sent(self) -> None:
        self.store.faults = [503, Dropped(10), refused()]
        self.reader.fetch(self.value, record=PLACE)
        told = self.only()
        self.assertEqual((told.result, told.tries, told.size, told.record), ("ok", 4, len(DATA), PLACE))

    def test_what_asked_nothing_has_no_tries(self) -> None:
        blobs = reader(self.store, on_resolve=self.told.append, max_size=1)
        self.assertRaises(LfsError, blobs.fetch, self.value)
        self.assertEqual((self.only().result, self.only().tries), ("too-large", 0))
        self.assertIsNone(self.only().record)

    def test_a_failure_has_its_code_and_its_error(self) -> None:
        self.store.objects = {}
        self.assertRaises(BlobMissing, self.reader.fetch, self.value)
        self.assertEqual(self.only().result, "blob-missing")
        self.assertIsInstance(self.only().error, BlobMissing)

    def test_closing_before_the_end(self) -> None:
        with self.reader.open(self.value, record=PLACE) as blob:
            blob.read(10)
        self.assertEqual((self.only().result, self.only().error), ("closed", None))
        self.assertEqual(self.only().record, PLACE)

    def test_cancelling(self) -> None:
        ends = Cancellation()
        ends.cancel()
        self.assertRaises(ReadInterrupted, self.reader.resolve, self.value, cancellation=ends)
        self.assertEqual((self.only().result, self.only().error), ("cancelled", None))

    def test_a_cancellation_that_comes_too_late_changes_nothing(self) -> None:
        ends = Cancellation()
        self.reader.resolve(self.value, cancellation=ends)
        ends.cancel()
        self.assertEqual(self.only().result, "ok")


class ProgressTests(SynchronousTestCase):
    def check(self, told: list[int], length: int) -> None:
        self.assertEqual((told, told[-1]), (sorted(told), length))
        self.assertEqual({type(each) for each in told}, {int})

    def test_of_a_whole_read_that_was_broken_off(self) -> None:
        store, value = stored(DATA)
        store.faults = [Dropped(1000)]
        told: list[int] = []
        reader(store).fetch(value, on_progress=told.append)
        self.check(told, len(DATA))
        self.assertGreater(len(told), 2)

    def test_of_a_stream(self) -> None:
        store, value = stored(DATA)
        told: list[int] = []
        with reader(store).open(value, on_progress=told.append) as blob:
            blob.read(1)
            self.assertLess(told[-1], len(DATA))
            blob.read()
        self.check(told, len(DATA))

    def test_of_nothing(self) -> None:
        store, value = stored(b"")
        told: list[int] = []
        reader(store).fetch(value, on_progress=told.append)
        self.assertEqual(told, [0])

    def test_a_wrong_blob_is_never_told_whole(self) -> None:
        store, value = stored(DATA)
        store.objects["kafscale", "lfs/k"] = DATA[:-1] + b"x"
        told: list[int] = []
        self.assertRaises(LfsError, reader(store).fetch, value, on_progress=told.append)
        self.assertLess(told[-1], len(DATA))

    def test_of_an_upload(self) -> None:
        proxy = start_proxy(self)
        pieces: list[bytes | bytearray] = [BODY[:5], bytearray(BODY[5:])]
        bodies: list[Body] = [BODY, bytearray(BODY), memoryview(BODY), pieces]
        for body in bodies:
            told: list[int] = []
            with Uploader(proxy.url) as uploader:
                uploader.upload("demo", body, on_progress=told.append)
            self.check(told, len(BODY))
            self.assertEqual(proxy.bodies.pop(), BODY)
        proxy.body = answer(b"")
        with Uploader(proxy.url) as uploader:
            uploader.upload("demo", b"", on_progress=told.append)
        self.assertEqual(told[-1], 0)


class ErrorTests(SynchronousTestCase):
    def test_what_may_be_tried_again(self) -> None:
        kinds = [vars(client)[name] for name in client.__all__]
        errors = [each for each in kinds if isinstance(each, type) and issubclass(each, LfsError)]
        again = {each.__name__ for each in errors if each.retriable}
        self.assertEqual(again, {"StoreUnavailable", "ReadInterrupted", "ProxyUnavailable"})

    def test_codes_of_the_proxys_answers(self) -> None:
        for status, name, kind, retriable in (
            (408, "stalled", LfsError, True),
            (429, "too-many-uploads", UploadRefused, True),
            (429, "", UploadRefused, True),
            (503, "store-unavailable", StoreUnavailable, True),
            (504, "outcome-unknown", OutcomeUnknown, False),
            (507, "something-new", UploadRefused, False),
        ):
            error = error_of(status, b'{"type":"/problems/%s","detail":"so"}' % name.encode())
            self.assertIsInstance(error, kind)
            self.assertEqual((error.problem, error.retriable), (name or "upload-refused", retriable))

    def test_a_503_of_a_gateway_has_published_nothing(self) -> None:
        for body in (b"", b"<html>busy</html>", b'{"detail":"busy"}'):
            error = error_of(503, body)
            self.assertIsInstance(error, ProxyUnavailable)
            self.assertTrue(error.retriable)

    def test_a_504_of_a_gateway_is_an_unknown_outcome_by_its_status(self) -> None:
        error = error_of(504, b"<html>")
        self.assertEqual((type(error), error.retriable), (UploadRefused, False))


class RetryTests(SynchronousTestCase):
    def test_pauses_are_doubled_up_to_five_seconds(self) -> None:
        class Longest(random.Random):
            def uniform(self, a: float, b: float) -> float:
                return b

        retry = Retry(rng=Longest())
        pauses = [retry.pause_after(failures) for failures in range(1, 8)]
        self.assertEqual(pauses, [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])

    def test_tries_and_pause_are_the_callers(self) -> None:
        store, value = stored(DATA)
        store.faults = [503] * 10
        pauses: list[float] = []
        blobs = reader(store, sleep=pauses.append, tries=3, pause=7)
        self.assertRaises(StoreUnavailable, blobs.fetch, value)
        self.assertEqual((len(store.asked), len(pauses)), (3, 2))
        self.assertGreaterEqual(min(pauses), 3.5)

    def test_no_try_begins_later_than_retry_time_after_the_last_progress(self) -> None:
        store, value = stored(DATA)
        store.faults = [Dropped(10), *[refused()] * 9]
        now = [0.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds

        blobs = reader(store, sleep=sleep, clock=lambda: now[0], tries=100, retry_time=2)
        self.assertRaises(StoreUnavailable, blobs.fetch, value)
        self.assertLessEqual(now[0], 2)
        self.assertGreater(len(store.asked), 3)

    def test_without_one_only_the_tries_count(self) -> None:
        store, value = FakeStore(faults=[503] * 4, objects=stored(DATA)[0].objects), envelope_of(DATA)
        now = iter(range(0, 10**9, 10**6))
        blobs = reader(store, clock=lambda: float(next(now)))
        self.assertEqual(blobs.fetch(value.to_bytes()), DATA)
