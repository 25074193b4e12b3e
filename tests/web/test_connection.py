"""What a connection does: order, back-pressure, 100 Continue, early answers, limits, and how it closes."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.settings import DEFAULTS
from lfsproxy.web import channel
from lfsproxy.web.channel import HEADER_SECONDS, LINGER_SECONDS
from lfsproxy.web.request import DRAIN_BYTES
from tests.web.doubles import MIB, Door, chunked, request

EXPECT = "Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class WriteTests(SynchronousTestCase):
    """An answer leaves in one piece: what is written by itself costs a call of the kernel."""

    def written(self, wire: bytes) -> list[bytes]:
        client = Door().client()
        writes: list[bytes] = []
        write = client.transport.write

        def note(data: bytes) -> None:
            writes.append(data)
            write(data)

        self.patch(client.transport, "write", note)
        client.send(wire)
        return writes

    def test_a_head_leaves_with_its_body(self) -> None:
        (answer,) = self.written(request(body=b"abc"))
        self.assertTrue(answer.startswith(b"HTTP/1.1 201 Created\r\n"))
        self.assertTrue(answer.endswith(b"}\n"))

    def test_a_head_without_a_body_leaves_by_itself(self) -> None:
        (answer,) = self.written(request("HEAD", "/healthz"))
        self.assertTrue(answer.endswith(b"\r\n\r\n"))


class OrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()
        self.client = self.door.client()

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        self.door.publisher.hold("publish")
        self.client.send(
            request(body=b"one")
            + request("GET", "/healthz")
            + request(body=None, headers=["Transfer-Encoding: chunked"])
            + chunked(b"two")
            + request("GET", "/nothing")
        )
        self.assertEqual(self.client.received, b"")
        self.door.publisher.let_go("publish")
        self.assertEqual([self.client.answer().status for _ in range(4)], [201, 200, 201, 404])
        self.assertEqual(self.door.stored, [b"one", b"two"])
        self.assertFalse(self.client.transport.disconnecting)

    def test_a_pipelined_flood_is_not_read_while_a_request_is_handled(self) -> None:
        self.door.publisher.hold("publish")
        self.client.send(request(body=b"one"))
        self.client.send(bytes(20_000))
        self.assertFalse(self.client.transport.reading)
        self.door.publisher.let_go("publish")

    def test_connection_close_is_honoured(self) -> None:
        self.client.send(request(body=b"one", headers=["Connection: close"]))
        answer = self.client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (201, "close"))
        self.assertTrue(self.client.transport.disconnecting)

    def test_http_1_0(self) -> None:
        self.client.send(b"POST /v1/topics/t/records HTTP/1.0\r\nContent-Length: 3\r\n\r\none")
        self.assertEqual(self.client.answer().status, 201)
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual(self.door.stored, [b"one"])

    def test_an_upload_without_a_length_is_refused(self) -> None:
        # HTTP/1.0 clients may mean "until I close": taking that for an empty body would lose theirs.
        for version in ("1.0", "1.1"):
            client = self.door.client()
            client.send(request(body=None, version=version))
            self.assertEqual(client.answer().status, 411)

    def test_an_absolute_target(self) -> None:
        for scheme in ("http", "HTTPS"):
            self.client.send(request("GET", f"{scheme}://elsewhere/healthz?x"))
            self.assertEqual(self.client.answer().status, 200)

    def test_a_blank_line_between_requests_is_skipped(self) -> None:
        self.client.send(request(body=b"one") + b"\r\n" + request("GET", "/healthz"))
        self.assertEqual([self.client.answer().status for _ in range(2)], [201, 200])


class ContinueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()
        self.client = self.door.client()

    def test_continue_is_sent_when_the_body_is_wanted(self) -> None:
        lease = self.successResultOf(self.door.budget.acquire(18 * MIB))
        self.client.send(request(body=bytes(2 * MIB), headers=[EXPECT])[: -2 * MIB])
        self.assertEqual(self.client.received, b"")
        lease.release()
        self.door.clock.advance(0)
        self.assertEqual(self.client.received, CONTINUE)
        self.client.send(bytes(2 * MIB))
        self.assertEqual(self.client.answer().status, 201)

    def test_no_continue_before_a_refusal(self) -> None:
        self.client.send(request(path="/v1/topics/other/records", body=b"x", headers=[EXPECT])[:-1])
        self.assertNotIn(CONTINUE, self.client.received)
        answer = self.client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (404, "close"))

    def test_no_continue_for_who_does_not_wait(self) -> None:
        self.client.send(request(body=b"x", headers=[EXPECT]))
        # The head and the body came at once, but the head is handled first.
        self.assertEqual(self.client.received.count(CONTINUE), 1)
        client = self.door.client()
        client.send(request(body=b"", headers=[EXPECT]))
        self.assertNotIn(CONTINUE, client.received)

    def test_no_continue_when_the_body_has_begun(self) -> None:
        self.door.publisher.hold("choose_partition")
        self.client.send(request(body=b"hello", headers=[EXPECT])[:-1])
        self.door.publisher.let_go("choose_partition")
        self.assertEqual(self.client.received, b"")
        self.client.send(b"o")
        self.assertEqual(self.client.answer().status, 201)

    def test_no_continue_for_http_1_0(self) -> None:
        self.client.send(request(body=b"x", headers=[EXPECT], version="1.0"))
        self.assertNotIn(CONTINUE, self.client.received)

    def test_in_a_list(self) -> None:
        self.client.send(request(body=b"x", headers=["Expect: 100-Continue,", "Expect: 100-continue"])[:-1])
        self.assertEqual(self.client.received, CONTINUE)

    def test_other_expectations_are_417_and_nothing_is_read(self) -> None:
        for expect in ("200-ok", "100-continue, 200-ok", "100-continue\r\nExpect: 200-ok"):
            client = self.door.client()
            client.send(request(body=b"x", headers=[f"Expect: {expect}"])[:-1])
            self.assertNotIn(CONTINUE, client.received)
            answer = client.answer()
            self.assertEqual((answer.status, answer.json["type"]), (417, "/problems/expectation-failed"))
            self.assertIn("200-ok", answer.json["detail"])
        self.assertEqual(self.door.publisher.records, [])
        # HTTP/1.0 has no expectations (RFC 9110, section 10.1.1).
        answer = self.door.ask(request(body=b"x", headers=["Expect: 200-ok"], version="1.0"))
        self.assertEqual(answer.status, 201)

    def test_a_form_gets_it_too(self) -> None:
        headers = [EXPECT, "Content-Type: multipart/form-data; boundary=b", "Content-Length: 99"]
        self.client.send(request(body=None, headers=headers))
        self.assertEqual(self.client.received, CONTINUE)


class EarlyAnswerTests(SynchronousTestCase):
    """An answer before the body's end."""

    def setUp(self) -> None:
        self.door = Door()
        self.client = self.door.client()

    def test_a_short_rest_is_drained_and_the_connection_goes_on(self) -> None:
        self.client.send(request(path="/nothing", body=bytes(1000))[:-500])
        answer = self.client.answer()
        self.assertEqual(answer.status, 404)
        self.assertNotIn("connection", answer.headers)
        self.client.send(bytes(400))
        self.client.send(bytes(100) + request("GET", "/healthz"))
        self.assertEqual(self.client.answer().status, 200)

    def test_a_rest_that_does_not_come_closes(self) -> None:
        self.client.send(request(path="/nothing", body=bytes(1000))[:-500])
        self.door.clock.advance(10)
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_long_rest_closes(self) -> None:
        self.client.send(request(path="/nothing", body=bytes(DRAIN_BYTES + 1))[: -DRAIN_BYTES - 1])
        answer = self.client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (404, "close"))
        # Closing at once would reset the connection, and the client might not see the answer.
        self.assertFalse(self.client.transport.disconnecting)
        self.client.send(bytes(DRAIN_BYTES))
        self.assertTrue(self.client.transport.reading)
        self.client.send(b"x")
        self.assertFalse(self.client.transport.reading)
        self.door.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual(self.client.received, b"")

    def test_an_unknown_rest_closes(self) -> None:
        self.client.send(request(path="/nothing", body=None, headers=["Transfer-Encoding: chunked"]))
        answer = self.client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (404, "close"))
        self.client.send(chunked(b"x") + request("GET", "/healthz"))
        self.assertEqual(self.client.received, b"")
        self.door.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_client_that_asked_to_close_is_closed_when_its_body_came(self) -> None:
        self.client.send(request(path="/nothing", body=bytes(1000), headers=["Connection: close"])[:-500])
        self.assertEqual(self.client.answer().status, 404)
        self.assertFalse(self.client.transport.disconnecting)
        self.client.send(bytes(500))
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_client_that_leaves_while_its_rest_is_drained(self) -> None:
        self.client.send(request(path="/nothing", body=bytes(1000))[:-500])
        self.client.leave()
        self.assertEqual(self.door.site.in_flight, 0)


class BackPressureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()
        self.client = self.door.client()

    def test_a_slow_store_pauses_the_client(self) -> None:
        self.door.store.hold("write")
        self.client.send(request(body=bytes(MIB))[:-MIB])
        self.assertTrue(self.client.transport.reading)
        for _ in range(4):
            self.client.send(bytes(128 * 1024))  # written, and the store asks for patience
            self.assertTrue(self.client.transport.reading)
            self.client.send(bytes(128 * 1024))  # kept, nobody reads
            self.assertFalse(self.client.transport.reading)
            self.door.store.let_go("write")
            self.assertTrue(self.client.transport.reading)
            self.door.store.hold("write")
        self.assertEqual(self.client.answer().status, 201)

    def test_room_for_our_answers_does_not_resume_a_paused_body(self) -> None:
        self.door.store.hold("write")
        self.client.send(request(body=bytes(MIB))[:-MIB])
        self.client.send(bytes(128 * 1024))
        self.client.send(bytes(128 * 1024))
        self.client.transport.fill()
        self.client.transport.make_room()
        self.assertFalse(self.client.transport.reading)

    def test_a_client_that_leaves_while_it_is_not_read_is_noticed(self) -> None:
        gone: list[bool] = [False, False, True]
        self.patch(channel, "peer_is_gone", lambda transport: gone.pop(0))
        self.door.store.hold("write")
        self.client.send(request(body=bytes(MIB))[:-MIB])
        self.client.send(bytes(128 * 1024))
        self.client.send(bytes(128 * 1024))
        self.door.clock.pump([1.0, 1.0])
        self.assertFalse(self.client.transport.aborted)
        self.door.clock.advance(1)
        self.assertTrue(self.client.transport.aborted)

    def test_a_client_that_is_read_again_is_not_looked_at(self) -> None:
        self.patch(channel, "peer_is_gone", lambda transport: True)
        self.door.store.hold("write")
        self.client.send(request(body=bytes(MIB))[:-MIB])
        self.client.send(bytes(128 * 1024))
        self.client.send(bytes(128 * 1024))
        self.door.store.let_go("write")
        self.door.clock.advance(5)
        self.assertFalse(self.client.transport.aborted)

    def test_who_waits_for_memory_is_not_read(self) -> None:
        lease = self.successResultOf(self.door.budget.acquire(18 * MIB))
        self.client.send(request(body=bytes(2 * MIB))[: -2 * MIB] + bytes(1000))
        self.assertFalse(self.client.transport.reading)
        lease.release()
        self.door.clock.advance(0)
        self.assertTrue(self.client.transport.reading)


class TimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door(ready=False)
        self.client = self.door.client()

    def test_an_idle_connection_is_closed(self) -> None:
        self.door.clock.advance(DEFAULTS.http_keep_alive)
        self.assertTrue(self.client.transport.disconnecting)

    def test_how_long_it_may_be_idle_is_a_setting(self) -> None:
        door = Door(ready=False, http_keep_alive=400.0)
        client = door.client()
        for _ in range(2):
            door.clock.advance(399)
            self.assertFalse(client.transport.disconnecting)
            client.send(request("GET", "/healthz"))
        door.clock.advance(400)
        self.assertTrue(client.transport.disconnecting)

    def test_an_idle_connection_is_closed_after_a_request_too(self) -> None:
        self.door.clock.advance(DEFAULTS.http_keep_alive - 1)
        self.client.send(request("GET", "/healthz"))
        self.door.clock.advance(DEFAULTS.http_keep_alive - 1)
        self.assertFalse(self.client.transport.disconnecting)
        self.door.clock.advance(1)
        self.assertTrue(self.client.transport.disconnecting)

    def test_dripping_headers_are_cut(self) -> None:
        for _ in range(int(HEADER_SECONDS)):
            self.assertFalse(self.client.transport.disconnecting)
            self.client.send(b"G")
            self.door.clock.advance(1)
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_long_upload_is_not_idle(self) -> None:
        self.client.send(request(body=bytes(1000))[:-1000])
        for _ in range(10):
            self.door.clock.advance(29)
            self.client.send(bytes(100))
        self.assertEqual(self.client.answer().status, 201)

    def test_a_connection_that_will_not_close_is_cut(self) -> None:
        self.door.clock.advance(DEFAULTS.http_keep_alive)
        self.assertFalse(self.client.transport.aborted)
        with capturedLogs() as events:
            self.door.clock.advance(15)
        self.assertTrue(self.client.transport.aborted)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["an HTTP client (192.168.1.1) does not take its answer: its connection is cut"],
        )

    def test_a_closed_connection_leaves_no_timer(self) -> None:
        self.client.send(request(body=b"xyz"))
        self.client.send(request(body=b"xyz")[:-1])
        self.client.leave()
        self.assertEqual(self.door.clock.getDelayedCalls(), [])
