"""What no envelope names: which blobs are orphans, and which are not, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import attrs
from twisted.internet.defer import Deferred

from lfsproxy.envelope import parse_key
from lfsproxy.errors import StoreRefused, StoreUnavailable, UnreadableLog
from lfsproxy.interfaces import FoundTopics, ListedObject
from lfsproxy.resumable.state import Info, UploadOptions
from lfsproxy.upkeep.orphans import removal
from lfsproxy.upkeep.orphans.listing import Listing
from lfsproxy.upkeep.orphans.removal import Removal
from lfsproxy.upkeep.orphans.report import Report
from tests.upkeep.bucket import HOUR, MIN_AGE, Counts, OrphansTestCase, key_of


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
        self.assertIn("envelopes in 1 topic that --topics leaves out are not seen", self.notes[0])

    def test_topics_that_are_gone_are_believed_only_if_they_are(self) -> None:
        orphan = self.put("a", "gone")
        self.assertEqual(self.orphans(), [])
        self.assertEqual(self.orphans(gone=["g*"]), [orphan])
        self.kafka.hidden = {"gone"}
        self.assertIn("hidden", str(self.failureResultOf(self.begin(gone=["g*"]), UnreadableLog).value))

    def test_only_the_topics_that_are_said_to_be_gone_are(self) -> None:
        first = self.put("a", "gone-a")
        self.put("b", "gone-b")
        self.name(key_of("other"))
        self.assertEqual(self.orphans(gone=["gone-a"]), [first])
        self.assertEqual(self.orphans(gone=["gone*", "!gone-b"]), [first])

    def test_a_topic_that_is_there_does_not_count_as_gone(self) -> None:
        self.put("theirs", "others")
        self.kafka.create("others")
        self.assertEqual(self.orphans("clips", gone=["*"]), [])

    def test_a_topic_that_no_list_has_but_that_is_there_when_asked_for_ends_it(self) -> None:
        self.put("theirs", "others")
        self.kafka.create("others")
        all_topics = self.kafka.topics

        async def topics(globs: Sequence[str]) -> FoundTopics:
            found = await all_topics(globs)
            return attrs.evolve(found, topics=[one for one in found.topics if "*" not in globs])

        self.patch(self.kafka, "topics", topics)
        failure = self.failureResultOf(self.begin("*", gone=["others"]), UnreadableLog)
        self.assertIn("--deleted-topics: the topic others exists", str(failure.value))

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

    def test_a_topic_that_the_second_list_lacks_and_that_is_there_is_read(self) -> None:
        """A broker that has just started may not have heard of it yet."""
        key = self.put("a")
        later, other = self.kafka.create("z-original")[0], self.kafka.create("other")[0]
        self.name(key, log=later)
        self.name(key_of("other"), log=later)
        self.name(key_of("other"), log=other)
        all_topics = self.kafka.topics
        lists = 0

        async def topics(globs: Sequence[str]) -> FoundTopics:
            nonlocal lists
            found = await all_topics(globs)
            if "*" not in globs:
                return found
            lists += 1
            return attrs.evolve(
                found, topics=[one for one in found.topics if lists < 2 or one.name != "other"]
            )

        self.patch(self.kafka, "topics", topics)
        searching = self.hold_and_search("look")
        # Behind the end that was taken: only the second reading sees it, and the original is gone by then.
        self.name(key, log=other)
        later.expire()
        self.assertEqual(self.go_on(searching, "look"), [])

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

    def test_a_topic_that_is_created_meanwhile_and_has_lost_records_ends_it(self) -> None:
        """A copy may have been among them, and be copied on to where was read already."""
        self.put("a")
        searching = self.hold_and_search("topics")
        self.kafka.let_go_one("topics")
        new = self.kafka.create("new")[0]
        self.name(key_of("a"), log=new)
        new.expire()
        self.kafka.let_go("topics")
        self.assertIn("loses records", str(self.failureResultOf(searching, UnreadableLog).value))

    def test_and_so_it_does_when_that_is_seen_while_it_is_read(self) -> None:
        self.put("a")
        searching = self.hold_and_search("topics")
        self.kafka.let_go_one("topics")
        new = self.kafka.create("new")[0]
        self.name(key_of("a"), log=new)
        self.name(key_of("b"), log=new)
        self.kafka.hold("look")
        self.kafka.let_go("topics")
        new.batches.pop(0)
        new.first = 1
        self.kafka.let_go("look")
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

    def test_state_that_names_no_blob_ends_it(self) -> None:
        place = self.state(self.put("a"))
        for data in (b"", b"{}", b"a page of some proxy"):
            self.store.resumable.objects[place] = (data, 0.0)
            failure = self.failureResultOf(self.begin(), StoreRefused)
            self.assertIn(f"{place} is no state of a resumable upload", str(failure.value))

    def test_state_that_cannot_be_read_ends_it(self) -> None:
        self.state(self.put("a"))
        listing = Listing(self.store.index, None, self.namespace, MIN_AGE, self.book)
        self.failureResultOf(Deferred.fromCoroutine(listing.run()), StoreRefused)
        self.assertFalse(self.book.is_listed)

    def test_the_age_that_is_asked_for_is_old_enough(self) -> None:
        self.begin_upload(key_of("a"), age=MIN_AGE)
        self.begin_upload(key_of("b"), age=MIN_AGE - 1)
        self.assertEqual(self.search().uploads, 1)

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
    def test_a_store_that_lists_beside_the_prefix_gives_no_orphans_of_another_namespace(self) -> None:
        theirs = self.put("theirs", key=key_of("theirs", namespace="other"))
        mine = self.put("mine")
        listed = self.store.index.objects

        def objects(prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
            return listed("" if prefix.startswith("lfs/") else prefix)

        self.patch(self.store.index, "objects", objects)
        self.assertEqual(self.orphans(), [mine])
        self.assertEqual(self.remove().deleted, 1)
        self.assertEqual(self.keys, [theirs])

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

    def test_each_unfinished_upload_is_aborted_once_and_counted_if_it_was_there(self) -> None:
        self.patch(removal, "_UPLOADS", 2)
        uploads = [(key_of(str(number)), self.begin_upload(key_of(str(number)))) for number in range(5)]
        self.search()
        abort = self.store.index.abort
        self.successResultOf(Deferred.fromCoroutine(abort(*uploads[3])))
        asked: list[str] = []

        async def once(key: str, upload_id: str) -> bool:
            asked.append(upload_id)
            return await abort(key, upload_id)

        self.patch(self.store.index, "abort", once)
        self.assertEqual(self.remove().aborted, 4)
        self.assertEqual(sorted(asked), sorted(upload_id for _, upload_id in uploads))

    def test_what_is_just_old_enough_is_removed(self) -> None:
        self.put("a", age=MIN_AGE)
        self.name(key_of("other"))
        self.search()
        self.assertEqual((self.remove().deleted, self.keys), (1, []))

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
        self.assertEqual(list(self.book.orphans_between("", "\U0010ffff")), [locked])

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
