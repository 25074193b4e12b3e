"""The reader against a store that fails: what is tried again, from where, and what is not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from urllib3.exceptions import ReadTimeoutError

from lfsproxy.client.retry import TRIES
from lfsproxy.errors import BlobMissing, StoreRefused, StoreUnavailable
from tests.client.doubles import Dropped, FakeStore, reader, refused, stored

DATA = bytes(range(256)) * 40


class FetchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store, self.value = stored(DATA)
        self.pauses: list[float] = []
        self.reader = reader(self.store, sleep=self.pauses.append)

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.store.asked]

    def test_one_get_for_a_blob(self) -> None:
        self.assertEqual(self.reader.fetch(self.value), DATA)
        self.assertEqual((self.ranges(), self.pauses), ([None], []))

    def test_requests_are_signed_without_hashing_the_payload(self) -> None:
        self.reader.fetch(self.value)
        headers = self.store.asked[0]
        self.assertIn("AWS4-HMAC-SHA256 Credential=key/", headers["Authorization"])
        self.assertEqual(headers["X-Amz-Content-SHA256"], "UNSIGNED-PAYLOAD")

    def test_a_busy_store_is_asked_again_after_growing_pauses(self) -> None:
        self.store.faults = [503, 500, refused()]
        self.assertEqual(self.reader.fetch(self.value), DATA)
        self.assertEqual(len(self.pauses), 3)
        for pause, longest in zip(self.pauses, (0.2, 0.4, 0.8), strict=True):
            self.assertTrue(longest / 2 <= pause <= longest)

    def test_a_store_that_stays_away(self) -> None:
        self.store.faults = [refused()] * TRIES
        self.assertRaises(StoreUnavailable, self.reader.fetch, self.value)
        self.assertEqual(len(self.store.asked), TRIES)

    def test_a_lost_connection_goes_on_where_it_stopped(self) -> None:
        self.store.faults = [Dropped(1000), Dropped(24), ReadTimeoutError(None, "", "")]  # type: ignore[arg-type]
        self.assertEqual(self.reader.fetch(self.value), DATA)
        self.assertEqual(self.ranges(), [None, "bytes=1000-", "bytes=1024-", "bytes=1024-"])
        self.assertEqual([headers.get("If-Match") for headers in self.store.asked][1:], ['"one"'] * 3)

    def test_progress_counts_the_tries_anew(self) -> None:
        self.store.faults = [Dropped(10)] * (3 * TRIES)
        self.assertEqual(self.reader.fetch(self.value), DATA)

    def test_no_progress_ends(self) -> None:
        self.store.faults = [Dropped(10), *[Dropped(0)] * TRIES]
        self.assertRaises(StoreUnavailable, self.reader.fetch, self.value)

    def test_another_object_is_not_read_on_from(self) -> None:
        class Replaced(FakeStore):
            def urlopen(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
                answer = super().urlopen(*args, **kwargs)  # type: ignore[arg-type]
                self.etag = '"two"'
                return answer

        store = Replaced(self.store.objects, [Dropped(100)])
        error = self.assertRaises(StoreUnavailable, reader(store).fetch, self.value)
        self.assertIn("after 100 bytes: 412 PreconditionFailed", str(error))

    def test_a_missing_blob_is_not_asked_for_again(self) -> None:
        self.store.objects = {}
        self.assertRaises(BlobMissing, self.reader.fetch, self.value)
        self.assertEqual(len(self.store.asked), 1)

    def test_a_refusal_is_not_asked_for_again(self) -> None:
        self.store.faults = [403]
        error = self.assertRaises(StoreRefused, self.reader.fetch, self.value)
        self.assertIn("kafscale/lfs/k: 403 Code403", str(error))

    def test_a_redirect_is_not_followed(self) -> None:
        self.store.faults = [307]
        self.assertRaises(StoreRefused, self.reader.fetch, self.value)

    def test_the_path_is_the_one_that_was_signed(self) -> None:
        self.store.objects["kafscale", "lfs//a b%2Fc"] = DATA
        self.assertEqual(self.reader.fetch(self.value.replace(b"lfs/k", b"lfs//a b%2Fc")), DATA)
        self.assertEqual(self.store.paths, ["/kafscale/lfs//a%20b%252Fc"])
