"""Replicas and the S3 server are killed under load; and what the inspection afterwards would find.

``python -m benchmarks.kills`` has a longer storm, and waits for what takes 60 s to be known.
"""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

from botocore.exceptions import ClientError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.integration.clients.records import Record
from tests.integration.renumbered import is_renumbered
from tests.integration.stack import BUCKET, Stack, in_thread, own_s3, stack
from tests.integration.storm.bucket import Bucket
from tests.integration.storm.inspection import Findings, inspect
from tests.integration.storm.notes import Door, Journal, Note, Outcome, Place
from tests.integration.storm.run import observe

SECONDS = 5.0
SEED = 19
"""Has every server killed within these seconds."""
DATA = b"what was sent"
DIGEST = hashlib.sha256(DATA).hexdigest()


class StormTests(TestCase):
    timeout = 200

    async def test_no_promise_is_broken(self) -> None:
        servers = Stack((await stack()).kafka, await own_s3(self), BUCKET)
        storm = await in_thread(observe, servers, seed=SEED, seconds=SECONDS, settling=5.0)
        self.assertEqual(storm.broken, [])
        self.assertGreaterEqual(min(storm.kills.values()), 1)
        for door in Door:
            self.assertGreater(storm.findings.rows[door].acknowledged, 0, door)


class Blobs:
    """The part of boto3's client that is asked, over a dict."""

    def __init__(self, blobs: dict[str, bytes]) -> None:
        self.blobs = blobs

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.blobs:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": ""}}, "GetObject")
        return {"Body": Body(self.blobs[Key])}


class Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Any:
        return iter(lambda: self.read(size), b"")


def envelope(key: str) -> bytes:
    return json.dumps(
        {
            "lfs_version": 1,
            "s3_bucket": BUCKET,
            "s3_key": key,
            "content_type": "application/octet-stream",
            "content_length": len(DATA),
            "checksum_algo": "sha256",
            "checksum": DIGEST,
        }
    ).encode()


class InspectionTests(SynchronousTestCase):
    """One upload by tus, whose blob is at ``KEY``."""

    KEY = "lfs/default/tus/0/0-a.bin"

    def setUp(self) -> None:
        self.journal = Journal()
        self.note: Note = self.journal.note(Door.TUS, "tus", "one", DIGEST, len(DATA))
        self.bucket = Bucket(BUCKET, {self.KEY: len(DATA)})
        self.blobs = {self.KEY: DATA}

    def inspect(self, *records: Record) -> Findings:
        return inspect(self.journal, {b"one": list(records)}, Blobs(self.blobs), self.bucket)

    def record(self, offset: int) -> Record:
        return Record(envelope(self.KEY), key=b"one", offset=offset)

    def assertBroken(self, findings: Findings, words: str) -> None:
        self.assertEqual(len(findings.broken), 1, findings.broken)
        self.assertIn(words, findings.broken[0])

    def test_what_was_acknowledged_and_is_there_is_in_order(self) -> None:
        self.note.told(0, 7)
        findings = self.inspect(self.record(7))
        self.assertEqual((findings.broken, findings.envelopes), ([], 1))

    def test_an_unknown_outcome_may_be_there_or_not(self) -> None:
        self.assertEqual(self.inspect(self.record(7)).broken, [])
        self.assertEqual(self.inspect().broken, [])

    def test_lost(self) -> None:
        self.note.told(0, 7)
        self.assertBroken(self.inspect(), "tus one is lost")

    def test_elsewhere(self) -> None:
        self.note.told(0, 6)
        self.assertBroken(self.inspect(self.record(7)), "was acknowledged at [(0, 6)], it is at [(0, 7)]")

    def test_twice(self) -> None:
        findings = self.inspect(self.record(7), self.record(8))
        self.assertEqual(findings.rows[Door.TUS].twice, 1)
        self.assertIn("tus one is there 2 times: [(0, 7), (0, 8)]", findings.broken)

    def test_twice_by_the_doing_of_its_client(self) -> None:
        published = {b"one": [self.record(7), self.record(8)]}

        def sent_anew(topic: str, places: set[Place]) -> bool:
            self.assertEqual((topic, places), ("tus", {(0, 7), (0, 8)}))
            return True

        findings = inspect(self.journal, published, Blobs(self.blobs), self.bucket, sent_anew)
        self.assertEqual(findings.sent_anew, ["tus one is there 2 times: [(0, 7), (0, 8)]"])
        self.assertEqual(findings.rows[Door.TUS].twice, 0)

    def test_copies_are_their_clients_doing_if_it_sent_each_under_an_epoch_of_its_own(self) -> None:
        self.assertTrue(is_renumbered([(5, 0), (5, 1), (5, 3)]))
        for others in ([(5, 0), (5, 0)], [(5, 0), (5, 1), (5, 1)], [(5, 0), (6, 1)], [(-1, -1), (-1, -1)]):
            self.assertFalse(is_renumbered(others), others)

    def test_refused_and_published(self) -> None:
        self.note.outcome = Outcome.REFUSED
        self.assertBroken(self.inspect(self.record(7)), "refused")

    def test_unknown_for_good_and_published(self) -> None:
        self.note.outcome = Outcome.STAYS_UNKNOWN
        self.assertBroken(self.inspect(self.record(7)), "outcome-unknown for good")

    def test_what_the_store_lost_is_listed_and_may_not_be_published(self) -> None:
        self.note.outcome = Outcome.STORE_LOST
        findings = self.inspect()
        self.assertEqual((findings.store_lost, findings.broken), (["one"], []))
        self.assertBroken(self.inspect(self.record(7)), "502 again and again")

    def test_dangling(self) -> None:
        self.blobs.clear()
        self.assertBroken(self.inspect(self.record(7)), "the blob is not there")

    def test_other_bytes(self) -> None:
        self.blobs[self.KEY] = b"what was never"
        self.assertBroken(self.inspect(self.record(7)), "the blob has other bytes")

    def test_nobody_sent_it(self) -> None:
        findings = inspect(Journal(), {b"one": [self.record(7)]}, Blobs(self.blobs), self.bucket)
        self.assertIn("nobody sent it", findings.broken[0])

    def test_a_blob_that_no_record_names_is_explained_by_an_unknown_outcome(self) -> None:
        self.assertEqual(self.inspect().unexplained, [self.KEY])
        self.bucket.unknown.add(self.KEY)
        findings = self.inspect()
        self.assertEqual((findings.unexplained, findings.rows[Door.TUS].orphans), ([], 1))

    def test_a_producers_records_out_of_order(self) -> None:
        records = {}
        for number, offset in ((1, 8), (2, 7)):
            value = b"%d" % number
            note = self.journal.note(Door.PLAIN, "tus", f"p-{number}", hashlib.sha256(value).hexdigest(), 1)
            note.told(0, offset)
            records[note.key] = [Record(value, key=note.key, offset=offset)]
        findings = inspect(self.journal, records, Blobs({}), self.bucket)
        self.assertBroken(findings, "b'p-2' at 7 is before b'p-1' at 8")
