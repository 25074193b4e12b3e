"""fsck: what is found, what is not, and what is told of it."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.defer import Deferred

from lfsproxy.envelope import Envelope
from lfsproxy.errors import BrokerUnavailable, SettingError, StoreRefused, StoreUnavailable, UnreadableLog
from lfsproxy.upkeep.findings import blobs as blobs_module
from lfsproxy.upkeep.findings.blobs import ASKED_AT_ONCE, READ_AT_ONCE
from lfsproxy.upkeep.findings.found import KEPT, Counts, Finding
from tests.upkeep.findings_rig import BUCKET, PARTITIONS, TIME, FindingsTestCase
from tests.wire.helpers import CODECS, batch_of, raw_records


class BlobTests(FindingsTestCase):
    def test_whole_blobs_are_no_finding(self) -> None:
        self.append("photos", b"plain", self.envelope("photos").to_bytes(), None)
        self.append("other", b"plain")
        state = self.look(verify=True)
        self.assertEqual(self.told, [])
        self.assertEqual(state.total(), Counts(records=4, envelopes=1))
        self.assertEqual((self.total, sum(self.passed)), (4, 4))

    def test_a_blob_that_is_gone_dangles(self) -> None:
        there, gone = self.envelope("photos"), self.envelope("photos")
        del self.blobs[gone.s3_key]
        self.append("photos", there.to_bytes(), gone.to_bytes())
        state = self.look()
        self.assertEqual(state.total(), Counts(records=2, envelopes=2, dangling=1))
        (told,) = self.told
        self.assertEqual(
            (told.kind, told.topic, told.partition, told.offset, told.timestamp, told.key),
            ("dangling", "photos", 0, 1, TIME + 1, b"k1"),
        )
        self.assertEqual(told.why, f"the blob {BUCKET}/{gone.s3_key} is gone")
        self.assertIn("bring the blob back", told.todo)
        self.assertEqual(state.findings, [told.to_json()])

    def test_another_length(self) -> None:
        changed = self.envelope("photos", b"data")
        self.put(changed, b"more data")
        self.append("photos", changed.to_bytes())
        self.assertEqual(self.look().total(), Counts(records=1, envelopes=1, wrong_length=1))
        self.assertEqual((self.told[0].expected, self.told[0].actual), (4, 9))

    def test_other_bytes_of_the_same_length_are_found_when_verified(self) -> None:
        changed = self.envelope("photos", b"data")
        self.put(changed, b"tada")
        self.append("photos", changed.to_bytes())
        self.look()
        self.assertEqual(self.told, [])
        self.assertEqual(self.look(verify=True).total(), Counts(records=1, envelopes=1, wrong_checksum=1))
        actual = hashlib.sha256(b"tada").hexdigest()
        self.assertEqual((self.told[0].expected, self.told[0].actual), (changed.checksum, actual))
        self.assertEqual(self.store.source.open_downloads, 0)

    def test_an_empty_blob(self) -> None:
        self.append("photos", self.envelope("photos", b"").to_bytes())
        self.assertEqual(self.look(verify=True).total(), Counts(records=1, envelopes=1))

    def test_offsets_without_a_record_at_the_end_are_passed(self) -> None:
        self.append("photos", b"plain")
        marker = batch_of(raw_records([(b"", b"", [])]), 1, attributes=0x30)
        self.log.logs["photos"][0].append(marker)
        place, *_ = self.look(partitions={0}).places
        self.assertEqual((place.next, self.passed), (2, [1, 1]))

    def test_each_codec(self) -> None:
        for codec, _ in CODECS:
            gone = self.envelope("photos")
            del self.blobs[gone.s3_key]
            self.append("photos", b"plain", gone.to_bytes(), codec=codec)
        total = self.look().total()
        self.assertEqual(total, Counts(records=12, envelopes=6, dangling=6))
        self.assertEqual([told.offset for told in self.told], [1, 3, 5, 7, 9, 11])

    def test_the_older_envelope_is_followed_where_its_prefix_is_allowed(self) -> None:
        value = self.older("ns/photos/lfs/2026/01/31/obj-1")
        self.append("photos", value)
        self.assertEqual(self.look().total(), Counts(records=1, envelopes=1, foreign=1))
        del self.blobs["ns/photos/lfs/2026/01/31/obj-1"]
        total = self.look(prefixes=("ns/photos/lfs/",)).total()
        self.assertEqual(total, Counts(records=1, envelopes=1, dangling=1))

    def test_forged_envelopes_are_not_followed(self) -> None:
        forged = [
            self.envelope("photos", s3_bucket="secrets"),
            self.envelope("photos", s3_key="lfs/default/others/0/1-x.bin"),
            self.envelope("photos", s3_key="lfs/default/photos/../others/1"),
        ]
        self.blobs.clear()
        self.store.source.fail_next("size_of", StoreRefused("asked of a forged place"))
        self.append("photos", *(each.to_bytes() for each in forged))
        self.assertEqual(self.look().total(), Counts(records=3, envelopes=3, foreign=3))
        self.assertEqual(self.told, [])

    def test_what_is_meant_as_an_envelope_and_is_none(self) -> None:
        self.append(
            "photos",
            b'{"lfs_version":9,"s3_bucket":"b","s3_key":"k"}',
            b'{"lfs_version":1,"s3_bucket":"b","s3_key":"k"}',
            b'{"lfs_version":"1"}',
        )
        self.assertEqual(self.look().total(), Counts(records=3, envelopes=2, invalid=2))
        self.assertIn("lfs_version 9", self.told[0].why)
        self.assertIn("content_type is missing", self.told[1].why)

    def count_asked(self) -> list[str]:
        asked: list[str] = []
        real = self.store.source.size_of

        async def size_of(key: str) -> int | None:
            asked.append(key)
            return await real(key)

        self.patch(self.store.source, "size_of", size_of)
        return asked

    def test_copies_are_asked_for_once(self) -> None:
        asked = self.count_asked()
        one = self.envelope("photos")
        for topic in ("photos", "photos-dead"):
            self.append(topic, one.to_bytes(), one.to_bytes())
            self.append(topic, one.to_bytes())
        total = self.look(prefixes=("lfs/",)).total()
        self.assertEqual((asked, total.envelopes), ([one.s3_key], 6))

    def test_only_so_many_answers_are_remembered(self) -> None:
        self.patch(blobs_module, "REMEMBERED", 2)
        asked = self.count_asked()
        first, second, third = (self.envelope("photos") for _ in range(3))
        for each in (first, second, first, third, first, second):
            self.append("photos", each.to_bytes())
        self.look()
        self.assertEqual(asked, [each.s3_key for each in (first, second, third, second)])

    def held(self, call: str, most: int, **options: Any) -> None:
        self.append("photos", *(self.envelope("photos").to_bytes() for _ in range(2 * most)))
        self.store.source.hold(call)
        going = self.begin(self.fsck(**options).run())
        self.assertEqual(self.store.source.held(call), most)
        self.store.source.let_go_one(call)
        self.go_on()
        self.assertEqual(self.store.source.held(call), most)
        self.store.source.let_go(call)
        self.go_on()
        self.assertEqual(self.successResultOf(going).total().envelopes, 2 * most)

    def test_the_store_is_asked_for_so_many_at_once(self) -> None:
        self.held("size_of", ASKED_AT_ONCE)

    def test_so_many_blobs_are_read_at_once(self) -> None:
        self.held("open", READ_AT_ONCE, verify=True)


class TroubleTests(FindingsTestCase):
    def two(self) -> tuple[Envelope, Envelope]:
        found = self.envelope("photos"), self.envelope("photos")
        self.append("photos", *(each.to_bytes() for each in found))
        return found

    def test_one_blob_that_cannot_be_read(self) -> None:
        for error in (StoreUnavailable("a disk is broken"), StoreRefused("this key is forbidden")):
            self.two()
            self.told.clear()
            self.store.source.fail_next("size_of", error)
            self.look()
            self.assertEqual([(told.kind, told.why) for told in self.told], [("unreadable", str(error))])

    def test_a_store_that_is_away_ends_the_look(self) -> None:
        self.two()
        self.append("photos", self.envelope("photos").to_bytes())
        self.append("photos", b"last")
        fsck = self.fsck()
        self.store.source.hold("size_of")
        going = self.begin(fsck.run())
        self.store.blobs.fail_next("check", StoreUnavailable("S3 is away"))
        self.store.source.fail_next("size_of", StoreUnavailable("no answer"))
        self.store.source.let_go("size_of")
        self.go_on()
        self.assertEqual(str(self.failureResultOf(going, StoreUnavailable).value), "S3 is away")
        self.assertEqual((self.told, sum(self.passed)), ([], 0))

    def test_a_store_that_is_away_from_the_beginning(self) -> None:
        self.store.blobs.fail_next("check", StoreRefused("no such bucket"))
        self.log.hold("topics")
        self.failureResultOf(self.begin(self.fsck().run()), StoreRefused)
        self.assertEqual(self.log.held("topics"), 0)

    def test_a_record_that_expires_meanwhile_is_no_finding(self) -> None:
        gone, _ = self.two()
        del self.blobs[gone.s3_key]
        self.store.source.hold("size_of")
        going = self.begin(self.fsck().run())
        self.log.logs["photos"][0].first = 2
        self.store.source.let_go("size_of")
        self.go_on()
        self.assertEqual(self.successResultOf(going).total(), Counts(records=2, envelopes=2, gone=1))
        self.assertEqual(self.told, [])

    def test_a_record_that_is_compacted_meanwhile_is_no_finding(self) -> None:
        one, other = self.envelope("photos"), self.envelope("photos")
        self.append("photos", one.to_bytes())
        self.append("photos", other.to_bytes())
        self.blobs.clear()
        self.store.source.hold("size_of")
        going = self.begin(self.fsck().run())
        del self.log.logs["photos"][0].batches[0]
        self.store.source.let_go("size_of")
        self.go_on()
        self.assertEqual(self.successResultOf(going).total().gone, 1)
        self.assertEqual(self.kinds(), [("photos", 1, "dangling")])

    def test_a_partition_that_cannot_be_read_does_not_keep_others_from_it(self) -> None:
        for topic in ("broken", "photos"):
            one, other = self.envelope(topic), self.envelope(topic)
            self.append(topic, one.to_bytes())
            self.append(topic, other.to_bytes())
            del self.blobs[other.s3_key], self.blobs[one.s3_key]
        self.damage("broken", 1)
        fsck = self.fsck()
        state = self.successResultOf(self.begin(fsck.run()))
        self.assertEqual(
            sorted(self.kinds()),
            [
                ("broken", 0, "dangling"),
                ("broken", 1, "unreadable"),
                ("photos", 0, "dangling"),
                ("photos", 1, "dangling"),
            ],
        )
        (unread,) = fsck.unread
        self.assertTrue(unread.why.startswith("broken, partition 0, at offset 1: "), unread.why)
        self.assertEqual(state.total().dangling, 3)

    def test_kafka_that_is_away_ends_the_look(self) -> None:
        self.two()
        self.log.hold("look")
        going = self.begin(self.fsck().run())
        self.log.fail_next("look", UnreadableLog("no broker answers"))
        self.log.fail_next("topics", BrokerUnavailable("Kafka is away"))
        self.log.let_go("look")
        self.go_on()
        self.failureResultOf(going, BrokerUnavailable)

    def test_a_topic_that_is_deleted_meanwhile_is_no_finding(self) -> None:
        self.two()
        self.append("photos", b"plain", partition=1)
        self.log.hold("look")
        going = self.begin(self.fsck().run())
        for _ in range(2):
            self.log.fail_next("look", UnreadableLog("no such topic"))
        del self.log.logs["photos"]
        self.log.let_go("look")
        self.go_on()
        self.assertEqual(self.successResultOf(going).total(), Counts())
        self.assertEqual((self.told, self.notes), ([], ["the topic photos was deleted meanwhile"]))

    def test_a_topic_that_may_not_be_described_is_told(self) -> None:
        self.two()
        self.log.hidden.add("secret")
        self.look(topics=["*", "secret"])
        self.assertEqual(self.kinds(), [("secret", None, "unreadable")])

    def test_a_partition_without_a_leader_is_told(self) -> None:
        self.two()
        self.log.fail_next("bounds", BrokerUnavailable("no leader"))
        self.look()
        self.assertEqual([(told.partition, told.why) for told in self.told], [(0, "no leader")])


class WantedTests(FindingsTestCase):
    def setUp(self) -> None:
        super().setUp()
        for topic in ("photos", "videos"):
            for number in range(PARTITIONS):
                for time in (5, 15, 16, 20):
                    self.append(topic, self.envelope(topic).to_bytes(), partition=number, time=time)
        self.blobs.clear()

    def offsets(self, **wanted: Any) -> list[tuple[str, int | None, int | None]]:
        self.look(**wanted)
        return sorted((told.topic, told.partition or 0, told.offset or 0) for told in self.told)

    def test_all_of_it(self) -> None:
        self.assertEqual(len(self.offsets()), 24)

    def test_topics_and_partitions(self) -> None:
        found = self.offsets(topics=["ph*"], partitions={1, 7})
        self.assertEqual(found, [("photos", 1, offset) for offset in range(4)])

    def test_times(self) -> None:
        found = self.offsets(topics=["photos"], partitions={2}, since=10, until=20)
        self.assertEqual(found, [("photos", 2, 1), ("photos", 2, 2)])

    def test_nothing_is_new_enough(self) -> None:
        self.assertEqual(self.offsets(since=99), [])

    def test_nothing_is_too_new(self) -> None:
        self.assertEqual(len(self.offsets(until=99)), 24)

    def refused(self, **wanted: Any) -> str:
        return str(self.failureResultOf(self.begin(self.fsck(**wanted).run()), SettingError).value)

    def test_a_topic_that_is_not_there(self) -> None:
        self.assertEqual(self.refused(topics=["phots"]), "the topic 'phots' does not exist")

    def test_globs_that_choose_nothing(self) -> None:
        self.assertIn("no topic is chosen", self.refused(topics=["x*"]))

    def test_partitions_that_no_topic_has(self) -> None:
        self.assertIn("no partition is chosen", self.refused(partitions={9}))

    def test_a_cluster_without_topics_is_clean(self) -> None:
        self.log.logs.clear()
        self.assertEqual(self.offsets(), [])


class FindingTests(FindingsTestCase):
    def test_as_json(self) -> None:
        made = Finding("dangling", "it is gone", "t", 3, 42, 1764400000123, b"\xff", "b", "k")
        self.assertEqual(
            {name: value for name, value in made.to_json().items() if name != "todo"},
            {
                "finding": "dangling",
                "why": "it is gone",
                "topic": "t",
                "partition": 3,
                "offset": 42,
                "timestamp": "2025-11-29T07:06:40.123+00:00",
                "key_base64": "/w==",
                "bucket": "b",
                "blob": "k",
            },
        )

    def test_a_time_that_no_calendar_has(self) -> None:
        made = Finding("dangling", "it is gone", "t", 3, 42, 2**62)
        self.assertEqual(made.to_json()["timestamp"], 2**62)

    def test_only_so_many_findings_are_kept(self) -> None:
        for _ in range(KEPT // 100 + 1):
            self.append("photos", *(self.envelope("photos").to_bytes() for _ in range(100)))
        self.blobs.clear()
        state = self.look()
        self.assertEqual((state.found, len(state.findings), len(self.told)), (1100, KEPT, 1100))

    def test_nothing_is_counted_that_nobody_was_told(self) -> None:
        self.append("photos", self.envelope("photos").to_bytes())
        self.blobs.clear()

        def broken(finding: Finding) -> None:
            raise BrokenPipeError

        going: Deferred[Any] = self.begin(self.fsck(report=broken).run())
        self.failureResultOf(going, BrokenPipeError)
        self.assertEqual(self.passed, [])
