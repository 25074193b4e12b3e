"""The frame cutters: the same events in any chunking, and a clear reason where they cannot go on."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import (
    FrameBytes,
    FrameEnd,
    RequestFrames,
    RequestStart,
    ResponseFrames,
    ResponseStart,
)
from tests.wire.helpers import chunked


def request(api_key: int, version: int, correlation: int, client_id: bytes | None, body: bytes) -> bytes:
    length = -1 if client_id is None else len(client_id)
    header = struct.pack(">hhih", api_key, version, correlation, length) + (client_id or b"")
    return struct.pack(">i", len(header) + len(body)) + header + body


def response(correlation: int, body: bytes) -> bytes:
    return struct.pack(">ii", 4 + len(body), correlation) + body


def events(frames: RequestFrames | ResponseFrames, chunks: Sequence[bytes]) -> list[object]:
    """All events, the bytes of adjacent FrameBytes joined."""
    found: list[object] = []
    for chunk in chunks:
        frames.feed(chunk)
        while (event := frames.next_event()) is not None:
            if isinstance(event, FrameBytes):
                assert event.data
                if found and isinstance(found[-1], bytes):
                    found[-1] += event.data
                else:
                    found.append(bytes(event.data))
            else:
                found.append(event)
    return found


class PutBackTests(SynchronousTestCase):
    def test_a_start_that_was_put_back_comes_once_more_and_its_body_behind_it(self) -> None:
        for frames, data in (
            (RequestFrames(), request(KafkaApi.METADATA, 1, 7, b"id", b"body")),
            (ResponseFrames(), response(7, b"body")),
        ):
            frames.feed(data)
            start = frames.next_event()
            assert isinstance(start, RequestStart | ResponseStart)
            frames.put_back(start)
            self.assertEqual(frames.whole_body(), b"body")
            self.assertEqual(events(frames, [b"", data]), [start, b"body", FrameEnd()] * 2)


class RequestTests(SynchronousTestCase):
    def test_request_header_and_body_are_told_apart(self) -> None:
        data = request(KafkaApi.METADATA, 9, 77, b"app", b"the body")
        self.assertEqual(
            events(RequestFrames(), [data]),
            [RequestStart(len(data) - 4, 3, 9, 77, "app", data[:17]), b"the body", FrameEnd()],
        )

    def test_null_client_id_is_none(self) -> None:
        start = events(RequestFrames(), [request(KafkaApi.API_VERSIONS, 0, 1, None, b"")])[0]
        assert isinstance(start, RequestStart)
        self.assertIsNone(start.client_id)
        self.assertEqual(len(start.head), 14)

    @given(
        st.lists(st.tuples(st.none() | st.binary(max_size=9), st.binary(max_size=40)), max_size=4),
        st.lists(st.integers(0, 10**6), max_size=12),
    )
    def test_chunking_does_not_matter(
        self, bodies: list[tuple[bytes | None, bytes]], cuts: list[int]
    ) -> None:
        data = b"".join(request(KafkaApi.PRODUCE, 7, n, name, body) for n, (name, body) in enumerate(bodies))
        self.assertEqual(events(RequestFrames(), chunked(data, cuts)), events(RequestFrames(), [data]))

    @given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
    def test_any_bytes_give_events_or_a_framing_error(self, data: bytes, cuts: list[int]) -> None:
        frames = RequestFrames()
        try:
            events(frames, chunked(data, cuts))
        except FramingError:
            self.assertRaises(FramingError, frames.next_event)

    def test_a_body_chunk_leaves_as_the_object_that_was_fed(self) -> None:
        frames = RequestFrames()
        frames.feed(request(KafkaApi.PRODUCE, 7, 1, b"c", bytes(100))[:-100])
        frames.next_event()
        chunk = bytes(60)
        frames.feed(chunk)
        event = frames.next_event()
        assert isinstance(event, FrameBytes)
        self.assertIs(event.data, chunk)

    def test_buffered_counts_what_was_not_pulled(self) -> None:
        frames = RequestFrames()
        frames.feed(request(KafkaApi.PRODUCE, 7, 1, b"c", b"12345"))
        self.assertEqual(frames.buffered, 20)
        frames.next_event()
        self.assertEqual(frames.buffered, 5)

    def test_bad_lengths_are_framing_errors(self) -> None:
        for size in (-1, 0, 7, 9, -(2**31)):
            frames = RequestFrames()
            frames.feed(struct.pack(">i", size) + bytes(40))
            self.assertRaises(FramingError, frames.next_event)
            self.assertRaises(FramingError, frames.next_event)

    def test_the_largest_length_is_a_frame(self) -> None:
        frames = RequestFrames()
        frames.feed(struct.pack(">ihhih", 2**31 - 1, 0, 7, 1, -1))
        self.assertIsInstance(frames.next_event(), RequestStart)

    def test_a_length_beyond_the_maximum_is_refused(self) -> None:
        frames = RequestFrames(max_frame=100)
        frames.feed(struct.pack(">i", 101))
        self.assertRaises(FramingError, frames.next_event)

    def test_a_client_id_longer_than_its_frame_is_refused(self) -> None:
        frames = RequestFrames()
        frames.feed(struct.pack(">ihhih", 12, 0, 7, 1, 3))
        self.assertRaises(FramingError, frames.next_event)

    def test_tls_and_http_are_named(self) -> None:
        for start, word in ((b"\x16\x03\x01\x02", "TLS"), (b"GET / HT", "HTTP"), (b"POST /v1", "HTTP")):
            frames = RequestFrames()
            frames.feed(start)
            error = self.assertRaises(FramingError, frames.next_event)
            self.assertIn(word, str(error))

    def test_a_later_frame_may_have_a_length_that_reads_as_tls(self) -> None:
        frames = RequestFrames()
        events(frames, [request(KafkaApi.API_VERSIONS, 0, 1, None, b"")])
        frames.feed(struct.pack(">ihhih", 0x16030100, 0, 7, 2, -1))
        self.assertIsInstance(frames.next_event(), RequestStart)


class ResponseTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=40), max_size=4), st.lists(st.integers(0, 10**6), max_size=12))
    def test_chunking_does_not_matter(self, bodies: list[bytes], cuts: list[int]) -> None:
        data = b"".join(response(n, body) for n, body in enumerate(bodies))
        expected: list[object] = []
        for n, body in enumerate(bodies):
            expected.append(ResponseStart(4 + len(body), n, response(n, body)[:8]))
            expected += [body] if body else []
            expected.append(FrameEnd())
        self.assertEqual(events(ResponseFrames(), chunked(data, cuts)), expected)

    def test_a_length_below_four_is_a_framing_error(self) -> None:
        for size in (3, -1):
            frames = ResponseFrames()
            frames.feed(struct.pack(">i", size))
            self.assertRaises(FramingError, frames.next_event)

    def test_a_tls_alert_is_named(self) -> None:
        frames = ResponseFrames()
        frames.feed(b"\x15\x03\x03\x00\x02\x02\x50")
        self.assertIn("TLS", str(self.assertRaises(FramingError, frames.next_event)))
