"""Memory and CPU of a proxy that hydrates, under consumers and records that would have more of both.

The bound is that of docs/operate/sizing.md; others are served meanwhile.
"""

from __future__ import annotations

import resource
import struct
import time

import psutil
import zstandard
from crc32c import crc32c

from examples.operate.sizing import inputs, terms
from tests.integration.frames import MIB, LargeRecord, zstd_bomb
from tests.integration.hydration.fetches import NEWEST, Answer, Fetcher, topic_ids
from tests.integration.hydration.model import Part
from tests.integration.hydration.placed import Placer
from tests.integration.hydration.plans import CONFIG, EPOCH, Item
from tests.integration.hydration.readers.programs import Limits
from tests.integration.hydration.requests import record
from tests.integration.kafka_door import KafkaDoorTestCase, wait_for
from tests.integration.proxy import own_proxy
from tests.integration.stack import in_thread, stack

BLOB = b"a small blob"
LARGE = 40 * MIB
STALLED = 20
POLLS = 2000
POLL = 64 * 1024
"""Bytes of a poll in the proxy: its two connections, its request, and in the end its answer."""
WIDE = Limits(2**31 - 1, 2**31 - 1)


def batch(area: bytes, count: int, codec: int) -> bytes:
    """A batch around compressed records."""
    signed = struct.pack(">hiqqqhii", codec, count - 1, EPOCH, EPOCH, -1, -1, -1, count) + area
    return struct.pack(">qiibI", 0, len(signed) + 9, -1, 2, crc32c(signed)) + signed


class PressureTests(KafkaDoorTestCase):
    timeout = 300

    async def setUp(self) -> None:  # type: ignore[override]
        self.allow_files(2 * POLLS + 1000)
        self.servers = await stack()
        self.proxy = await own_proxy(self, self.servers, LFS_HYDRATE_TOPICS="*")
        self.topic = await self.servers.new_topic("pressure", partitions=2, config=CONFIG)
        self.placer = Placer(self.servers, self.topic)
        self.other: Part = (self.topic, 1)

    def fetcher(self) -> Fetcher:
        fetcher = Fetcher(self.proxy.bootstrap, topic_ids(self.servers.kafka.bootstrap, [self.topic]))
        self.addCleanup(fetcher.close)
        return fetcher

    def values_of(self, answer: Answer) -> list[bytes | None]:
        (found,) = answer.parts
        self.assertEqual(found.error, 0)
        return [one.value for each in found.batches() for one in each]

    def assert_others_are_served(self, seconds: float = 20) -> None:
        """A consumer of another partition gets its blob."""
        fetcher = self.fetcher()
        started = time.monotonic()
        self.assertEqual(self.values_of(fetcher.fetch(NEWEST, {self.other: 0})), [BLOB])
        self.assertLess(time.monotonic() - started, seconds)

    def assert_bounded(self, connections: int) -> None:
        """The process has never had more than a replica with so many connections may."""
        most = sum(terms(**{**inputs, "kafka_connections": connections, "http_uploads": 0}).values())
        self.assertLess(self.proxy.peak_memory, most)

    async def test_100_000_envelopes_in_a_batch(self) -> None:
        await in_thread(self.check_many)

    def check_many(self) -> None:
        self.placer.append([self.placer.envelope(BLOB)], partition=1)
        self.placer.append([self.placer.envelope(BLOB)] * 100_000, "zstd")
        fetcher = self.fetcher()
        position = 0
        for jump in (0, 0, 50_000, 0, 99_900):
            position = max(position, jump)
            values = self.values_of(fetcher.fetch(NEWEST, {(self.topic, 0): position}))
            self.assertEqual(set(values), {BLOB})
            position += len(values)
        self.assertEqual(position, 100_000)
        self.assert_others_are_served()
        self.assert_bounded(2)

    async def test_an_envelope_behind_a_gigabyte_of_zeros(self) -> None:
        await in_thread(self.check_zeros)

    def check_zeros(self) -> None:
        envelope = self.placer.envelope(BLOB)
        self.placer.append([envelope], partition=1)
        zeros = LargeRecord(1024 * MIB, headers=())
        last = record(Item(None, (), EPOCH), envelope, 1, EPOCH)
        area = b"".join(zstd_bomb(zeros)) + zstandard.ZstdCompressor().compress(last)
        self.placer.append_bytes(batch(area, 2, 4))
        fetcher = self.fetcher()
        # The first record is given whatever its size: here all of it can only be passed through.
        fetcher.send(NEWEST, {(self.topic, 0): 0})
        received = 0
        size = struct.unpack(">i", fetcher.client.socket.recv(4))[0]
        while received < size and (data := fetcher.client.socket.recv(MIB)):
            received += len(data)
        self.assertEqual(received, size)
        self.assertEqual(self.values_of(self.fetcher().fetch(NEWEST, {(self.topic, 0): 1})), [BLOB])
        self.assert_others_are_served()
        self.assert_bounded(4)

    async def test_consumers_that_stop_reading_in_the_middle_of_a_blob(self) -> None:
        await in_thread(self.check_stalled)

    def check_stalled(self) -> None:
        self.placer.append([self.placer.envelope(BLOB)], partition=1)
        self.placer.append([self.placer.envelope(bytes(LARGE))])
        before = self.proxy.memory
        stalled = [self.fetcher() for _ in range(STALLED)]
        for each in stalled:
            each.send(NEWEST, {(self.topic, 0): 0})
            self.assertTrue(each.client.socket.recv(MIB))
        self.assert_others_are_served()
        self.assertLess(self.proxy.peak_memory - before, STALLED * 8 * MIB)
        for each in stalled:
            each.close()
        wait_for(lambda: self.proxy.metrics()["lfsproxy_upload_memory_bytes"], lambda held: held == 0)

    async def test_long_polls_cost_nothing_but_their_connections(self) -> None:
        await in_thread(self.check_polls)

    def check_polls(self) -> None:
        self.placer.append([self.placer.envelope(BLOB)], partition=1)
        end = self.placer.append([b"plain"]) + 1
        ids = topic_ids(self.servers.kafka.bootstrap, [self.topic])
        polls = [Fetcher(self.proxy.bootstrap, ids) for _ in range(POLLS)]
        for each in polls:
            self.addCleanup(each.close)
            each.send(NEWEST, {(self.topic, 0): end}, max_wait=30_000)
        self.assert_others_are_served()
        process = psutil.Process(self.proxy.pid)
        used = sum(process.cpu_times()[:2])
        time.sleep(3)
        self.assertLess(sum(process.cpu_times()[:2]) - used, 2.0)
        self.assertEqual(self.proxy.metrics()["lfsproxy_upload_memory_bytes"], 0)
        # One record, which all get in the same moment.
        gets = 's3_operation_seconds_count{operation="get_object",result="ok"}'
        before = self.proxy.metrics()[f"lfsproxy_{gets}"]
        self.placer.append([self.placer.envelope(BLOB)])
        for each in polls:
            self.assertEqual(self.values_of(each.receive(NEWEST)), [BLOB])
        self.assertLess(self.proxy.metrics()[f"lfsproxy_{gets}"] - before, POLLS / 4)
        self.assertLess(self.proxy.peak_memory, 112 * MIB + POLLS * POLL)

    def allow_files(self, count: int) -> None:
        """Let this process, and what it starts from now on, have so many files: the proxy has two a poll."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    async def test_a_batch_of_100_mb(self) -> None:
        await in_thread(self.check_large_batch)

    def check_large_batch(self) -> None:
        envelope = self.placer.envelope(BLOB)
        self.placer.append([envelope], partition=1)
        plain = bytes(MIB)
        self.placer.append([*[plain] * 98, envelope])
        fetchers = [self.fetcher() for _ in range(3)]
        for each in fetchers:
            each.send(NEWEST, {(self.topic, 0): 0}, limits=WIDE)
        self.assert_others_are_served()
        for each in fetchers:
            *others, last = self.values_of(each.receive(NEWEST))
            self.assertEqual(others, [plain] * 98)
            self.assertIn(last, (BLOB, envelope))
        self.assert_bounded(8)
