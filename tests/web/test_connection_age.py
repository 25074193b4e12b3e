"""LFS_HTTP_MAX_CONNECTION_AGE: old connections are closed between requests."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.web.doubles import Door, request


class AgeTests(SynchronousTestCase):
    OLD = 50.0

    def setUp(self) -> None:
        self.door = Door(ready=False, http_max_connection_age=50.0)
        self.client = self.door.client()

    def ask(self) -> str | None:
        self.client.send(request("GET", "/healthz"))
        answer = self.client.answer()
        self.assertEqual(answer.status, 200)
        return answer.headers.get("connection")

    def test_the_response_after_that_age_is_the_last_one(self) -> None:
        for _ in range(4):
            self.door.clock.advance(11)
            self.assertIsNone(self.ask())
        self.client.send(b"GET /healthz HTTP/1.1\r\n")
        self.door.clock.advance(self.OLD - 44)
        self.client.send(b"Host: localhost\r\n\r\n")
        self.assertEqual(self.client.answer().headers["connection"], "close")
        self.assertTrue(self.client.transport.disconnecting)

    def test_an_idle_connection_is_closed_then(self) -> None:
        self.assertIsNone(self.ask())
        self.door.clock.advance(44)
        self.assertFalse(self.client.transport.disconnecting)
        self.door.clock.advance(self.OLD - 44)
        self.assertTrue(self.client.transport.disconnecting)

    def test_so_is_one_that_never_asked(self) -> None:
        self.door.clock.advance(self.OLD)
        self.assertTrue(self.client.transport.disconnecting)

    def test_an_upload_is_not_cut(self) -> None:
        self.client.send(request(body=bytes(1000))[:-1000])
        for _ in range(10):
            self.door.clock.advance(29)
            self.client.send(bytes(100))
        answer = self.client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (201, "close"))

    def test_between_two_requests_there_is_a_moment(self) -> None:
        self.door.clock.advance(self.OLD - 0.1)
        self.assertIsNone(self.ask())
        self.door.clock.advance(0.9)
        self.assertFalse(self.client.transport.disconnecting)
        self.door.clock.advance(0.1)
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_request_in_the_socket_is_answered_before_the_connection_closes(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.client.transport.getHandle = lambda: ours  # type: ignore[attr-defined]
        sent = request("GET", "/healthz")
        theirs.send(sent)
        self.door.clock.advance(self.OLD)
        self.assertFalse(self.client.transport.disconnecting)
        self.client.send(ours.recv(len(sent)))
        self.assertEqual(self.client.answer().headers["connection"], "close")
        self.assertTrue(self.client.transport.disconnecting)

    def test_there_is_no_limit_by_default(self) -> None:
        client = Door(ready=False).client()
        for _ in range(100):
            client.channel.site.reactor.advance(60)  # type: ignore[attr-defined]
            client.send(request("GET", "/healthz"))
            self.assertNotIn("connection", client.answer().headers)
