"""``lfsproxy gc``: what it asks, what it tells, and when it removes nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import attrs
import click
from click.testing import CliRunner
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.backends import Backends
from lfsproxy.broker.no_publisher import NoLog
from lfsproxy.cli import gc as command
from lfsproxy.cli.console import Screen
from lfsproxy.cli.failures import Failure
from lfsproxy.cli.upkeep import Ended, Job
from lfsproxy.errors import BrokerUnavailable, SettingError, UnreadableLog
from lfsproxy.quoting import printable
from lfsproxy.settings import LoadedSettings, Settings
from lfsproxy.testing import MemoryMetrics, MemoryPublisher
from lfsproxy.upkeep.orphans.book import Book
from tests.upkeep.bucket import HOUR, OrphansTestCase, key_of


class Person(Screen):
    """Sees what is told, and answers."""

    def __init__(self, answer: str = "") -> None:
        super().__init__(quiet=True)
        self.answer = answer
        self.told: list[str] = []

    def note(self, line: str) -> None:
        self.told.append(printable(line))


@attrs.frozen
class AnsweredJob(Job):
    """A job whose person answers at once."""

    def ask(self, question: str) -> str:
        assert isinstance(self.screen, Person)
        self.screen.told.append(question)
        return self.screen.answer


class GcTests(OrphansTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.person = Person()
        self.closed = 0
        self.publisher = MemoryPublisher()
        self.settings = Settings()
        self.patch(command, "make_backends", lambda *_: self.backends())
        self.patch(command, "in_thread", lambda reactor: maybeDeferred)

    def backends(self) -> Backends:
        def close() -> Any:
            self.closed += 1
            return succeed(None)

        return Backends(self.store, self.publisher, NoLog(), (close,), self.kafka)

    def begin(self, **options: Any) -> Deferred[Ended]:  # type: ignore[override]
        loaded = LoadedSettings(self.settings, {})
        job = AnsweredJob(self.clock, loaded, {}, MemoryMetrics(), self.person, False)
        given = {
            "topics": ("*",),
            "min_age": 24 * HOUR,
            "deletes": False,
            "yes": False,
            "gone": (),
            "path": None,
            "unsafe": False,
            **options,
        }
        callback: Any = command.gc.callback
        return Deferred.fromCoroutine(callback.__wrapped__(job, **given))

    def gc(self, **options: Any) -> Ended:
        ended = self.successResultOf(self.begin(**options))
        self.assertEqual(self.closed, 1)
        return ended

    def fill(self) -> tuple[str, Sequence[str]]:
        """A blob that is named, and two that are not."""
        kept = self.put("kept")
        self.name(kept)
        return kept, sorted([self.put("a"), self.put("b")])

    def test_by_default_nothing_is_removed(self) -> None:
        kept, orphans = self.fill()
        ended = self.gc()
        self.assertTrue(ended.findings)
        self.assertEqual(self.keys, sorted([kept, *orphans]))
        expected = {"blobs": 3, "referenced": 1, "orphans": 2, "orphan_bytes": 8, "uploads": 0}
        expected |= {"deleted": 0, "aborted": 0, "topics": 1, "partitions": 1}
        self.assertEqual({name: ended.summary[name] for name in expected}, expected)
        self.assertIn(
            "2  named by nothing, to be removed: 8 bytes\n              'clips': 2, 8 bytes", ended.text
        )

    def test_a_person_types_the_number(self) -> None:
        kept, _ = self.fill()
        self.patch(sys.stdin, "isatty", lambda: True)
        self.person.answer = "2"
        ended = self.gc(deletes=True)
        self.assertEqual(self.keys, [kept])
        self.assertFalse(ended.findings)
        self.assertEqual((ended.summary["deleted"], ended.summary["deleted_bytes"]), (2, 8))
        *found, question = self.person.told
        self.assertEqual(
            found[2:], [f"{2:>12}  named by nothing, to be removed: 8 bytes", f"{'':14}'clips': 2, 8 bytes"]
        )
        self.assertEqual(question, "To remove them, type their number (2):")
        self.assertIn("2  named by nothing", ended.text)

    def test_what_a_terminal_shows_already_is_not_said_twice(self) -> None:
        self.fill()
        self.patch(sys.stdin, "isatty", lambda: True)
        self.patch(Person, "width", 80)
        self.person.answer = "no"
        self.assertEqual(self.gc(deletes=True).text, "Nothing was removed.")
        self.closed = 0
        self.person.answer = "2"
        self.assertEqual(self.gc(deletes=True).text, "Removed: 2 blobs (8 bytes) and 0 unfinished uploads.")
        self.closed = 0
        self.assertIn("in the bucket", self.gc(deletes=True).text)

    def test_unfinished_uploads_alone_are_removed_as_well(self) -> None:
        self.name(self.put("kept"))
        self.begin_upload(key_of("b"))
        self.assertTrue(self.gc().findings)
        self.closed = 0
        ended = self.gc(deletes=True, yes=True)
        self.assertEqual((ended.findings, ended.summary["aborted"]), (False, 1))
        self.assertIn("Removed: 0 blobs (0 bytes) and 1 unfinished upload.", ended.text)

    def test_one_is_no_plural(self) -> None:
        self.name(self.put("kept"))
        self.put("a")
        text = self.gc(deletes=True, yes=True).text
        self.assertTrue(text.startswith("2 blobs ("), text)
        self.assertIn("read: 1 topic with 1 partition\n", text)
        self.assertIn("Removed: 1 blob (", text)

    def test_what_is_young_again_when_a_person_has_answered_stays(self) -> None:
        kept, orphans = self.fill()
        self.patch(sys.stdin, "isatty", lambda: True)
        self.person.answer = "2"
        told = self.person.note

        def note(line: str) -> None:
            self.put("restored", key=orphans[0], age=0)
            told(line)

        self.patch(self.person, "note", note)
        self.assertEqual(self.gc(deletes=True).summary["deleted"], 1)
        self.assertEqual(self.keys, sorted([kept, orphans[0]]))

    def test_any_other_answer_removes_nothing(self) -> None:
        self.fill()
        self.patch(sys.stdin, "isatty", lambda: True)
        for answer in ("", "y", "3"):
            self.closed = 0
            self.person.answer = answer
            ended = self.gc(deletes=True)
            self.assertTrue(ended.findings)
            self.assertIn("Nothing was removed.", ended.text)
            self.assertEqual(len(self.keys), 3)

    def test_with_yes_nobody_is_asked(self) -> None:
        kept, _ = self.fill()
        self.gc(deletes=True, yes=True)
        self.assertEqual((self.keys, self.person.told), ([kept], []))

    def test_without_a_terminal_yes_is_needed(self) -> None:
        self.fill()
        self.patch(sys.stdin, "isatty", lambda: False)
        self.failureResultOf(self.begin(deletes=True), click.UsageError)
        self.assertEqual(len(self.keys), 3)

    def test_nothing_to_remove(self) -> None:
        self.name(self.put("kept"))
        self.patch(sys.stdin, "isatty", lambda: True)
        ended = self.gc(deletes=True)
        self.assertEqual((ended.findings, self.person.told), (False, []))

    def test_less_than_an_hour_is_refused(self) -> None:
        self.put("a", age=HOUR)
        failure = self.failureResultOf(self.begin(min_age=HOUR - 1), click.UsageError)
        self.assertIn("without --unsafe", str(failure.value))
        self.assertEqual(self.gc(min_age=HOUR - 1, unsafe=True).summary["orphans"], 1)

    def test_a_cluster_that_names_no_blob_at_all_is_not_believed(self) -> None:
        self.put("a")
        failure = self.failureResultOf(self.begin(deletes=True, yes=True), Failure)
        self.assertIn("Is this the Kafka cluster that they belong to?", str(failure.value))
        self.assertEqual(failure.value.exit_code, 2)
        self.assertEqual(len(self.keys), 1)
        self.closed = 0
        self.gc(deletes=True, yes=True, unsafe=True)
        self.assertEqual(self.keys, [])

    def test_what_cannot_be_read_removes_nothing(self) -> None:
        self.fill()
        self.kafka.fail_next("look", UnreadableLog("clips, partition 0, cannot be read"))
        self.failureResultOf(self.begin(deletes=True, yes=True), UnreadableLog)
        self.assertEqual((len(self.keys), self.closed), (3, 1))

    def test_an_identity_is_needed(self) -> None:
        self.patch(command, "make_backends", lambda *_: attrs.evolve(self.backends(), reading=None))
        failure = self.failureResultOf(self.begin(), SettingError)
        self.assertIn("LFS_KAFKA_SASL_MECHANISM", str(failure.value))
        self.assertEqual(self.closed, 1)

    def test_what_could_not_be_removed_is_a_finding(self) -> None:
        _, (first, _) = self.fill()
        self.store.index.undeletable = {first: "AccessDenied: it is locked"}
        ended = self.gc(deletes=True, yes=True)
        self.assertTrue(ended.findings)
        self.assertEqual((ended.summary["deleted"], ended.summary["not_deleted"]), (1, 1))
        self.assertIn(f"'{first}': AccessDenied: it is locked", ended.text)

    def test_a_file_to_resume_from_stays_until_nothing_is_left(self) -> None:
        self.fill()
        path = self.mktemp()
        self.kafka.fail_next("look", UnreadableLog("away"))
        self.failureResultOf(self.begin(path=path), UnreadableLog)
        self.assertTrue(os.path.exists(path))
        self.closed = 0
        self.store.index.hold("prefixes")
        self.assertEqual(self.gc(path=path).summary["orphans"], 2)
        self.assertIn("the bucket is not listed again", self.person.told[-1])
        self.assertTrue(os.path.exists(path))
        self.store.index.let_go("prefixes")
        self.closed = 0
        self.gc(path=path, deletes=True, yes=True)
        self.assertFalse(os.path.exists(path))

    def test_a_file_of_something_else_is_refused(self) -> None:
        path = self.mktemp()
        self.kafka.fail_next("topics", UnreadableLog("away"))
        self.failureResultOf(self.begin(path=path), UnreadableLog)
        failure = self.failureResultOf(self.begin(path=path, min_age=2 * HOUR), click.UsageError)
        self.assertIn("--resume", str(failure.value))
        self.assertTrue(os.path.exists(path))

    def test_a_disk_that_is_full(self) -> None:
        self.fill()
        path = "/dev/full"
        failure = self.failureResultOf(self.begin(path=path))
        self.assertIn("/dev/full", str(failure.value))

    def test_a_disk_that_gets_full_on_the_way(self) -> None:
        """At each of the writes in turn. SQLite's own limit stands for the disk's."""
        kept = [self.put(f"kept {number}") for number in range(60)]
        self.name(*kept[:30])
        self.name(*kept[30:])
        orphans = [self.put(f"orphan {number}") for number in range(60)]
        ends = []
        for pages in range(12, 52, 4):

            class Small(Book):
                def __init__(self, path: str, subject: str, most: int = pages) -> None:
                    super().__init__(path, subject)
                    self._file.execute(f"PRAGMA max_page_count = {most}")

            self.patch(command, "Book", Small)
            ended = self.begin(deletes=True, yes=True)
            results: list[Any] = []
            ended.addBoth(results.append)
            ends.append(isinstance(results[0], Ended))
            if not ends[-1]:
                self.assertIn("TMPDIR", str(results[0].value))
            self.assertEqual(set(kept) - set(self.keys), set())
        self.assertEqual((ends[0], ends[-1]), (False, True))
        self.assertEqual(set(orphans) & set(self.keys), set())

    def test_where_kafka_is_away_the_bucket_is_not_listed(self) -> None:
        self.fill()
        self.publisher.fail_next("check", BrokerUnavailable("nobody listens"))
        self.patch(command, "_search", None)
        self.failureResultOf(self.begin(), BrokerUnavailable)
        self.assertEqual(self.closed, 1)

    def test_blobs_of_topics_that_were_not_read_are_told(self) -> None:
        self.put("a", "others")
        ended = self.gc()
        self.assertIn("1  of topics that were not read, to stay: 'others'", ended.text)
        self.assertEqual((ended.findings, ended.summary["unread_topics"]), (False, ["others"]))

    def test_the_key_of_a_blob_is_told_nowhere_but_where_it_failed(self) -> None:
        self.fill()
        self.assertNotIn(key_of("a"), self.gc().text)


class OptionTests(SynchronousTestCase):
    def told(self, *arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command.gc, arguments)
        return done.exit_code, done.output

    def test_help(self) -> None:
        code, said = self.told("--help")
        self.assertEqual(code, 0)
        self.assertIn(
            "If one partition cannot be read to its end, nothing is removed", " ".join(said.split())
        )

    def test_what_is_not_understood(self) -> None:
        for option, text in (("--min-age", "soon"), ("--topics", ""), ("--deleted-topics", "a b")):
            code, said = self.told(option, text)
            self.assertEqual((code, option in said), (2, True), said)
