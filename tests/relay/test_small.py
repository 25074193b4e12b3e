"""Small compressed batches are looked into at once, with the same result as in a thread."""

from __future__ import annotations

from collections.abc import Sequence

from lfsproxy.relay.scanning import Scans
from lfsproxy.wire import inflate
from lfsproxy.wire.inflate import MOST_INFLATED
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import batch, lfs, produce, produce_topics, record
from tests.relay.rig import KIB, RelayTestCase
from tests.wire.helpers import CODECS, compressed, raw_records

PACKED = [each for each in CODECS if each[0]]
VALUE = b"what many records have in common, " * 20


class AtOnceTests(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.searches = 0
        run = Scans.run

        def counted(scans: Scans, *given: object) -> object:
            self.searches += 1
            return run(scans, *given)  # type: ignore[arg-type]

        self.patch(Scans, "run", counted)

    def test_neither_a_thread_nor_a_reader_is_woken_for_one(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(VALUE))))
        (session,) = self.relay.sessions
        streams = (session._client.stream, session._broker)
        waiting = [each._more for each in streams if each is not None]
        frames = [
            produce(2 + index, batch(record(VALUE), codec=codec, xerial=xerial))
            for index, (codec, xerial) in enumerate(PACKED)
        ]
        client.send(*frames)
        self.assertEqual([each.frame for each in self.broker.requests[-len(frames) :]], frames)
        self.assertEqual([client.code(2 + index) for index in range(len(frames))], [0] * len(frames))
        self.assertEqual([each._more for each in streams if each is not None], waiting)
        self.assertEqual(self.searches, 0)

    def test_no_thread_for_one_whose_records_are_counted(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"at 0"))))
        client.send(produce(2, batch(record(VALUE), record(VALUE), codec=4)))
        client.send(produce(3, batch(lfs(b"at 3"))))
        keys = [each.s3_key for found in self.cluster.records() for each in found.envelopes]
        self.assertEqual(["0", "3"], [key.rpartition("/")[2].partition("-")[0] for key in keys])
        self.assertEqual(self.searches, 0)

    def test_of_many_in_a_request_the_first_ones_are(self) -> None:
        data = batch(record(bytes(MOST_INFLATED // 3)), codec=3)
        topic = TopicRecords("demo-topic", [PartitionRecords(number, [data]) for number in range(8)])
        self.client().send(produce_topics(1, [topic]))
        self.assertEqual(self.searches, 6)
        self.assertEqual(len(self.cluster.log), 8)


class SameTests(RelayTestCase):
    """Twice the same requests, the second time with no room for looks at once."""

    overrides = {"offload_threshold": 5000, "max_decompressed_size": 100 * KIB, "topics": ("demo-*",)}

    def outcome(self, frame: bytes) -> tuple[Sequence[bytes], object, Sequence[bytes]]:
        """What the broker got, where nothing was offloaded; the client's answer; the blobs."""
        client = self.client()
        before = set(self.store.blobs)
        client.send(frame)
        blobs = [blob.data for key, blob in self.store.blobs.items() if key not in before]
        (reply,) = client.replies
        verdicts = [
            (each.partition, each.error_code, each.error_message, each.record_errors)
            for each in client.verdicts(1)
        ]
        self.assertEqual(reply.correlation_id, 1)
        self.assertTrue(client.is_open)
        sent = [each.frame for each in self.broker.requests if each.api_key == 0]
        return (len(sent), *(() if blobs else sent)), verdicts, sorted(blobs)

    def assert_same(self, frame: bytes, name: str) -> None:
        quick = self.outcome(frame)
        without = self.patch(inflate, "MOST_COMPRESSED", 0)
        try:
            self.assertEqual(quick, self.outcome(frame), name)
        finally:
            without.restore()

    def kinds(self, codec: int, xerial: bool) -> dict[str, bytes]:
        """Batches, by what is with them."""
        area = compressed(codec, raw_records([record(VALUE), record(None)]), xerial=xerial)
        return {
            "plain": batch(record(VALUE), record(None), codec=codec, xerial=xerial),
            "marked": batch(record(VALUE), lfs(b"blob"), codec=codec, xerial=xerial),
            "the mark in a value": batch(record(VALUE + b"LFS_BLOB"), codec=codec, xerial=xerial),
            "of the threshold": batch(record(bytes(5000)), codec=codec, xerial=xerial),
            "below it each": batch(record(bytes(4000)), record(bytes(4000)), codec=codec, xerial=xerial),
            "too large for a look": batch(record(bytes(80 * KIB)), codec=codec, xerial=xerial),
            "larger than is allowed": batch(record(bytes(101 * KIB)), codec=codec, xerial=xerial),
            "cut off": batch(record(VALUE), record(None), codec=codec, area=area[:-1]),
            "with more behind it": batch(record(VALUE), record(None), codec=codec, area=area + b"more"),
            "nothing": batch(record(VALUE), codec=codec, area=b""),
            "not known": batch(record(VALUE), codec=codec + 3 if codec + 3 > 4 else 5, area=area),
            "transactional": batch(
                record(VALUE),
                codec=codec | 0x10,
                area=compressed(codec, raw_records([record(VALUE)]), xerial=xerial),
            ),
        }

    def test_each_by_itself(self) -> None:
        for codec, xerial in PACKED:
            for name, data in self.kinds(codec, xerial).items():
                for topic in ("demo-topic", "other"):
                    if topic == "other" and name not in ("plain", "marked", "of the threshold"):
                        continue  # It is the broker's to judge, and the scripted one reads all.
                    self.assert_same(produce(1, data, topic=topic), f"{name} {codec} {xerial} {topic}")

    def test_two_in_a_request(self) -> None:
        for codec, xerial in PACKED:
            kinds = self.kinds(codec, xerial)
            for name, data in kinds.items():
                other = PartitionRecords(1, [kinds["plain"]])
                first, last = PartitionRecords(0, [data]), PartitionRecords(2, [data])
                for topics in (
                    [TopicRecords("demo-topic", [first, other])],
                    [TopicRecords("demo-a", [other]), TopicRecords("demo-b", [last])],
                ):
                    self.assert_same(produce_topics(1, topics), f"{name} {codec} {xerial}")
