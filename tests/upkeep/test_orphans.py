"""What no envelope names: which blobs are orphans, and which are not, whatever happens meanwhile."""

from __future__ import annotations

import base64
import json
import struct
from urllib.parse import quote

from twisted.internet.defer import Deferred

from lfsproxy.envelope import parse_key
from lfsproxy.errors import BrokerUnavailable, StoreUnavailable, UnreadableLog
from lfsproxy.resumable.state import Info, UploadOptions
from lfsproxy.upkeep.orphans.book import Sum
from lfsproxy.upkeep.orphans.removal import Removal
from lfsproxy.upkeep.orphans.report import Report
from tests.upkeep.bucket import HOUR, MIN_AGE, Counts, OrphansTestCase, batch, envelope_of, key_of

TRANSACTIONAL, CONTROL = 0x10, 0x20
PRODUCER = 7
"""The producer id of ``batch``."""
MARKER = batch(b"", attributes=TRANSACTIONAL | CONTROL)


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


class TopicTests(OrphansTestCase):
    """Which topics are read, and whose blobs can be orphans."""

    def test_blobs_of_topics_that_were_not_read_stay(self) -> None:
        self.put("a", "others")
        self.kafka.create("others")
        self.kafka.hidden = {"others"}
        self.assertEqual(Counts.of(self.search()), Counts(1, 0, 0, unread=1))

    def test_nothing_is_an_orphan_where_the_cluster_is_another_one(self) -> None:
        self.kafka.logs.clear()
        self.kafka.create("of-another-cluster")
        self.put("a")
        self.assertEqual(Counts.of(self.search()), Counts(1, 0, 0, unread=1))

    def test_topics_that_are_left_out_are_warned_of(self) -> None:
        self.kafka.create("others")
        self.put("theirs", "others")
        orphan = self.put("ours")
        self.assertEqual(self.orphans("clips"), [orphan])
        self.assertIn("envelopes in 1 topics that --topics leaves out are not seen", self.notes[0])

    def test_topics_that_are_gone_are_believed_only_if_they_are(self) -> None:
        orphan = self.put("a", "gone")
        self.assertEqual(self.orphans(), [])
        self.assertEqual(self.orphans(gone=["g*"]), [orphan])
        self.kafka.hidden = {"gone"}
        self.assertIn("hidden", str(self.failureResultOf(self.begin(gone=["g*"]), UnreadableLog).value))

    def test_a_topic_that_is_there_does_not_count_as_gone(self) -> None:
        self.put("theirs", "others")
        self.kafka.create("others")
        self.assertEqual(self.orphans("clips", gone=["*"]), [])

    def test_a_blob_of_a_topic_that_is_gone_stays_while_a_copy_is_there(self) -> None:
        self.name(self.put("a", "gone"))
        self.assertEqual(self.orphans(gone=["gone"]), [])

    def test_a_named_topic_that_is_not_there_or_hidden_ends_it(self) -> None:
        self.failureResultOf(self.begin("clips", "nobody"), UnreadableLog)
        self.kafka.create("secret")
        self.kafka.hidden = {"secret"}
        self.failureResultOf(self.begin("*", "secret"), UnreadableLog)

    def test_a_partition_that_cannot_be_read_ends_it(self) -> None:
        self.put("a")
        for call in ("topics", "bounds", "look"):
            self.name(key_of("b"))
            self.kafka.fail_next(call, UnreadableLog("clips, partition 0, cannot be read"))
            self.failureResultOf(self.begin(), UnreadableLog)

    def test_a_store_in_trouble_ends_it(self) -> None:
        self.put("a")
        for call in ("prefixes", "objects"):
            self.store.index.fail_next(call, StoreUnavailable("S3 is away"))
            self.failureResultOf(self.begin(), StoreUnavailable)
        self.assertEqual(len(self.orphans()), 1)


class MeanwhileTests(OrphansTestCase):
    """What happens while it searches."""

    def hold_and_search(self, call: str) -> Deferred:  # type: ignore[type-arg]
        self.kafka.hold(call)
        return self.begin()

    def go_on(self, searching: Deferred, call: str) -> list[str]:  # type: ignore[type-arg]
        self.kafka.let_go(call)
        self.successResultOf(searching)
        return list(self.book.orphans_between("", "\U0010ffff"))

    def test_a_copy_to_a_partition_that_was_read_is_seen_though_the_original_expires(self) -> None:
        """A is read last, and has expired by then; B was read before the copy came."""
        key = self.put("a")
        later = self.kafka.create("z-original")[0]
        self.name(key, log=later)
        self.name(key_of("other"))
        self.name(key_of("other"), log=later)
        searching = self.hold_and_search("look")
        # The answers of both partitions are held: what follows is behind the end that was taken.
        self.name(key)
        later.expire()
        self.assertEqual(self.go_on(searching, "look"), [])

    def test_a_copy_to_a_topic_that_is_created_meanwhile_is_seen(self) -> None:
        key = self.put("a")
        self.name(key)
        searching = self.hold_and_search("look")
        self.name(key, log=self.kafka.create("new")[0])
        self.log.expire()
        self.assertEqual(self.go_on(searching, "look"), [])

    def test_a_topic_that_is_made_anew_meanwhile_is_read_from_its_begin(self) -> None:
        self.put("a")
        self.name(key_of("b"))
        self.name(key_of("b"))
        searching = self.hold_and_search("topics")
        self.kafka.let_go_one("topics")
        anew = self.kafka.create("clips")[0]
        for name in ("a", "x", "y"):
            self.name(key_of(name), log=anew)
        self.assertEqual(self.go_on(searching, "topics"), [])

    def test_a_topic_that_is_deleted_meanwhile_has_no_records_any_more(self) -> None:
        self.name(self.put("a"))
        self.kafka.create("other")
        searching = self.hold_and_search("topics")
        self.kafka.let_go_one("topics")
        del self.kafka.logs["other"]
        self.assertEqual(self.go_on(searching, "topics"), [])

    def test_a_topic_that_cannot_be_told_to_be_deleted_ends_it(self) -> None:
        self.name(self.put("a"))
        self.kafka.create("other")
        searching = self.hold_and_search("topics")
        self.kafka.let_go_one("topics")
        self.kafka.hidden = {"other"}
        self.kafka.let_go("topics")
        self.assertIn("hidden", str(self.failureResultOf(searching, UnreadableLog).value))

    def test_records_of_the_second_reading_that_are_gone_end_it(self) -> None:
        self.name(key_of("b"))
        searching = self.hold_and_search("topics")
        self.kafka.let_go_one("topics")
        self.name(key_of("c"))
        self.log.expire()
        self.kafka.let_go("topics")
        self.assertIn("loses records", str(self.failureResultOf(searching, UnreadableLog).value))

    def test_a_blob_that_comes_meanwhile_is_none(self) -> None:
        searching = self.hold_and_search("topics")
        self.put("restored from somewhere")
        self.assertEqual(self.go_on(searching, "topics"), [])


class ResumableTests(OrphansTestCase):
    """Uploads that outlive a process: their state names blobs that are not published yet."""

    def state(self, key: str) -> str:
        parsed = parse_key(key)
        assert parsed is not None
        info = Info("1" * 32, parsed.topic, 0, key, 5, "", UploadOptions(), 1.0)
        place = f"lfs-uploads/{info.id}/info"
        self.store.resumable.objects[place] = (info.to_bytes(), 0.0)
        return place

    def begin_upload(self, key: str, age: float = 2 * MIN_AGE) -> str:
        begun: Deferred[str] = Deferred.fromCoroutine(self.store.resumable.begin_parts(key, "", {}))
        upload_id = self.successResultOf(begun)
        self.store.resumable.begun[upload_id] = self.clock.seconds() - age
        return upload_id

    def test_a_blob_and_an_upload_that_state_names_stay(self) -> None:
        place = self.state(self.put("a"))
        self.begin_upload(key_of("a"))
        report = self.search()
        self.assertEqual((Counts.of(report), report.uploads), (Counts(1, 0, 0, held=1), 0))
        del self.store.resumable.objects[place]
        report = self.search_anew()
        self.assertEqual((Counts.of(report), report.uploads), (Counts(1, 0, 1), 1))

    def search_anew(self) -> Report:
        self.book.close()
        self.book = type(self.book)("", "test")
        return self.search()

    def test_an_upload_that_ends_while_the_bucket_is_listed(self) -> None:
        """It is old the moment it is there, and is published after the topics were read."""
        self.state(key_of("a"))
        self.name(self.put("named"))
        self.store.index.hold("prefixes")
        searching = self.begin()
        self.put("a")
        self.store.index.let_go("prefixes")
        self.assertEqual(Counts.of(self.successResultOf(searching)), Counts(2, 1, 0, held=1))

    def test_an_upload_that_is_published_after_the_topics_were_read(self) -> None:
        place = self.state(self.put("a"))
        self.name(self.put("named"))
        self.kafka.hold("topics")
        searching = self.begin()
        del self.store.resumable.objects[place]
        self.kafka.let_go("topics")
        self.assertEqual(Counts.of(self.successResultOf(searching)), Counts(2, 1, 0, held=1))

    def test_an_upload_that_is_published_before_its_state_is_looked_at(self) -> None:
        place = self.state(key_of("a"))
        self.put("a")
        self.store.index.hold("objects")
        searching = self.begin()
        self.store.index.let_go_one("objects")
        self.name(key_of("a"))
        del self.store.resumable.objects[place]
        self.store.index.let_go("objects")
        self.assertEqual(Counts.of(self.successResultOf(searching)), Counts(1, 1, 0))

    def test_unfinished_uploads_of_others_and_young_ones_stay(self) -> None:
        self.begin_upload(key_of("a"))
        self.begin_upload(key_of("b"), age=HOUR)
        self.begin_upload("lfs/default/clips/backup.tar")
        self.begin_upload("theirs/c")
        self.assertEqual(self.search().uploads, 1)
        removed = self.remove()
        self.assertEqual((removed.deleted, removed.aborted), (0, 1))
        self.assertEqual(len(self.store.resumable.uploads), 3)


class RemovalTests(OrphansTestCase):
    def test_only_orphans_are_removed(self) -> None:
        kept = [self.put(f"kept {number}") for number in range(10)]
        for number in range(10):
            self.put(f"orphan {number}")
            self.put(f"other {number}", "others")
        self.kafka.create("others")
        self.name(*kept)
        self.search()
        removed = self.remove()
        self.assertEqual((removed.deleted, removed.size, removed.failures), (20, 80, 0))
        self.assertEqual(self.keys, sorted(kept))

    def test_what_is_younger_or_of_another_size_than_it_was_stays(self) -> None:
        young, other = self.put("restored"), self.put("replaced")
        gone = self.put("gone")
        self.search()
        self.put("restored", age=0)
        self.store.blobs.blobs[other] = type(self.store.blobs.blobs[other])(b"larger", "", {}, 0.0)
        self.assertEqual(self.remove().deleted, 1)
        self.assertEqual(self.keys, sorted([young, other]))
        self.assertNotIn(gone, self.keys)

    def test_what_the_store_keeps_is_told(self) -> None:
        locked = self.put("locked")
        self.put("a")
        self.store.index.undeletable = {locked: "AccessDenied: it is locked"}
        self.search()
        removed = self.remove()
        self.assertEqual((removed.deleted, removed.failures), (1, 1))
        self.assertEqual(removed.failed, {locked: "AccessDenied: it is locked"})

    def test_a_removal_that_breaks_off_is_gone_on_with(self) -> None:
        for number in range(9):
            self.put(f"orphan {number}")
        self.search()
        self.store.index.hold("delete_many")
        removal = Deferred.fromCoroutine(self.removal().run())
        self.store.index.let_go_one("delete_many")
        removal.cancel()
        self.assertEqual(self.book.orphans().count, 6)
        self.failureResultOf(removal)
        self.store.index.let_go("delete_many")
        self.assertEqual(Counts.of(self.search()), Counts(6, 0, 6))
        self.assertEqual(self.remove().deleted, 6)
        self.assertEqual(self.keys, [])

    def removal(self) -> Removal:
        return Removal(self.store.index, self.namespace, MIN_AGE, self.book)


class ResumeTests(OrphansTestCase):
    """A book that is kept in a file."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.mktemp()
        self.open()

    def open(self) -> None:
        self.book.close()
        self.book = type(self.book)(self.path, "test")

    def test_it_goes_on_where_it_was(self) -> None:
        kept = self.put("kept")
        orphan = self.put("orphan")
        for key in (kept, key_of("x"), key_of("y")):
            self.name(key)
        self.kafka.hold("look")
        searching = self.begin()
        self.kafka.let_go_one("look")
        self.kafka.let_go_one("look")
        searching.cancel()
        self.failureResultOf(searching)
        self.open()
        self.assertEqual(self.book.place("clips", self.kafka.ids["clips"], 0), 2)
        self.log.batches[0] = bytes(8) + batch(b"nothing")[8:]
        self.kafka.let_go("look")
        self.store.index.fail_next("prefixes", StoreUnavailable("it is not listed again"))
        self.assertEqual(self.orphans(), [orphan])

    def test_a_list_that_broke_off_is_begun_anew(self) -> None:
        self.put("a")
        self.kafka.fail_next("topics", BrokerUnavailable("away"))
        self.store.index.hold("objects")
        searching = self.begin()
        searching.cancel()
        self.failureResultOf(searching)
        self.open()
        self.store.index.let_go("objects")
        self.failureResultOf(self.begin(), BrokerUnavailable)
        self.assertEqual(Counts.of(self.search()), Counts(1, 0, 1))

    def test_a_topic_that_was_made_anew_is_read_from_its_begin(self) -> None:
        self.name(key_of("b"))
        self.name(key_of("b"))
        self.put("a")
        self.search()
        self.open()
        anew = self.kafka.create("clips")[0]
        for name in ("a", "x", "y"):
            self.name(key_of(name), log=anew)
        self.assertEqual(self.orphans(), [])

    def test_a_log_that_was_cut_is_read_from_its_begin(self) -> None:
        self.put("a")
        self.name(key_of("b"))
        self.name(key_of("b"))
        self.search()
        self.log.batches.clear()
        self.name(key_of("a"))
        self.assertEqual(self.orphans(), [])

    def test_another_subject_or_file_is_refused_and_stays(self) -> None:
        self.book.close()
        with self.assertRaisesRegex(ValueError, "is about something else: test, not other"):
            type(self.book)(self.path, "other")
        other = self.mktemp()
        with open(other, "wb") as file:
            file.write(b"no book at all" * 1000)
        with self.assertRaisesRegex(ValueError, "is no file of lfsproxy gc"):
            type(self.book)(other, "test")
        with open(other, "rb") as file:
            self.assertEqual(file.read(4), b"no b")

    def test_two_at_once_are_refused(self) -> None:
        self.put("a")
        self.search()
        with self.assertRaisesRegex(ValueError, "locked"):
            type(self.book)(self.path, "test")
