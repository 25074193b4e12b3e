"""What every way to read a poll's records has to do, and the doubles for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
from confluent_kafka import KafkaException

from lfsproxy.client import RecordCoordinates, Resolution
from lfsproxy.errors import BlobMissing, ChecksumMismatch
from tests.client.doubles import FakeStore, envelope_of, reader

SECONDS = 30


@attrs.frozen
class Record:
    """What the helpers need of kafka-python's and aiokafka's."""

    value: Any
    offset: int = 0
    topic: str = "demo"
    partition: int = 3


@attrs.frozen
class Message:
    """What the helpers need of confluent-kafka's."""

    _value: Any
    _error: object = None

    def value(self) -> Any:
        return self._value

    def error(self) -> object:
        return self._error

    def topic(self) -> str:
        return "demo"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 9


class SlowFirst(FakeStore):
    """Answers for the first key only when so many others were asked for."""

    def __init__(self, objects: Any, others: int) -> None:
        super().__init__(objects)
        self.others = threading.Semaphore(0)
        self.wanted = others

    def urlopen(self, method: str, path: str, headers: Any, **arguments: Any) -> Any:
        if path.endswith("/0"):
            for _ in range(self.wanted):
                self.others.acquire(timeout=SECONDS)
        else:
            self.others.release()
        return super().urlopen(method, path, headers, **arguments)


class Counting(FakeStore):
    """Knows how many blobs, and how many of their bytes, were at most asked for and not handed out."""

    def __init__(self, objects: Any) -> None:
        super().__init__(objects)
        self.lock = threading.Lock()
        self.out = self.most = self.bytes_out = self.most_bytes = 0

    def urlopen(self, method: str, path: str, headers: Any, **arguments: Any) -> Any:
        with self.lock:
            self.out += 1
            self.bytes_out += len(self.objects["kafscale", path.removeprefix("/kafscale/")])
            self.most = max(self.most, self.out)
            self.most_bytes = max(self.most_bytes, self.bytes_out)
        return super().urlopen(method, path, headers, **arguments)

    def handed_out(self, size: int) -> None:
        with self.lock:
            self.out -= 1
            self.bytes_out -= size


def blobs(count: int, size: int = 0) -> tuple[dict[tuple[str, str], bytes], list[Record]]:
    data = [f"blob {number}".encode().ljust(size, b".") for number in range(count)]
    keys = [f"lfs/{number}" for number in range(count)]
    values = [envelope_of(blob, s3_key=key).to_bytes() for blob, key in zip(data, keys, strict=True)]
    records = [Record(value, offset) for offset, value in enumerate(values)]
    return {("kafscale", key): blob for key, blob in zip(keys, data, strict=True)}, records


def seen(each: Any) -> Any:
    return each.value if each.error is None else type(each.error)


class Contract:
    """What all three do. ``read`` gives what was seen, ``then`` is called with each value."""

    assertEqual: Callable[..., None]
    assertLessEqual: Callable[..., None]

    def read(
        self,
        store: FakeStore,
        records: Iterable[Any],
        then: Callable[[Any], None] = lambda value: None,
        told: list[Resolution] | None = None,
        **options: Any,
    ) -> list[Any]:
        raise NotImplementedError

    def test_in_order_though_the_first_takes_longest(self) -> None:
        objects, records = blobs(4)
        self.assertEqual(self.read(SlowFirst(objects, 3), records), list(objects.values()))

    def test_ordinary_and_null_values_keep_their_place(self) -> None:
        objects, records = blobs(1)
        given = [Record(b"a"), Record(None), *records, Record(bytearray(b"b"))]
        self.assertEqual(self.read(FakeStore(objects), given), [b"a", None, b"blob 0", b"b"])

    def test_an_error_is_handed_out_in_its_place_and_the_others_are_not_lost(self) -> None:
        objects, records = blobs(4)
        del objects["kafscale", "lfs/1"]
        objects["kafscale", "lfs/2"] = b"blob X"
        broken = Record(records[0].value.replace(b'"content_length":6', b'"content_length":"6"'))
        errors = self.read(FakeStore(objects), [*records, broken, Record("text")])
        self.assertEqual(errors[:4], [b"blob 0", BlobMissing, ChecksumMismatch, b"blob 3"])
        self.assertEqual([each.__name__ for each in errors[4:]], ["InvalidEnvelope", "TypeError"])

    def test_no_more_than_concurrency_at_a_time(self) -> None:
        objects, records = blobs(20, 1000)
        store = Counting(objects)
        self.read(store, records, lambda value: store.handed_out(len(value)), max_bytes=3000)
        self.assertLessEqual(store.most, 4)  # Three and the one that the caller has.
        self.assertLessEqual(store.most_bytes, 4000)

    def test_a_blob_beyond_max_bytes_goes_alone(self) -> None:
        objects, records = blobs(3, 1000)
        store = Counting(objects)
        values = self.read(store, records, lambda value: store.handed_out(len(value)), max_bytes=10)
        self.assertEqual((values, store.most_bytes <= 2000), (list(objects.values()), True))

    def test_the_hook_is_told_the_records_place(self) -> None:
        objects, records = blobs(2)
        told: list[Resolution] = []
        self.read(FakeStore(objects), records, told=told)
        places = sorted((one.record for one in told if one.record), key=str)
        self.assertEqual(places, [RecordCoordinates("demo", 3, offset) for offset in (0, 1)])

    def test_messages_of_confluent_kafka(self) -> None:
        objects, records = blobs(1)
        told: list[Resolution] = []
        given = [Message(records[0].value), Message(b"Broker: no more", "an error"), Message(None)]
        self.assertEqual(self.read(FakeStore(objects), given, told=told), [b"blob 0", KafkaException, None])
        self.assertEqual(told[0].record, RecordCoordinates("demo", 3, 9))

    def test_the_numbers_have_to_be_some(self) -> None:
        for options in ({"max_bytes": -1}, {"concurrency": 0}, {"concurrency": 1.5}):
            try:
                self.read(FakeStore(), [], **options)
            except ValueError as error:
                self.assertEqual(next(iter(options)) in str(error), True)
            else:
                raise AssertionError(options)

    def test_leaving_early_ends_the_fetches(self) -> None:
        objects, records = blobs(50)
        store, told = Held(objects, 4), list[Resolution]()
        self.leave(store, [Record(b"first"), *records], told)
        self.assertEqual([one.result for one in told], ["cancelled"] * 4)

    def leave(self, store: Held, records: Sequence[Record], told: list[Resolution]) -> None:
        raise NotImplementedError


class Held(FakeStore):
    """Says 503 until the read is cancelled; ``full`` when so many ask. Its readers pause for long."""

    def __init__(self, objects: Any, wanted: int) -> None:
        super().__init__(objects)
        self.full = threading.Event()
        self.wanted = wanted

    def urlopen(self, method: str, path: str, headers: Any, **arguments: Any) -> Any:
        self.asked.append(headers)
        if len(self.asked) >= self.wanted:
            self.full.set()
        return self._answer(503, b"")


class Pausing:
    """Readers whose pauses are real, and only end by a cancellation; ``done`` counts what was told."""

    def __init__(self, store: Held, told: list[Resolution]) -> None:
        self.done = threading.Semaphore(0)

        def tell(one: Resolution) -> None:
            told.append(one)
            self.done.release()

        self.reader = reader(store, on_resolve=tell, pause=SECONDS)
        self.reader._retry = attrs.evolve(self.reader._retry, sleep=None)

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.done.acquire(timeout=SECONDS)


def hook(told: list[Resolution] | None) -> Any:
    return None if told is None else told.append
