"""A blob as a file: it ends cleanly only when it was whole and right."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import Resolution
from lfsproxy.errors import BlobTruncated, ChecksumMismatch, StoreUnavailable
from tests.client.doubles import Dropped, FakeStore, envelope_of, reader, refused, stored

DATA = b"0123456789" * 100_000


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[Resolution] = []

    def open(self, store: FakeStore, value: bytes) -> io.BufferedIOBase:
        file = reader(store, on_resolve=self.told.append).open(value).stream
        assert file is not None
        self.addCleanup(file.close)
        return file

    def test_reads_in_pieces(self) -> None:
        file = self.open(*stored(DATA))
        pieces = list(iter(lambda: file.read(4096), b""))
        self.assertEqual(b"".join(pieces), DATA)
        self.assertEqual([(one.result, one.size) for one in self.told], [("ok", len(DATA))])

    def test_a_wrong_blob_does_not_end(self) -> None:
        store, value = stored(DATA)
        store.objects["kafscale", "lfs/k"] = DATA[:-1] + b"x"
        file = self.open(store, value)
        received = 0

        def read_on() -> None:
            nonlocal received
            while data := file.read(4096):
                received += len(data)

        self.assertRaises(ChecksumMismatch, read_on)
        self.assertLess(received, len(DATA))
        for _ in range(2):
            self.assertRaises(ChecksumMismatch, file.read, 1)
        self.assertEqual([one.result for one in self.told], ["checksum-mismatch"])

    def test_whoever_reads_no_further_than_the_length_is_told_too(self) -> None:
        store, value = stored(b"hello")
        store.objects["kafscale", "lfs/k"] = b"jello"
        self.assertRaises(ChecksumMismatch, self.open(store, value).read, 5)

    def test_a_length_that_the_store_does_not_tell(self) -> None:
        for blob, error in ((DATA[:-1], BlobTruncated), (DATA + b"x", BlobTruncated)):
            store, value = stored(DATA)
            store.length_known = False
            store.objects["kafscale", "lfs/k"] = blob
            self.assertRaises(error, self.open(store, value).read)

    def test_an_unknown_length_that_is_right(self) -> None:
        store, value = stored(DATA)
        store.length_known = False
        self.assertEqual(self.open(store, value).read(), DATA)

    def test_a_wrong_length_is_told_before_the_first_byte(self) -> None:
        store, _ = stored(DATA)
        longer = envelope_of(DATA, content_length=len(DATA) + 1).to_bytes()
        self.assertRaises(BlobTruncated, reader(store).open, longer)

    def test_a_store_that_goes_away_in_the_middle(self) -> None:
        store, value = stored(DATA)
        store.faults = [Dropped(1000), *[refused()] * 10]
        file = self.open(store, value)
        self.assertRaises(StoreUnavailable, file.read)
        self.assertEqual([one.result for one in self.told], ["store-unavailable"])

    def test_closed_before_its_end(self) -> None:
        file = self.open(*stored(DATA))
        file.read(10)
        file.close()
        file.close()
        self.assertEqual([one.result for one in self.told], ["closed"])
        self.assertRaises(ValueError, file.read, 1)

    def test_an_empty_blob(self) -> None:
        self.assertEqual(self.open(*stored(b"")).read(), b"")
        self.assertEqual([one.result for one in self.told], ["ok"])
