"""Bytes are copied rarely on their way: each limit is what a path does today, and a little more.

What the kernel copies, at each read and each write, is not counted.
"""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

import lfsproxy.kafka.stream
import lfsproxy.s3.connection
import lfsproxy.web.writing
from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.kafka.stream import FrameStream
from lfsproxy.s3.connection import S3ClientProtocol
from lfsproxy.web.channel import StreamingChannel
from tests.copies import Ledger
from tests.relay.records import batch, lfs, produce, record
from tests.relay.rig import KIB, RelayTestCase
from tests.s3.bucket import StoredObject
from tests.s3.helpers import FakeS3TestCase
from tests.web.doubles import MIB, request
from tests.web.downloads import DownloadCase

NEARLY_NONE = 0.02
"""Frames, heads, and what of a record is beside its value."""
KEY = "lfs/default/t/0/0-x.bin"


class KafkaTests(RelayTestCase):
    overrides = {"s3_part_size": 8 * MIB, "upload_memory": 64 * MIB, "max_passthrough_size": 8 * MIB}

    def setUp(self) -> None:
        super().setUp()
        self.ledger = Ledger()
        self.know_topic()

    def test_a_batch_that_passes(self) -> None:
        client = self.client()
        self.ledger.watch_reads(self, FrameStream)
        self.ledger.watch_writes(self, lfsproxy.kafka.stream)
        frame = produce(1, batch(*[record(os.urandom(10 * KIB)) for _ in range(100)]))
        client.send(frame)
        self.assertEqual(client.code(1), 0)
        self.assertGreater(self.ledger.left, len(frame))
        self.assertLess(self.ledger.share, NEARLY_NONE)

    def test_the_value_of_an_lfs_record(self) -> None:
        client = self.client()
        self.ledger.watch_reads(self, FrameStream)
        self.ledger.watch_upload(self, self.store)
        value = os.urandom(4 * MIB)
        client.send(produce(1, batch(lfs(value))))
        self.assertEqual((client.code(1), self.blobs), (0, [value]))
        self.assertEqual(self.ledger.left, len(value))
        self.assertLess(self.ledger.share, NEARLY_NONE)


class DoorTests(DownloadCase):
    def setUp(self) -> None:
        super().setUp()
        self.ledger = Ledger()

    def test_an_upload(self) -> None:
        self.ledger.watch_reads(self, StreamingChannel)
        self.ledger.watch_upload(self, self.door.store)
        body = os.urandom(2 * MIB)
        client = self.door.client()
        client.send(request(body=body)[: -len(body)])
        for start in range(0, len(body), 256 * KIB):
            client.send(body[start : start + 256 * KIB])
        self.assertEqual((client.answer().status, self.door.stored), (201, [body]))
        self.assertEqual(self.ledger.left, len(body))
        self.assertLess(self.ledger.share, NEARLY_NONE)

    def test_a_download(self) -> None:
        data = os.urandom(2 * MIB)
        self.upload(data)
        opened = self.door.source.open

        async def watched(key: str, size: int, first: int, count: int) -> object:
            download = await opened(key, size, first, count)
            read = download.read

            def came(piece: bytes) -> bytes:
                self.ledger.came(piece)
                return piece

            def note(_: object) -> Deferred[bytes]:
                return read().addCallback(came)

            self.patch(type(download), "read", note)
            return download

        self.patch(self.door.source, "open", watched)
        self.ledger.watch_writes(self, lfsproxy.web.writing)
        self.assertEqual(self.get().body, data)
        self.assertEqual(self.ledger.read, len(data))
        heads = self.ledger.left - len(data)
        self.assertEqual(self.ledger.copied, heads)
        self.assertLess(self.ledger.share, NEARLY_NONE)


class StoreTests(FakeS3TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ledger = Ledger()

    async def test_the_parts_of_an_upload(self) -> None:
        self.use_store(part_size=5 * MIB)
        self.ledger.watch_writes(self, lfsproxy.s3.connection)
        memory = HeldMemory()
        upload = self.s3.blobs.begin(KEY, "", {}, new_checksum("sha256"), 11 * MIB, memory)
        sent = []
        for _ in range(11):
            sent.append(os.urandom(MIB))
            self.ledger.came(sent[-1])
            room = upload.write(sent[-1])
            if room is not None:
                await room
        await upload.seal()
        await upload.commit({})
        self.assertEqual(self.fake.objects[KEY].data, b"".join(sent))
        self.assertGreater(self.ledger.left, 11 * MIB)
        self.assertLess(self.ledger.share, NEARLY_NONE)

    async def test_a_blob_that_is_read(self) -> None:
        self.fake.objects[KEY] = StoredObject(os.urandom(8 * MIB), {}, None)
        self.ledger.watch_reads(self, S3ClientProtocol)
        download = await self.s3.source.open(KEY, 8 * MIB, 0, 8 * MIB)
        while data := await download.read():
            self.ledger.leaves([data])
        self.assertEqual(self.ledger.left, 8 * MIB)
        # The first read has the answer's head in front of its bytes.
        self.assertLess(self.ledger.copied, MIB + 1)


class LedgerTests(SynchronousTestCase):
    def test_it_tells_a_copy_from_a_slice_of_the_same_memory(self) -> None:
        ledger, data = Ledger(), os.urandom(100)
        ledger.came(data)
        ledger.leaves([data, memoryview(data)[10:20]])
        self.assertEqual((ledger.left, ledger.copied), (110, 0))
        ledger.leaves([data[:50], b"".join([data, data])])
        self.assertEqual((ledger.left, ledger.copied), (360, 250))
