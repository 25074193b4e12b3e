"""What keeps a blob: wherever its key stands in the topics, whatever wrote it there."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from lfsproxy.envelope import parse_key
from lfsproxy.errors import StoreUnavailable
from lfsproxy.upkeep.orphans import names
from lfsproxy.upkeep.orphans.book import Sum
from lfsproxy.wire.unpack import readable
from lfsproxy.wire.walk import LIMITS
from tests.upkeep.bucket import HOUR, MIN_AGE, Counts, OrphansTestCase, batch, envelope_of, key_of

TRANSACTIONAL, CONTROL = 0x10, 0x20
PRODUCER = 7
"""The producer id of ``batch``."""
MARKER = batch(b"", attributes=TRANSACTIONAL | CONTROL)


def uuid_of(key: str) -> bytes:
    parsed = parse_key(key)
    assert parsed is not None
    return parsed.uuid.bytes


class NamedTests(OrphansTestCase):
    """What keeps a blob."""

    def test_a_blob_without_a_record_is_an_orphan_and_one_with_is_not(self) -> None:
        kept, orphan = self.put("kept"), self.put("orphan")
        self.name(kept)
        self.assertEqual(self.orphans(), [orphan])

    def test_the_numbers(self) -> None:
        self.name(self.put("kept"))
        self.put("orphan")
        self.put("young", age=HOUR)
        self.put("of another topic", "others")
        self.put("not ours", key="lfs/default/clips/0/readme.txt")
        self.put("of another namespace", key=key_of("x", namespace="theirs"))
        report = self.search()
        self.assertEqual(Counts.of(report), Counts(4, 1, 1, young=1, unread=1))
        self.assertEqual((report.odd, report.topics, report.partitions), (1, 1, 1))
        self.assertEqual((report.orphans, report.by_topic), (Sum(1, 4), {"clips": Sum(1, 4)}))
        self.assertEqual(report.unread, {"others": Sum(1, 4)})

    def test_a_young_blob_is_none_and_one_of_exactly_that_age_is(self) -> None:
        self.put("young", age=MIN_AGE - 1)
        orphan = self.put("old", age=MIN_AGE)
        self.assertEqual(self.orphans(), [orphan])

    def test_a_copy_in_a_second_topic_keeps_it_when_the_first_has_expired(self) -> None:
        key = self.put("copied")
        self.name(key)
        self.log.expire()
        self.name(key, log=self.kafka.create("dead-letters", 3)[2])
        self.assertEqual(self.orphans(), [])

    def test_it_counts_wherever_it_stands(self) -> None:
        envelope = envelope_of(self.put("a"))
        nested = json.dumps({"payload": {"before": None, "after": envelope.decode()}})
        older = json.dumps(
            {"kfs_lfs": 1, "bucket": "kafscale", "key": key_of("a"), "size": 4, "sha256": "0" * 64}
        )
        written = {
            "value": batch(envelope),
            "key": batch(b"x", key=envelope),
            "null value": batch(None, key=envelope),
            "header": batch(b"x", headers=[(b"origin", envelope)]),
            "header's name": batch(b"x", headers=[(envelope, None)]),
            "JSON in JSON": batch(nested.encode()),
            "escaped slashes": batch(envelope.replace(b"/", b"\\/")),
            "a row of a changelog": batch(struct.pack(">q", 1234567890) + envelope),
            "Avro": batch(b"\0\0\0\0\1" + bytes([len(envelope) * 2 & 0x7F | 0x80, 5]) + envelope + b"\2"),
            "a URL": batch(quote(key_of("a"), safe="").encode()),
            "base64": batch(json.dumps({"v": base64.b64encode(envelope).decode()}).encode()),
            "base64, its members in another order": batch(
                base64.b64encode(json.dumps({"s3_key": key_of("a"), "lfs_version": 1}).encode())
            ),
            "base64 of JSON in JSON": batch(base64.b64encode(nested.encode())),
            "base64 for URLs": batch(b"x." + base64.urlsafe_b64encode(b"12" + envelope)),
            "the older envelope": batch(older.encode()),
        }
        for codec in range(1, 5):
            written[f"codec {codec}"] = batch(b"x" * 5000, envelope, b"y" * 5000, codec=codec)
        for what, data in written.items():
            self.log.batches = [bytes(8) + data[8:]]
            self.assertEqual(self.orphans(), [], what)
            self.book.close()
            self.setUp()
            self.put("a")

    def test_the_key_of_another_blob_keeps_it_not(self) -> None:
        orphan = self.put("a")
        self.name(key_of("b"))
        self.assertEqual(self.orphans(), [orphan])

    def test_an_envelope_across_two_pieces_of_a_large_batch(self) -> None:
        envelope = envelope_of(self.put("a"))
        for before in range(262_144 - 400, 262_144, 90):
            self.log.batches = []
            self.log.append(batch(b"z" * before, envelope, codec=1))
            self.assertEqual(self.orphans(), [], before)
            self.book.close()
            self.setUp()
            self.put("a")

    def test_however_many_marks_there_are_base64_is_looked_into_a_few_times(self) -> None:
        """One record must not hold up the whole search."""
        looked = 0

        def decode(data: bytes) -> bytes:
            nonlocal looked
            looked += len(data)
            return binascii.a2b_base64(data)

        self.patch(names, "binascii", SimpleNamespace(a2b_base64=decode))
        key = key_of("a")
        for mark in (b"lfs_version", b"kfs_lfs", b"q" + envelope_of(key_of("b"))):
            text = base64.b64encode(mark * (600_000 // len(mark)) + envelope_of(key))
            looked = 0
            self.assertIn(uuid_of(key), names.uuids_in(text))
            self.assertLess(looked, 80 * len(text), mark)

    def test_an_older_envelope_as_base64(self) -> None:
        self.put("a")
        for before in range(3):
            key = self.put(f"b{before}")
            text = b'{"kfs_lfs": 1, "bucket": "kafscale", "key": "' + key.encode() + b'"}'
            self.log.append(batch(base64.b64encode(b" " * before + text)))
        self.assertEqual(self.orphans(), [key_of("a")])

    def test_an_envelope_where_the_base64_around_a_mark_is_cut(self) -> None:
        """The second mark has the place of the first one in its base64: both are looked for together."""
        key = key_of("a")
        for between in range(65_300, 65_600, 21):
            text = base64.b64encode(b"lfs_version" + b"x" * between + envelope_of(key))
            self.assertEqual(names.uuids_in(text), {uuid_of(key)}, between)

    def test_names_of_an_answer_come_in_portions_and_it_counts_as_read_with_the_last_one(self) -> None:
        """Memory does not grow with the names in a batch; and a look that ends between two has lost none."""
        self.patch(names, "_PORTION", 1)
        self.name(*map(self.put, "abc"), codec=4)
        self.log.batches[0] = (
            bytes(8)
            + batch(
                *(part for key in map(key_of, "abc") for part in (b"x" * 300_000, envelope_of(key))), codec=4
            )[8:]
        )
        added = self.book.add_names
        portions: list[int] = []

        def add(*args: Any) -> None:
            portions.append(len(args[-1]))
            if len(portions) == 3:
                raise StoreUnavailable("it ends here")
            added(*args)

        self.patch(self.book, "add_names", add)
        self.failureResultOf(self.begin(), StoreUnavailable)
        self.assertEqual(portions, [1, 1, 1])
        self.assertEqual(self.book.place("clips", self.kafka.ids["clips"], 0), 0)
        self.assertEqual(self.orphans(), [])

    def test_a_large_batch_is_searched_step_by_step(self) -> None:
        """Between two steps a search can be cancelled."""
        self.patch(names, "_SEARCHED", 100_000)
        found = readable(batch(b"x" * 1_000_000, envelope_of(key_of("a")), codec=4), ())
        steps = [(len(one.uuids), one.is_all) for one in names.blobs_named(found.batches, LIMITS)]
        self.assertGreater(len(steps), 5)
        self.assertEqual({one for one in steps[:-1] if one[1]}, set())
        self.assertEqual((sum(count for count, _ in steps), steps[-1][1]), (1, True))

    def test_compaction_and_expiry_let_it_go(self) -> None:
        first, second = self.put("first"), self.put("second")
        self.name(first)
        self.name(second)
        del self.log.batches[0]
        self.assertEqual(self.orphans(), [first])

    def test_transactions(self) -> None:
        aborted, committed, opened = self.put("aborted"), self.put("committed"), self.put("open")
        self.name(aborted, attributes=TRANSACTIONAL)
        self.log.append(MARKER)
        self.name(committed, attributes=TRANSACTIONAL)
        self.log.append(MARKER)
        self.log.stable = self.log.end
        self.log.aborted = [(PRODUCER, 0)]
        self.name(opened, attributes=TRANSACTIONAL)
        self.assertEqual(self.orphans(), [aborted])

    def test_topics_with_two_underscores_are_read_as_well(self) -> None:
        self.name(self.put("a"), log=self.kafka.create("__copies")[0])
        self.assertEqual(self.orphans(), [])
