"""However the network cuts a conversation into pieces, it means the same."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.web.doubles import Door, chunked, form, request

_BODY, _TYPE = form(("key", None, b"k"), ("header", None, b"a:b"), ("file", "f", b"\r\n--bOuN" * 9))
CONVERSATION = (
    request(body=b"hello")
    + request(body=None, headers=["Transfer-Encoding: chunked"])
    + chunked(b"one", b"\r\n", b"three")
    + request("GET", "/healthz")
    + request(body=_BODY, headers=[_TYPE])
    + request(path="/nothing", body=b"drained")
    + request(path="/v1/topics/t/records?partition=9", body=b"refused")
    + request("HEAD", "/nothing", body=None)
    + request("OPTIONS", "/v1/topics/t/records")
    + request(body=b"last", headers=["Connection: close"])
)
STATUSES = [201, 201, 200, 201, 404, 400, 404, 204, 201]
BLOBS = [b"hello", b"one\r\nthree", b"\r\n--bOuN" * 9, b"last"]


class SplitTests(SynchronousTestCase):
    def converse(self, pieces: list[bytes]) -> None:
        door = Door()
        client = door.client()
        for piece in pieces:
            client.send(piece)
        statuses = [client.answer(head=status == 404 and n == 6).status for n, status in enumerate(STATUSES)]
        self.assertEqual(statuses, STATUSES)
        self.assertEqual(client.received, b"")
        self.assertEqual(door.stored, BLOBS)
        self.assertEqual([record.key for record in door.publisher.records], [None, None, b"k", None])
        self.assertTrue(client.transport.disconnecting)
        self.assertEqual(door.budget.used, 0)
        self.assertEqual(door.site.in_flight, 0)

    def test_in_one_piece(self) -> None:
        self.converse([CONVERSATION])

    def test_byte_by_byte(self) -> None:
        self.converse([CONVERSATION[n : n + 1] for n in range(len(CONVERSATION))])

    @given(st.sets(st.integers(1, len(CONVERSATION) - 1), max_size=20))
    @settings(max_examples=200, deadline=None)
    def test_at_any_places(self, cuts: set[int]) -> None:
        places = [0, *sorted(cuts), len(CONVERSATION)]
        self.converse([CONVERSATION[a:b] for a, b in pairwise(places)])

    @given(st.integers(0, len(CONVERSATION) - 1), st.integers(0, 255))
    @settings(max_examples=300, deadline=None)
    def test_a_flipped_byte_breaks_nothing(self, place: int, byte: int) -> None:
        door = Door()
        client = door.client()
        client.send(CONVERSATION[:place] + bytes([byte]) + CONVERSATION[place + 1 :])
        client.leave()
        self.assertEqual(door.budget.used, 0)
        self.assertEqual(door.site.in_flight, 0)
        self.assertEqual(door.store.open_uploads, 0)
        self.assertEqual(len(door.store.blobs), len(door.publisher.records))
        self.assertEqual(self.flushLoggedErrors(), [])
