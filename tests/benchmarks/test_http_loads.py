"""Where the client of small uploads sees the end of an answer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compare.http_loads import is_whole

SIZED = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


class WholeTests(SynchronousTestCase):
    def test_an_answer_is_whole_only_with_its_last_byte(self) -> None:
        for answer in (SIZED, CHUNKED):
            for end in range(len(answer)):
                self.assertFalse(is_whole(answer[:end]), answer[:end])
            self.assertTrue(is_whole(answer))

    def test_an_answer_without_a_body(self) -> None:
        self.assertTrue(is_whole(b"HTTP/1.1 204 No Content\r\n\r\n"))
