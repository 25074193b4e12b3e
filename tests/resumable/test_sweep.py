"""What the sweep of expired uploads holds, and what it does with a list that is not in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.interfaces import ListedObject
from lfsproxy.resumable.state import ROOT, Info, Mark, UploadOptions
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics, MemoryPublisher
from lfsproxy.testing.resumable import MemoryResumableStore

EXPIRY = 7200.0
ID = "c" * 32
STATE = f"{ROOT}{ID}/"
BYTES = b"blob"
INFO = Info(ID, "t", 0, "lfs/default/t/0/0-x.bin", 1000, "", UploadOptions(), 0.0)
NAMES = ("info", "intent-00000001", "mark-00000001", "result")


class FullBucket(MemoryResumableStore):
    """A bucket of very many uploads, made as they are listed; ``most`` are those that were held at once."""

    uploads_listed = 2000
    most = 0

    async def list_pages(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        held: WeakSet[ListedObject] = WeakSet()
        for first in range(0, self.uploads_listed, 50):
            page = [
                ListedObject(f"{ROOT}{number:032x}/{name}", 1, 1.0)
                for number in range(first, first + 50)
                for name in NAMES
            ]
            held.update(page)
            self.most = max(self.most, len(held))
            yield page


class ShuffledBucket(MemoryResumableStore):
    """A store that lists in no order, one object a page."""

    async def list_pages(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        for one in sorted(await self.list_objects(prefix), key=lambda one: one.key[::-1]):
            yield [one]


class Completed(MemoryResumableStore):
    """Another replica stores the last bytes and begins to publish, just after the sweep has read a mark."""

    async def read_object(self, key: str, start: int = 0, size: int | None = None) -> bytes | None:
        data = await super().read_object(key, start, size)
        if key.endswith("/mark-00000001") and f"{STATE}mark-00000002" not in self.objects:
            await self.put_blob(INFO.blob_key, "", {}, [BYTES])
            mark = Mark(2, "n", len(BYTES), len(BYTES), checksum=sha256(BYTES).hexdigest())
            self.write("mark-00000002", mark.to_bytes())
            self.write("intent-00000001", b'{"nonce":"x","value":"{}","first":0}')
        return data

    def write(self, name: str, data: bytes) -> None:
        self.objects.setdefault(f"{STATE}{name}", (data, self._clock.seconds()))


class Refusing(MemoryPublisher):
    """The broker has refused what the other replica published, as soon as the sweep looks."""

    store: Completed

    async def log_end(self, topic: str, partition: int) -> int:
        self.store.write("void-x", b'{"nonce":"x"}')
        return await super().log_end(topic, partition)


class SweepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e6)

    def uploads(
        self, store: MemoryResumableStore, publisher: MemoryPublisher | None = None
    ) -> ResumableUploads:
        claims = ClaimCheck(MemoryBlobStore(), MemoryMetrics(), self.clock)
        budget = MemoryBudget(self.clock, 2**22, 2**20, 30.0)
        return ResumableUploads(store, claims, publisher or MemoryPublisher(), budget, EXPIRY)

    def sweep(self, uploads: ResumableUploads) -> None:
        self.successResultOf(Deferred.fromCoroutine(uploads.sweep()))

    def test_it_holds_one_page_and_one_upload(self) -> None:
        store = FullBucket(self.clock)
        self.sweep(self.uploads(store))
        self.assertGreater(store.most, 0)
        self.assertLessEqual(store.most, 2 * 50 * len(NAMES))

    def test_an_upload_that_is_listed_in_pieces_stays(self) -> None:
        store = ShuffledBucket(self.clock)
        for name in NAMES:
            store.objects[f"{ROOT}{'a' * 32}/{name}"] = (b"{}", self.clock.seconds())
        self.clock.advance(EXPIRY - 1)
        store.objects[f"{ROOT}{'a' * 32}/mark-00000002"] = (b"{}", self.clock.seconds())
        before = set(store.objects)
        self.sweep(self.uploads(store))
        self.assertEqual(set(store.objects), before)

    def test_what_never_came_to_be_goes_when_it_is_old(self) -> None:
        store = MemoryResumableStore(self.clock)
        store.objects[f"{ROOT}{'b' * 32}/mark-00000001"] = (b"{}", self.clock.seconds())
        self.clock.advance(3601)
        self.sweep(self.uploads(store))
        self.assertEqual(set(store.objects), set())

    def test_what_another_replica_completes_meanwhile_is_not_published_as_it_was_before(self) -> None:
        store = Completed(self.clock)
        publisher = Refusing({"t": 1})
        publisher.store = store
        store.write("info", INFO.to_bytes())
        store.write("mark-00000001", Mark(1, "m", len(BYTES)).to_bytes())
        self.clock.advance(EXPIRY)
        self.sweep(self.uploads(store, publisher))
        self.assertEqual(publisher.records, [])
        self.assertEqual(store.blobs[INFO.blob_key].data, BYTES)
        self.assertIn(f"{STATE}mark-00000002", store.objects)
