"""Downloads over the HTTP door from a real Kafka and a real S3 server: what a GET gives, and what not."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from unittest.mock import patch

import attrs
import treq
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.integration.downloads import DownloadTests, produce
from tests.integration.http_door import MIB, start_door
from tests.integration.stack import in_thread, own_kafka

SIZE = 20 * MIB + 7


class WholeTests(DownloadTests):
    async def test_what_was_uploaded_comes_back(self) -> None:
        data = os.urandom(SIZE)
        offset = (await self.upload(data))["offset"]
        answer = await self.get(offset)
        self.assertEqual((answer.code, answer.status), (0, 200))
        self.assertTrue(answer.body == data)
        self.assertEqual(answer.headers["content-length"], str(SIZE))
        self.assertEqual(answer.headers["etag"], f'"{hashlib.sha256(data).hexdigest()}"')
        self.assertEqual(self.downloads(), [(self.topic, "ok")])
        self.assertEqual(self.door.budget.used, 0)

    async def test_the_location_of_an_upload_is_where_it_is(self) -> None:
        answer = await self.upload(b"x" * 100_000, "")
        path = self.path(answer["offset"], partition=answer["partition"])
        self.assertEqual((await self.ask(path)).body, b"x" * 100_000)

    async def test_treq_gets_the_same(self) -> None:
        data = os.urandom(SIZE)
        offset = (await self.upload(data))["offset"]
        response = await treq.get(f"http://127.0.0.1:{self.door.port}{self.path(offset)}", persistent=False)
        self.assertTrue(await response.content() == data)

    async def test_an_empty_blob(self) -> None:
        offset = (await self.upload(b""))["offset"]
        answer = await self.get(offset)
        self.assertEqual((answer.code, answer.status, answer.body), (0, 200, b""))
        self.assertEqual(answer.headers["content-length"], "0")

    async def test_every_algorithm(self) -> None:
        for algorithm in ("sha256", "md5", "crc32"):
            answer = await self.upload(b"y" * 300_000, f"partition=0&checksum_algo={algorithm}")
            got = await self.get(answer["offset"])
            self.assertEqual(got.body, b"y" * 300_000)
            self.assertEqual(got.headers["etag"], f'"{answer["envelope"]["checksum"]}"')

    async def test_a_browser_is_kept_from_running_it(self) -> None:
        name = ';filename="../../a \\"b\\" é.html";type=text/html'
        offset = (await self.upload(b"<script>", "partition=0", name))["offset"]
        headers = (await self.get(offset)).headers
        self.assertEqual(headers["content-type"], "text/html")
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertIn("sandbox", headers["content-security-policy"])
        disposition = headers["content-disposition"]
        self.assertTrue(disposition.startswith('attachment; filename="a '), disposition)
        self.assertIn("filename*=UTF-8''a%20%22b%22%20%C3%A9.html", disposition)
        self.assertNotIn("..", disposition)

    async def test_head_and_options(self) -> None:
        data = os.urandom(100_000)
        offset = (await self.upload(data))["offset"]
        whole, head = await self.get(offset), await self.get(offset, "--head")
        self.assertEqual((head.code, head.status, head.body[-4:]), (0, 200, b"\r\n\r\n"))
        for name in ("content-length", "etag", "content-type", "content-disposition", "accept-ranges"):
            self.assertEqual(head.headers[name], whole.headers[name])
        options = await self.get(offset, "-X", "OPTIONS")
        self.assertEqual((options.status, options.headers["allow"]), (204, "GET, HEAD, OPTIONS"))

    async def test_the_envelope(self) -> None:
        answer = await self.upload(b"abc")
        got = await self.ask(self.path(answer["offset"]) + "/envelope")
        self.assertEqual((got.status, got.headers["content-type"]), (200, "application/json"))
        self.assertEqual(json.loads(got.body), answer["envelope"])

    async def test_a_presigned_url_is_followed(self) -> None:
        data = os.urandom(SIZE)
        form = ";filename=r.txt;type=text/plain"
        offset = (await self.upload(data, "partition=0", form))["offset"]
        redirect = await self.ask(self.path(offset) + "?presign=true")
        self.assertEqual((redirect.status, redirect.body), (307, b""))
        self.assertTrue(redirect.headers["location"].startswith(self.servers.s3.endpoint + "/"))
        self.assertIn("X-Amz-Expires=900", redirect.headers["location"])
        followed = await self.ask(self.path(offset) + "?presign=true", "-L")
        self.assertTrue(followed.body == data)
        self.assertEqual(followed.headers["content-disposition"], 'attachment; filename="r.txt"')
        self.assertEqual(followed.headers["content-type"], "text/plain")


class ConditionTests(DownloadTests):
    async def test_ranges(self) -> None:
        data = os.urandom(SIZE)
        offset = (await self.upload(data))["offset"]
        last = SIZE - 1
        for asked, first, end in (
            ("0-0", 0, 0),
            ("100-199", 100, 199),
            (f"{9 * MIB}-", 9 * MIB, last),
            ("-5", last - 4, last),
            (f"-{2 * SIZE}", 0, last),
            (f"5-{2 * SIZE}", 5, last),
            (f"5-{'9' * 5000}", 5, last),
        ):
            answer = await self.get(offset, "-H", f"Range: bytes={asked}")
            self.assertEqual((answer.code, answer.status), (0, 206), asked)
            self.assertTrue(answer.body == data[first : end + 1], asked)
            self.assertEqual(answer.headers["content-range"], f"bytes {first}-{end}/{SIZE}")

    async def test_ranges_that_are_not_there(self) -> None:
        offset = (await self.upload(b"0123456789"))["offset"]
        for asked in ("10-", "99-100", "-0", f"{'9' * 5000}-"):
            answer = await self.get(offset, "-H", f"Range: bytes={asked}")
            self.assertEqual((answer.status, answer.problem), (416, "range-not-satisfiable"), asked)
            self.assertEqual(answer.headers["content-range"], "bytes */10")

    async def test_ranges_that_are_ignored(self) -> None:
        offset = (await self.upload(b"0123456789"))["offset"]
        for asked in ("0-1,4-5", "5-2", "x", ""):
            answer = await self.get(offset, "-H", f"Range: bytes={asked}")
            self.assertEqual((answer.status, answer.body), (200, b"0123456789"), asked)
        self.assertEqual((await self.get(offset, "-H", "Range: lines=1-2")).status, 200)

    async def test_if_range(self) -> None:
        offset = (await self.upload(b"0123456789"))["offset"]
        etag = (await self.get(offset)).headers["etag"]
        for given, status in ((etag, 206), (f"W/{etag}", 200), ('"other"', 200)):
            answer = await self.get(offset, "-H", "Range: bytes=2-3", "-H", f"If-Range: {given}")
            self.assertEqual(answer.status, status, given)

    async def test_if_none_match(self) -> None:
        offset = (await self.upload(b"0123456789"))["offset"]
        etag = (await self.get(offset)).headers["etag"]
        asked = len(self.door.metrics.of("s3_operation"))
        for given in (etag, f'"other", W/{etag}', "*"):
            answer = await self.get(offset, "-H", f"If-None-Match: {given}")
            self.assertEqual((answer.status, answer.body), (304, b""), given)
            self.assertEqual(answer.headers["etag"], etag)
        self.assertEqual(len(self.door.metrics.of("s3_operation")), asked, "the store was asked")
        self.assertEqual((await self.get(offset, "-H", 'If-None-Match: "other"')).status, 200)

    async def test_an_interrupted_download_is_resumed_by_curl(self) -> None:
        data = os.urandom(SIZE)
        offset = (await self.upload(data))["offset"]
        name = self.mktemp()
        await in_thread(Path(name).write_bytes, data[: 3 * MIB])
        await self.get(offset, "-C", "-", "-o", name)
        self.assertTrue(await in_thread(Path(name).read_bytes) == data)


class OrdinaryTests(DownloadTests):
    async def test_an_ordinary_value(self) -> None:
        value = os.urandom(200_000)
        offset = await in_thread(produce, self.servers, self.topic, value)
        answer = await self.get(offset)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/octet-stream"))
        self.assertTrue(answer.body == value)
        self.assertEqual(answer.headers["etag"], f'"{hashlib.sha256(value).hexdigest()}"')
        part = await self.get(offset, "-H", "Range: bytes=10-19")
        self.assertEqual((part.status, part.body), (206, value[10:20]))
        unchanged = await self.get(offset, "-H", f"If-None-Match: {answer.headers['etag']}")
        self.assertEqual(unchanged.status, 304)
        for path in ("/envelope", "?presign=true"):
            self.assertEqual((await self.ask(self.path(offset) + path)).status, 404, path)

    async def test_a_null_value(self) -> None:
        offset = await in_thread(produce, self.servers, self.topic, None)
        answer = await self.get(offset)
        self.assertEqual((answer.code, answer.status, answer.body), (0, 204, b""))
        self.assertEqual((await self.get(offset, "--head")).status, 204)
        self.assertEqual((await self.ask(self.path(offset) + "/envelope")).status, 404)

    async def test_an_empty_value_is_no_null(self) -> None:
        offset = await in_thread(produce, self.servers, self.topic, b"")
        self.assertEqual((await self.get(offset)).status, 200)

    async def test_every_codec(self) -> None:
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            value = codec.encode() * 10_000
            offset = await in_thread(
                produce, self.servers, self.topic, value, settings={"compression.type": codec}
            )
            self.assertEqual((await self.get(offset)).body, value, codec)

    async def test_a_batch_that_is_too_large_names_the_setting(self) -> None:
        config = {"max.message.bytes": str(20 * MIB)}
        topic = await self.servers.new_topic("large", config=config)
        door = await start_door(self, self.servers, LFS_MAX_PASSTHROUGH_SIZE=str(MIB))
        large = {"message.max.bytes": str(20 * MIB)}
        for size in (MIB + 100_000, 12 * MIB):
            offset = await in_thread(produce, self.servers, topic, os.urandom(size), settings=large)
            with patch.object(self, "door", door):
                answer = await self.ask(self.path(offset, topic))
            self.assertEqual((answer.status, answer.problem), (502, "unreadable-record"), answer.body)
            self.assertIn(b"LFS_MAX_PASSTHROUGH_SIZE", answer.body)


class NoRecordTests(DownloadTests):
    """Everything that a consumer of committed records would not see."""

    async def assert_missing(self, offset: int, says: str = "", topic: str | None = None) -> None:
        answer = await self.ask(self.path(offset, topic))
        self.assertEqual((answer.status, answer.problem), (404, "no-such-record"), answer.body)
        self.assertIn(says, answer.body.decode())
        envelope = await self.ask(self.path(offset, topic) + "/envelope")
        self.assertEqual(envelope.status, 404)

    async def test_transactions(self) -> None:
        producer = Producer(
            {"bootstrap.servers": self.servers.kafka.bootstrap, "transactional.id": self.topic}
        )

        def begin(value: bytes) -> None:
            producer.begin_transaction()
            producer.produce(self.topic, value=value, partition=0)
            producer.flush(30)

        def ended() -> None:
            producer.init_transactions(30)
            begin(b"aborted")
            producer.abort_transaction(30)
            begin(b"committed")
            producer.commit_transaction(30)
            begin(b"open")

        await in_thread(ended)
        behind = await in_thread(produce, self.servers, self.topic, b"behind")
        await self.assert_missing(0, "aborted")
        await self.assert_missing(1)
        self.assertEqual((await self.get(2)).body, b"committed")
        await self.assert_missing(3)
        await self.assert_missing(4, "not committed yet")
        self.assertEqual(behind, 5)
        await self.assert_missing(5, "not committed yet")
        await in_thread(producer.commit_transaction, 30)
        self.assertEqual((await self.get(4)).body, b"open")
        self.assertEqual((await self.get(5)).body, b"behind")

    async def test_beyond_the_end_and_before_the_start(self) -> None:
        for value in (b"0", b"1", b"2"):
            await in_thread(produce, self.servers, self.topic, value)
        await self.assert_missing(3)
        await self.assert_missing(1000)
        await self.assert_missing(2**63 - 1)
        admin = AdminClient({"bootstrap.servers": self.servers.kafka.bootstrap})
        deleted = admin.delete_records([TopicPartition(self.topic, 0, 2)])
        await in_thread(lambda: [future.result(30) for future in deleted.values()])
        await self.assert_missing(0)
        await self.assert_missing(1)
        self.assertEqual((await self.get(2)).body, b"2")

    async def test_a_compacted_offset_is_not_answered_with_the_next_record(self) -> None:
        kafka = await own_kafka(self, config={"log.cleaner.backoff.ms": "100"})
        servers = attrs.evolve(self.servers, kafka=kafka)
        config = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001"}
        topic = await servers.new_topic("compacted", config=config)
        self.door = await start_door(self, servers)

        def write() -> None:
            producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 200})
            for key, value in ((b"a", b"old"), (b"b", b"kept"), (b"a", b"new")):
                producer.produce(topic, value=value, key=key, partition=0)
            producer.flush(30)

        await in_thread(write)
        self.assertEqual((await self.ask(self.path(0, topic))).body, b"old")
        # The active segment is never cleaned: each record may begin a new one.
        while (await self.ask(self.path(0, topic))).status == 200:
            await in_thread(produce, servers, topic, b"x", None, b"c")
            await deferLater(reactor, 0.2)
        await self.assert_missing(0, topic=topic)
        self.assertEqual((await self.ask(self.path(1, topic))).body, b"kept")
        self.assertEqual((await self.ask(self.path(2, topic))).body, b"new")

    async def test_no_topic_is_created(self) -> None:
        # The stack's broker creates topics on demand.
        missing = f"{self.topic}-missing"
        for path in (self.path(0, missing), self.path(0, missing) + "/envelope"):
            answer = await self.ask(path)
            self.assertEqual((answer.status, answer.problem), (404, "unknown-topic"))
        admin = AdminClient({"bootstrap.servers": self.servers.kafka.bootstrap})
        self.assertNotIn(missing, (await in_thread(admin.list_topics, timeout=30)).topics)

    async def test_no_such_partition(self) -> None:
        answer = await self.ask(self.path(0, partition=3))
        self.assertEqual((answer.status, answer.problem), (404, "unknown-topic"))
        for partition, offset in (("x", "0"), ("0", "x"), (str(2**31), "0"), ("0", str(2**63)), ("-1", "0")):
            path = f"/v1/topics/{self.topic}/partitions/{partition}/records/{offset}"
            self.assertEqual((await self.ask(path)).status, 400, path)
