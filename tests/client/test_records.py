"""The blobs of a poll's records, ahead and in order: blocking, and the rule of what may begin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import Resolution, resolve_records
from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.records import Ahead, Place
from lfsproxy.errors import BlobMissing
from tests.client.doubles import FakeStore, envelope_of, reader
from tests.client.polls import SECONDS, Contract, Held, Pausing, Record, blobs, hook, seen


class BlockingTests(Contract, SynchronousTestCase):
    def read(
        self,
        store: FakeStore,
        records: Iterable[Any],
        then: Callable[[Any], None] = lambda value: None,
        told: list[Resolution] | None = None,
        **options: Any,
    ) -> list[Any]:
        into = []
        for each in resolve_records(reader(store, on_resolve=hook(told)), records, **options):
            into.append(seen(each))
            then(into[-1])
        return into

    def leave(self, store: Held, records: Sequence[Record], told: list[Resolution]) -> None:
        pausing = Pausing(store, told)
        with closing(resolve_records(pausing.reader, records, concurrency=4)) as given:
            next(given)
            store.full.wait(SECONDS)
        pausing.wait(4)

    def test_reading_the_value_raises_what_went_wrong(self) -> None:
        _, records = blobs(1)
        (each,) = resolve_records(reader(FakeStore()), records)
        self.assertIsInstance(each.error, BlobMissing)
        for name in ("value", "envelope", "missing"):
            self.assertRaises(BlobMissing, getattr, each, name)

    def test_a_skipped_blob_is_told_from_a_null_value(self) -> None:
        _, records = blobs(1)
        given = resolve_records(reader(FakeStore(), on_missing="skip"), [*records, Record(None)])
        self.assertEqual([(each.value, each.missing) for each in given], [(None, True), (None, False)])

    def test_what_ends_a_thread_is_that_records_error(self) -> None:
        def leave(_: Resolution) -> None:
            raise SystemExit

        objects, records = blobs(1)
        (each,) = resolve_records(reader(FakeStore(objects), on_resolve=leave), records)
        self.assertIn("SystemExit broke off", str(each.error))


class AheadTests(SynchronousTestCase):
    """The rule by itself: what may begin."""

    def place(self, size: int) -> Place[Record]:
        envelope = envelope_of(b"", content_length=size, checksum=hashlib.sha256().hexdigest())
        return Place(Record(envelope.to_bytes()))

    def test_bytes_are_held_until_the_record_is_handed_out(self) -> None:
        ahead: Ahead[Record] = Ahead(100, 8)
        first, second = self.place(60), self.place(60)
        self.assertTrue(ahead.may_begin(first) and ahead.begin(first))
        self.assertFalse(ahead.may_begin(second))
        first.failed(RuntimeError())
        ahead.ended()
        self.assertFalse(ahead.may_begin(second))
        self.assertIsNotNone(ahead.take())
        self.assertTrue(ahead.may_begin(second))

    def test_cancelling_ends_what_was_begun(self) -> None:
        ahead: Ahead[Record] = Ahead(100, 8)
        places = [self.place(1) for _ in range(3)]
        for place in places:
            ahead.begin(place)
        ahead.cancel()
        ends: list[Cancellation] = [place.cancellation for place in places]
        self.assertEqual([each.cancelled for each in ends], [True] * 3)
