"""Blobs that are read whole: how much memory they take, how large they may be, and what kinds of values."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import Blob, checksum_of
from lfsproxy.client.chunks import _uncopied
from lfsproxy.errors import BlobTruncated, StoreUnavailable, TooLarge
from tests.client.doubles import FakeStore, envelope_of, reader, stored

MIB = 1024 * 1024
SIZE = 64 * MIB
HELD = bytes(range(256)) * (SIZE // 256)


def grown(call: Callable[[], Any]) -> tuple[Any, int]:
    """What a call returns, and the most bytes that it held, its result among them."""
    tracemalloc.start()
    try:
        result = call()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class MemoryTests(SynchronousTestCase):
    """The store's answer is a file over bytes that are there already: it takes nothing."""

    def check(self, read: Callable[[Any], Any], store: FakeStore, value: bytes, most: float = 1.1) -> None:
        data, peak = grown(lambda: read(value))
        self.assertEqual(data, HELD)
        self.assertLess(peak, most * SIZE)

    def test_fetch_holds_a_blob_once(self) -> None:
        store, value = stored(HELD)
        self.check(reader(store).fetch, store, value)

    def test_so_does_a_stream_that_is_read_to_its_end(self) -> None:
        store, value = stored(HELD)
        self.check(lambda given: reader(store).open(given).read(), store, value)

    def test_and_a_read_that_is_tried_again(self) -> None:
        store, value = stored(HELD)
        store.faults = [503, 500]
        self.check(reader(store).fetch, store, value)

    def test_a_length_that_the_store_does_not_confirm_is_not_held_beforehand(self) -> None:
        store, value = stored(b"short")
        store.length_known = False
        large = value.replace(b'"content_length":5', b'"content_length":%d' % SIZE)
        _, peak = grown(lambda: self.assertRaises(BlobTruncated, reader(store).fetch, large))
        self.assertLess(peak, 4 * MIB)


class SizeTests(SynchronousTestCase):
    LARGE = 256 * MIB

    def asked(self, size: int, **arguments: Any) -> Any:
        """A reader of a store that is not there, and the value of a blob of this size."""
        store = FakeStore(faults=[503] * 10)
        return reader(store, **arguments), envelope_of(b"", content_length=size).to_bytes()

    def test_a_whole_read_takes_256_mib(self) -> None:
        blobs, value = self.asked(self.LARGE)
        self.assertRaises(StoreUnavailable, blobs.fetch, value)

    def test_and_no_more(self) -> None:
        blobs, value = self.asked(self.LARGE + 1)
        error = self.assertRaises(TooLarge, blobs.fetch, value)
        self.assertEqual(
            str(error),
            "the blob has 268435457 bytes, more than a whole read holds in memory (268435456 bytes): read it "
            "as a stream, by open, which has no such limit, or set max_size (0: no limit)",
        )
        self.assertEqual(blobs._http.asked, [])

    def test_a_stream_has_no_such_limit(self) -> None:
        blobs, value = self.asked(self.LARGE + 1)
        self.assertRaises(StoreUnavailable, blobs.open, value)

    def test_a_limit_that_is_set_holds_for_both(self) -> None:
        blobs, value = self.asked(11, max_size=10)
        for read in (blobs.fetch, blobs.open):
            error = self.assertRaises(TooLarge, read, value)
            self.assertEqual(str(error), "the blob has 11 bytes, more than max_size allows (10 bytes)")

    def test_zero_is_no_limit(self) -> None:
        blobs, value = self.asked(self.LARGE + 1, max_size=0)
        self.assertRaises(StoreUnavailable, blobs.fetch, value)


class KindTests(SynchronousTestCase):
    def test_bytes_of_every_kind(self) -> None:
        store, value = stored(b"hello")
        blobs = reader(store)
        for kind in (bytes, bytearray, memoryview):
            self.assertEqual(blobs.fetch(kind(value)), b"hello")
            self.assertEqual(blobs.open(kind(value)).read(), b"hello")
            for read in (blobs.fetch(kind(b"plain")), blobs.open(kind(b"plain")).read()):
                self.assertEqual((read, type(read)), (b"plain", bytes))
            self.assertEqual(checksum_of(kind(b"hello"), "crc32"), "3610a686")

    def test_what_a_deserializer_has_made_of_it_is_no_value(self) -> None:
        blobs: Any = reader(FakeStore())
        error = self.assertRaises(TypeError, blobs.fetch, "text")
        self.assertEqual(str(error), "a record's value as bytes is needed, not str")

    def test_chunks_of_a_blob(self) -> None:
        store, value = stored(HELD[: 2 * MIB + 1])
        blob: Blob = reader(store).open(value)
        self.assertEqual([len(chunk) for chunk in blob], [MIB, MIB, 1])

    def test_a_reader_closes_itself(self) -> None:
        store, value = stored(b"hello")
        with reader(store) as blobs:
            self.assertEqual(blobs.fetch(value), b"hello")
        self.assertEqual(store.objects, {})


class ThreadedMemoryTests(SynchronousTestCase):
    def test_a_stream_that_is_read_at_once_holds_it_once(self) -> None:
        self.assertIs(_uncopied(memoryview(HELD)), HELD)
        self.assertEqual(_uncopied(memoryview(HELD)[1:4]), HELD[1:4])
