"""What was seen so far, on disk: blobs of the bucket, names in the log, and how far partitions were read.

Sets of any size are appended as they come, sorted by SQLite on disk when all are there, and walked side by
side: the memory is SQLite's cache, whatever the number of blobs. A name is the 16 bytes of the uuid in a
blob's key, so that the comparison is exact. What was read of a partition is written in one transaction with
the names found there: a book that is opened again goes on where it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Final

import attrs

CACHE_KIB: Final = 32 * 1024
"""SQLite's cache, in KiB; sorting takes as much once more."""
FORMAT: Final = 1
"""Of the file: one of another format is refused."""

_TABLES: Final = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE blobs (id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL,
                    size INTEGER NOT NULL, old INTEGER NOT NULL);
CREATE TABLE uploads (key TEXT NOT NULL, upload_id TEXT NOT NULL, uuid BLOB NOT NULL,
                      PRIMARY KEY (key, upload_id)) WITHOUT ROWID;
CREATE TABLE held (uuid BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE named (uuid BLOB NOT NULL);
CREATE TABLE places (topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
                     next INTEGER NOT NULL, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE judged (topic TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE unnamed (id INTEGER PRIMARY KEY);
CREATE TABLE orphans (key TEXT PRIMARY KEY, id INTEGER NOT NULL, topic TEXT NOT NULL,
                      size INTEGER NOT NULL) WITHOUT ROWID;
"""


@attrs.frozen
class SeenBlob:
    """A blob in the bucket; ``old``: its age lets it be removed. ``size`` is in bytes, ``uuid`` the 16 bytes
    of the one in its key."""

    uuid: bytes
    topic: str
    key: str
    size: int
    old: bool


@attrs.frozen
class Sum:
    """So many blobs, of so many bytes together."""

    count: int = 0
    size: int = 0


class Book:
    """In the file ``path``; "" is one without a name, which is gone when it is closed.

    ``subject`` is what the book is about. A file that is about another subject, or is no book, is refused
    with ValueError, and stays as it is.
    """

    def __init__(self, path: str, subject: str) -> None:
        # Steps that sort run in threads, one at a time.
        self._sorting = Lock()
        self._is_closed = False
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._open(path, subject)
        except BaseException:
            self._file.close()
            raise

    def _open(self, path: str, subject: str) -> None:
        run = self._file.execute
        try:
            run(f"PRAGMA cache_size = -{CACHE_KIB}")
            run("PRAGMA temp_store = FILE")
            run("PRAGMA locking_mode = EXCLUSIVE")
            (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
            if tables:
                self._must_be_about(path, subject)
            # Only now, as it changes the file. One without a name is of no use after a crash.
            run(f"PRAGMA journal_mode = {'WAL' if path else 'MEMORY'}")
            run(f"PRAGMA synchronous = {'NORMAL' if path else 'OFF'}")
            with self._at_once():
                if not tables:
                    for statement in _TABLES.split(";"):
                        run(statement)
                    self._note("subject", subject)
                    self._note("format", str(FORMAT))
                # Without an id nothing tells whether a topic is the one that was read: it may have been made
                # anew, or be that of another cluster.
                run("DELETE FROM places WHERE topic_id = ''")
        except sqlite3.OperationalError as error:
            raise ValueError(f"{path}: {error}") from None
        except sqlite3.DatabaseError:
            raise ValueError(f"{path} is no file of lfsproxy gc") from None

    def _must_be_about(self, path: str, subject: str) -> None:
        if self._fact("format") != str(FORMAT):
            raise ValueError(f"{path} is of another version of lfsproxy: remove it to begin anew")
        if (found := self._fact("subject")) != subject:
            raise ValueError(f"{path} is about something else: {found}, not {subject}")

    def close(self) -> None:
        """Also while a thread sorts, which ends by that. May be called more than once."""
        if self._is_closed:
            return
        self._is_closed = True
        self._file.interrupt()
        with self._sorting:
            self._file.close()

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """One transaction."""
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def _fact(self, name: str) -> str:
        found = self._file.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return "" if found is None else str(found[0])

    def _note(self, name: str, value: str) -> None:
        self._file.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # The bucket

    @property
    def is_listed(self) -> bool:
        """Whether the bucket was listed to its end."""
        return bool(self._fact("listed"))

    @property
    def odd(self) -> int:
        """How many objects have keys that no proxy makes."""
        return int(self._fact("odd") or 0)

    def begin_list(self) -> None:
        """Forget what an earlier list that did not end has left."""
        with self._at_once():
            self._file.execute("DROP INDEX IF EXISTS blobs_by_uuid")
            for table in ("blobs", "uploads", "held"):
                self._file.execute(f"DELETE FROM {table}")
            self._note("odd", "0")

    def add_blobs(self, blobs: Iterable[SeenBlob], odd: int) -> None:
        """A page of the list; ``odd`` objects of it have other keys."""
        rows = [(one.uuid, one.topic, one.key, one.size, one.old) for one in blobs]
        with self._at_once():
            self._file.executemany(
                "INSERT INTO blobs (uuid, topic, key, size, old) VALUES (?, ?, ?, ?, ?)", rows
            )
            if odd:
                self._note("odd", str(self.odd + odd))

    def add_uploads(self, uploads: Iterable[tuple[str, str, bytes]]) -> None:
        """Unfinished uploads that are old: key, id and the uuid in the key."""
        with self._at_once():
            self._file.executemany("INSERT OR IGNORE INTO uploads VALUES (?, ?, ?)", uploads)

    def hold(self, uuids: Iterable[bytes]) -> None:
        """Blobs, or unfinished uploads, that somebody may still be at work on."""
        with self._at_once():
            rows = [(uuid,) for uuid in uuids]
            self._file.executemany("INSERT OR IGNORE INTO held VALUES (?)", rows)

    def end_list(self) -> None:
        """The list is whole."""
        with self._at_once():
            self._note("listed", "yes")

    def blob_topics(self) -> list[str]:
        """The topics in the keys of blobs."""
        return [name for (name,) in self._file.execute("SELECT DISTINCT topic FROM blobs ORDER BY topic")]

    # The log

    def place(self, topic: str, topic_id: str, partition: int) -> int | None:
        """Up to where a partition was read; None where it was not, or the topic was made anew since."""
        row = self._file.execute(
            "SELECT next FROM places WHERE topic = ? AND partition = ? AND topic_id = ?",
            (topic, partition, topic_id),
        ).fetchone()
        return None if row is None else int(row[0])

    def add_names(
        self, topic: str, topic_id: str, partition: int, next_offset: int, names: Iterable[bytes]
    ) -> None:
        """The partition was read up to ``next_offset``, and these uuids were found on the way."""
        with self._at_once():
            self._file.executemany("INSERT INTO named VALUES (?)", [(name,) for name in names])
            self._file.execute(
                "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)", (topic, topic_id, partition, next_offset)
            )

    # What comes of both

    def judge(self, topics: Sequence[str]) -> None:
        """Sort, and find the orphans: old blobs of ``topics`` that nothing names or holds. Takes its time."""
        run = self._file.execute
        with self._sorting, self._at_once():
            for table in ("judged", "unnamed", "orphans"):
                run(f"DELETE FROM {table}")
            self._file.executemany("INSERT OR IGNORE INTO judged VALUES (?)", [(name,) for name in topics])
            run("CREATE INDEX IF NOT EXISTS blobs_by_uuid ON blobs (uuid)")
            run("CREATE INDEX IF NOT EXISTS named_by_uuid ON named (uuid)")
            # Both in the order of their uuids: neither is looked up here and there on a disk.
            run(
                "INSERT INTO unnamed SELECT id FROM blobs INDEXED BY blobs_by_uuid WHERE uuid >= x''"
                " AND NOT EXISTS (SELECT 1 FROM named WHERE named.uuid = blobs.uuid) ORDER BY uuid"
            )
            run(
                "INSERT INTO orphans SELECT key, id, topic, size FROM unnamed JOIN blobs USING (id)"
                " WHERE old AND topic IN (SELECT topic FROM judged) AND uuid NOT IN (SELECT uuid FROM held)"
            )

    def reopen(self) -> None:
        """More names are to come."""
        self._file.execute("DROP INDEX IF EXISTS named_by_uuid")

    def all_blobs(self) -> Sum:
        """All that were listed, and not removed since."""
        return self._sum("blobs")

    def orphans(self) -> Sum:
        return self._sum("orphans")

    def young(self) -> Sum:
        """Those that nothing names, but are too young to be removed."""
        return self._sum("unnamed JOIN blobs USING (id) WHERE NOT old")

    def held(self) -> Sum:
        """Those that nothing names, but a resumable upload may still publish."""
        return self._sum("unnamed JOIN blobs USING (id) WHERE old AND uuid IN (SELECT uuid FROM held)")

    def unjudged(self) -> Mapping[str, Sum]:
        """Those of topics that were not read, by topic; others than the young and the held."""
        return self._by_topic(
            "unnamed JOIN blobs USING (id) WHERE old AND uuid NOT IN (SELECT uuid FROM held)"
            " AND topic NOT IN (SELECT topic FROM judged)"
        )

    def orphans_by_topic(self) -> Mapping[str, Sum]:
        return self._by_topic("orphans")

    def unnamed(self) -> int:
        """How many blobs nothing names, whatever else is with them."""
        (count,) = self._file.execute("SELECT count(*) FROM unnamed").fetchone()
        return int(count)

    def _sum(self, what: str) -> Sum:
        return Sum(*self._file.execute(f"SELECT count(*), coalesce(sum(size), 0) FROM {what}").fetchone())

    def _by_topic(self, what: str) -> Mapping[str, Sum]:
        rows = self._file.execute(
            f"SELECT topic, count(*), coalesce(sum(size), 0) FROM {what} GROUP BY topic ORDER BY topic"
        )
        return {topic: Sum(count, size) for topic, count, size in rows}

    # What is removed

    def orphans_between(self, first: str, last: str) -> Mapping[str, int]:
        """The sizes of the orphans whose keys are from ``first`` to ``last``."""
        rows = self._file.execute("SELECT key, size FROM orphans WHERE key BETWEEN ? AND ?", (first, last))
        return dict(rows)

    def forget(self, keys: Iterable[str]) -> None:
        """They are not in the bucket any more."""
        rows = [(key,) for key in keys]
        with self._at_once():
            self._file.executemany(
                "DELETE FROM blobs WHERE id IN (SELECT id FROM orphans WHERE key = ?)", rows
            )
            self._file.executemany("DELETE FROM orphans WHERE key = ?", rows)

    def uploads(self) -> int:
        """How many unfinished uploads are old, and nobody is at work on them."""
        (count,) = self._file.execute(f"SELECT count(*) FROM {_LOST_UPLOADS}").fetchone()
        return int(count)

    def some_uploads(self, most: int, after: tuple[str, str] = ("", "")) -> list[tuple[str, str]]:
        """The next of them, each with its key and id."""
        return self._file.execute(
            f"SELECT key, upload_id FROM {_LOST_UPLOADS} AND (key, upload_id) > (?, ?)"
            " ORDER BY key, upload_id LIMIT ?",
            (*after, most),
        ).fetchall()


_LOST_UPLOADS: Final = "uploads WHERE uuid NOT IN (SELECT uuid FROM held)"
