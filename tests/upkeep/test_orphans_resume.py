"""A book that is kept in a file: a search that broke off is gone on with, and loses nothing by that."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from twisted.internet.defer import Deferred

from lfsproxy.errors import BrokerUnavailable, StoreUnavailable
from lfsproxy.upkeep.orphans import book
from tests.upkeep.bucket import Counts, OrphansTestCase, batch, key_of


class ResumeTests(OrphansTestCase):
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

    def break_off_the_list(self) -> None:
        """End a search while it lists the bucket, and open its book again."""
        self.store.index.hold("objects")
        searching = self.begin()
        searching.cancel()
        self.failureResultOf(searching)
        self.open()
        self.store.index.let_go("objects")

    def test_a_list_that_broke_off_is_begun_anew(self) -> None:
        self.put("a")
        self.kafka.fail_next("topics", BrokerUnavailable("away"))
        self.break_off_the_list()
        self.failureResultOf(self.begin(), BrokerUnavailable)
        self.assertEqual(Counts.of(self.search()), Counts(1, 0, 1))

    def test_an_upload_that_ends_before_the_list_is_begun_anew_is_not_counted(self) -> None:
        key = self.put("a")
        upload_id = self.begin_upload(key)
        self.break_off_the_list()
        aborting = Deferred.fromCoroutine(self.store.index.abort(key, upload_id))
        self.assertTrue(self.successResultOf(aborting))
        self.assertEqual(self.search().uploads, 0)

    def test_a_place_is_written_with_the_names_before_it_or_not_at_all(self) -> None:
        def names() -> Iterator[bytes]:
            yield bytes(16)
            raise OSError("the disk is full")

        self.assertRaises(OSError, self.book.add_names, "clips", "id", 0, 5, names())
        self.assertIsNone(self.book.place("clips", "id", 0))

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

    def test_a_topic_without_an_id_is_read_from_its_begin(self) -> None:
        """Older brokers give none: it may be another topic of that name, or that of another cluster."""
        self.kafka.ids["clips"] = ""
        self.name(key_of("b"))
        self.name(key_of("b"))
        self.put("a")
        self.search()
        self.open()
        anew = self.kafka.create("clips")[0]
        self.kafka.ids["clips"] = ""
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

    def test_a_topic_that_is_not_said_to_be_gone_any_more_is_judged_no_more(self) -> None:
        orphan = self.put("a", "gone")
        self.assertEqual(self.orphans(gone=["gone"]), [orphan])
        self.open()
        self.assertEqual(self.orphans(), [])

    def test_another_subject_or_file_is_refused_and_stays(self) -> None:
        self.book.close()
        with self.assertRaisesRegex(ValueError, "is about something else: test, not other"):
            type(self.book)(self.path, "other")
        self.patch(book, "FORMAT", 0)
        with self.assertRaisesRegex(ValueError, "is of another version of lfsproxy"):
            type(self.book)(self.path, "test")
        other = self.mktemp()
        with open(other, "wb") as file:
            file.write(b"no book at all" * 1000)
        with self.assertRaisesRegex(ValueError, "is no file of lfsproxy gc"):
            type(self.book)(other, "test")
        with open(other, "rb") as file:
            self.assertEqual(file.read(4), b"no b")

    def test_the_file_of_another_program_stays_as_it_is(self) -> None:
        other = self.mktemp()
        with sqlite3.connect(other) as file:
            file.execute("CREATE TABLE theirs (a)")
        file.close()
        with open(other, "rb") as before:
            had = before.read()
        with self.assertRaisesRegex(ValueError, "no such table"):
            type(self.book)(other, "test")
        with open(other, "rb") as after:
            self.assertEqual(after.read(), had)

    def test_two_at_once_are_refused(self) -> None:
        self.put("a")
        self.search()
        with self.assertRaisesRegex(ValueError, "locked"):
            type(self.book)(self.path, "test")
