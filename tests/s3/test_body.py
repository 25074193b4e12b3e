"""A body is written piece by piece, as fast as the connection takes it."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lfsproxy.checksums import Buffer
from lfsproxy.s3.body import MAX_WRITE, BufferBody


@implementer(IConsumer)
class FullConsumer:
    """A transport that is full after every write."""

    def __init__(self, body: BufferBody) -> None:
        self.body = body
        self.written: list[bytes] = []

    def registerProducer(self, producer: object, streaming: bool) -> None:
        raise AssertionError("the client registers the producer with the transport itself")

    def unregisterProducer(self) -> None:
        raise AssertionError("see registerProducer")

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.body.pauseProducing()


class BodyTests(SynchronousTestCase):
    def start(self, *buffers: Buffer) -> FullConsumer:
        self.progress = 0
        self.body = BufferBody(buffers, self.progressed)
        self.consumer = FullConsumer(self.body)
        self.done = self.body.startProducing(self.consumer)
        return self.consumer

    def progressed(self) -> None:
        self.progress += 1

    def test_nothing_is_written_while_the_transport_is_full(self) -> None:
        consumer = self.start(b"one", b"two")
        self.assertEqual([b"one"], consumer.written)
        self.assertNoResult(self.done)
        self.body.resumeProducing()
        self.assertEqual([b"one", b"two"], consumer.written)
        self.body.resumeProducing()
        self.successResultOf(self.done)
        self.assertEqual(2, self.progress)

    def test_large_buffers_are_written_in_pieces(self) -> None:
        data = bytes(range(256)) * 4096
        for buffer in (data, bytearray(data), memoryview(data)):
            consumer = self.start(buffer, b"end")
            while not self.done.called:
                self.body.resumeProducing()
            self.assertTrue(b"".join(consumer.written) == data + b"end")
            self.assertLessEqual(max(map(len, consumer.written)), MAX_WRITE)
            self.assertEqual(len(data) + 3, self.body.length)

    def test_a_chunk_goes_on_as_it_is_without_a_copy(self) -> None:
        chunk = b"x" * 1000
        self.assertIs(chunk, self.start(chunk).written[0])

    def test_empty_buffers_are_skipped(self) -> None:
        consumer = self.start(b"", b"one", b"")
        self.body.resumeProducing()
        self.assertEqual([b"one"], consumer.written)
        self.successResultOf(self.done)

    def test_nothing_is_written_after_a_stop(self) -> None:
        consumer = self.start(b"one", b"two")
        self.body.stopProducing()
        self.body.resumeProducing()
        self.assertEqual([b"one"], consumer.written)
