"""Connections, headers and downloads of the HTTP door have limits, and what is given up is counted."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.web import channel
from lfsproxy.web.channel import DRAIN_SECONDS, HEADER_SECONDS, NEW_SECONDS
from lfsproxy.web.request import DRAIN_BYTES
from tests.web.doubles import Answer, Client, Door, request

HEALTH = request("GET", "/healthz")


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door(ready=False, http_max_connections=2)
        self.admission = self.door.site.admission

    def asks(self) -> bool:
        return self.admission.admits("10.0.0.9")

    def test_connections_are_counted(self) -> None:
        client = self.door.client()
        self.door.client()
        client.leave()
        self.assertEqual(self.admission.connected, 1)
        self.assertEqual(self.door.metrics.of("http_connection"), [(1,), (1,), (-1,)])

    def test_one_on_which_nothing_is_asked_makes_room(self) -> None:
        busy, idle = self.door.client(), self.door.client()
        busy.send(HEALTH[:5])
        idle.send(HEALTH)
        self.assertTrue(self.asks())
        self.assertEqual((busy.transport.aborted, idle.transport.aborted), (False, True))
        self.assertEqual(self.door.metrics.of("http_closed"), [("room",)])

    def test_who_has_just_come_is_not_turned_out(self) -> None:
        clients = [self.door.client(), self.door.client()]
        self.assertFalse(self.asks())
        self.assertEqual(self.door.metrics.of("refused"), [("http", "all")])
        self.door.clock.advance(NEW_SECONDS)
        self.assertTrue(self.asks())
        self.assertEqual([client.transport.aborted for client in clients], [True, False])

    def test_one_makes_room_for_one_only(self) -> None:
        idle = self.door.client()
        idle.send(HEALTH)
        self.door.client().send(HEALTH[:5])
        self.assertTrue(self.asks())
        # Its connection is not gone yet.
        self.assertFalse(self.asks())

    def test_one_whose_request_has_come_stays(self) -> None:
        for _ in range(2):
            self.door.client().send(HEALTH)
        self.patch(channel, "has_unread", lambda transport: True)
        self.assertFalse(self.asks())

    def test_it_is_not_looked_for_again_and_again(self) -> None:
        clients = [self.door.client(), self.door.client()]
        for client in clients:
            client.send(HEALTH[:5])
        self.assertFalse(self.asks())
        clients[0].send(HEALTH[5:])
        self.assertFalse(self.asks())
        self.door.clock.advance(1)
        self.assertTrue(self.asks())


class ClosedTests(SynchronousTestCase):
    """lfsproxy_http_closed_total."""

    def setUp(self) -> None:
        self.door = Door()
        self.client = self.door.client()

    def assert_closed(self, *reasons: str) -> None:
        self.assertEqual(self.door.metrics.of("http_closed"), [(reason,) for reason in reasons])

    def test_a_head_that_drips(self) -> None:
        for byte in HEALTH[: int(HEADER_SECONDS)]:
            self.assert_closed()
            self.client.send(bytes([byte]))
            self.door.clock.advance(1)
        self.assertTrue(self.client.transport.disconnecting)
        self.assert_closed("head")

    def test_a_body_that_stops(self) -> None:
        self.client.send(request(body=bytes(1000))[:-1])
        self.door.clock.advance(self.door.settings.stall_timeout)
        self.assertEqual(self.client.answer().status, 408)
        self.assert_closed("body")

    def test_the_rest_of_a_body_that_is_not_wanted(self) -> None:
        self.client.send(request("POST", "/nothing", body=bytes(DRAIN_BYTES))[:-1])
        self.assertEqual(self.client.answer().status, 404)
        self.door.clock.advance(DRAIN_SECONDS)
        self.assert_closed("body")

    def test_an_idle_connection_is_none_of_them(self) -> None:
        self.client.send(HEALTH)
        self.door.clock.advance(self.door.settings.http_keep_alive)
        self.assertTrue(self.client.transport.disconnecting)
        self.assert_closed()

    def test_an_answer_that_is_not_taken(self) -> None:
        self.client.channel.forceAbortClient()
        self.assert_closed("answer")


class HeaderTests(SynchronousTestCase):
    def test_the_size_of_headers_is_a_setting(self) -> None:
        door = Door(ready=False, http_max_header_size=4096)
        self.assertEqual(door.ask(request("GET", "/healthz?" + "x" * 3900)).status, 200)
        self.assertEqual(door.ask(request("GET", "/healthz?" + "x" * 4200)).status, 414)
        self.assertEqual(door.ask(request("GET", "/healthz", headers=["X: " + "y" * 4200])).status, 431)
        wide = Door(ready=False, http_max_header_size=100_000)
        self.assertEqual(wide.ask(request("GET", "/healthz", headers=["X: " + "y" * 90_000])).status, 200)


class DownloadTests(SynchronousTestCase):
    PATH = "/v1/topics/t/partitions/0/records/0"

    def setUp(self) -> None:
        self.door = Door(http_max_downloads=2)
        self.assertEqual(
            self.door.ask(request(path="/v1/topics/t/records?partition=0", body=b"hello")).status, 201
        )

    def begin(self) -> Client:
        client = self.door.client()
        client.send(request("GET", self.PATH, body=None))
        self.assertEqual(client.received, b"")
        return client

    def ask(self, path: str = PATH) -> Answer:
        return self.door.ask(request("GET", path, body=None))

    def assert_full(self, answer: Answer) -> None:
        self.assertEqual((answer.status, answer.json["type"]), (503, "/problems/too-many-downloads"))
        self.assertIn("LFS_HTTP_MAX_DOWNLOADS", answer.json["detail"])
        self.assertIn("retry-after", answer.headers)

    def test_one_too_many_is_told_until_another_is_done(self) -> None:
        self.door.source.hold("open")
        first, second = self.begin(), self.begin()
        self.assert_full(self.ask())
        self.assert_full(self.ask(f"{self.PATH}/envelope"))
        self.assertEqual(self.door.ask(request(body=b"an upload")).status, 201)
        self.door.source.let_go("open")
        self.assertEqual([each.answer().body for each in (first, second)], [b"hello"] * 2)
        self.assertEqual(self.ask().status, 200)

    def test_one_whose_client_leaves_counts_no_more(self) -> None:
        self.door.source.hold("open")
        self.begin().leave()
        self.begin()
        self.begin()
        self.assert_full(self.ask())
        self.door.source.let_go("open")
        self.assertEqual(self.door.site.downloads, set())

    def test_one_that_is_answered_counts_no_more_for_the_next_on_its_connection(self) -> None:
        self.door.source.hold("open")
        self.begin()
        client = self.door.client()
        client.send(request("GET", self.PATH, body=None) * 2)
        self.door.source.let_go_one("open", 1)
        self.assertEqual(client.answer().status, 200)
        self.door.source.let_go("open")
        self.assertEqual(client.answer().status, 200)

    def test_one_that_is_refused_counts_not(self) -> None:
        for _ in range(5):
            self.assertEqual(self.ask("/v1/topics/t/partitions/0/records/99").status, 404)
        self.assertEqual(self.ask().status, 200)

    def test_0_is_any_number(self) -> None:
        self.door = Door(http_max_downloads=0)
        self.door.ask(request(path="/v1/topics/t/records?partition=0", body=b"hello"))
        self.door.source.hold("open")
        for _ in range(5):
            self.begin()
        self.door.source.let_go("open")
        self.assertEqual(self.ask().status, 200)
