"""Routes besides uploads, CORS, and how the door comes to an end."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.web.channel import NEW_SECONDS
from tests.web.doubles import Door, request

RECORDS = "/v1/topics/t/records"


class RouteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()

    def test_healthz(self) -> None:
        self.assertEqual(self.door.ask(request("GET", "/healthz")).status, 200)

    def test_readyz(self) -> None:
        answer = self.door.ask(request("GET", "/readyz"))
        self.assertEqual((answer.status, answer.json), (200, {"status": "ready"}))

    def test_readyz_says_what_to_know_of_a_proxy_that_is_ready(self) -> None:
        self.door.readiness.notes = lambda: ["it only relays"]
        answer = self.door.ask(request("GET", "/readyz"))
        self.assertEqual((answer.status, answer.json["notes"]), (200, ["it only relays"]))

    def test_readyz_says_why_not(self) -> None:
        answer = Door(ready=False).ask(request("GET", "/readyz"))
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.json["problems"], ["S3: has not answered yet", "Kafka: has not answered yet"])

    def test_unknown_paths(self) -> None:
        paths = ("/nothing", "/v1/topics/t/records/", "/v1/topics//records", "/v1/topics/a%2Fb/records")
        for path in (*paths, "//healthz", "//v1/topics/t/records", "http://host//healthz"):
            answer = self.door.ask(request("GET", path))
            self.assertEqual((answer.status, answer.json["type"]), (404, "/problems/not-found"))

    def test_methods(self) -> None:
        for method, path, allowed in (
            ("GET", RECORDS, "OPTIONS, POST"),
            ("BREW", RECORDS, "OPTIONS, POST"),
            ("POST", "/healthz", "GET, HEAD, OPTIONS"),
            ("DELETE", "/", "GET, HEAD, OPTIONS"),
        ):
            answer = self.door.ask(request(method, path))
            self.assertEqual((answer.status, answer.headers["allow"]), (405, allowed))
            self.assertEqual(answer.json["status"], 405)

    def test_options(self) -> None:
        for path, allowed in ((RECORDS, "OPTIONS, POST"), ("/healthz", "GET, HEAD, OPTIONS")):
            answer = self.door.ask(request("OPTIONS", path))
            self.assertEqual((answer.status, answer.headers["allow"], answer.body), (204, allowed, b""))
        self.assertEqual(self.door.ask(request("OPTIONS", "*")).status, 200)
        self.assertEqual(self.door.ask(request("OPTIONS", "/nothing")).status, 404)

    def test_head(self) -> None:
        for path, status in (("/", 200), ("/healthz", 200), ("/readyz", 200), ("/no", 404), (RECORDS, 405)):
            client = self.door.client()
            client.send(request("HEAD", path) + request("GET", "/healthz"))
            answer = client.answer(head=True)
            self.assertEqual(answer.status, status)
            self.assertGreater(int(answer.headers["content-length"]), 0)
            self.assertEqual(client.answer().status, 200)

    def test_every_response_is_counted_by_its_route(self) -> None:
        for method, path in (
            ("GET", "/healthz"),
            ("GET", "/nothing"),
            ("GET", "/v1/topics/other/records"),
            ("BREW", "/"),
            ("OPTIONS", RECORDS),
            ("GET", "/%ff"),
            ("OPTIONS", "*"),
        ):
            self.door.ask(request(method, path))
        self.assertEqual(
            self.door.metrics.of("http_request"),
            [
                ("/healthz", "GET", 200),
                ("unmatched", "GET", 404),
                ("/v1/topics/{topic}/records", "GET", 405),
                ("/", "other", 405),
                ("/v1/topics/{topic}/records", "OPTIONS", 204),
                ("unmatched", "GET", 400),
                ("unmatched", "OPTIONS", 200),
            ],
        )

    def test_routes_do_not_depend_on_the_host(self) -> None:
        for host in ("", "a" * 300, "..", "[::1]:8080", "h.example:8080"):
            wire = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            self.assertEqual(self.door.ask(wire).status, 200)


class CorsTests(SynchronousTestCase):
    def preflight(self, door: Door, origin: str) -> dict[str, str]:
        headers = [
            f"Origin: {origin}",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,content-type",
        ]
        answer = door.ask(request("OPTIONS", RECORDS, headers=headers))
        self.assertEqual(answer.status, 204)
        return answer.headers

    def test_any_origin(self) -> None:
        headers = self.preflight(Door(), "https://app.example")
        self.assertEqual(headers["access-control-allow-origin"], "*")
        self.assertIn("POST", headers["access-control-allow-methods"])
        self.assertIn("Authorization", headers["access-control-allow-headers"])
        self.assertIn("access-control-max-age", headers)
        self.assertNotIn("access-control-allow-credentials", headers)
        self.assertNotIn("vary", headers)

    def test_a_list_of_origins(self) -> None:
        door = Door(cors_origins=("https://one.example", "https://two.example"))
        headers = self.preflight(door, "https://two.example")
        self.assertEqual(headers["access-control-allow-origin"], "https://two.example")
        self.assertEqual(headers["vary"], "Origin")
        headers = self.preflight(door, "https://three.example")
        self.assertNotIn("access-control-allow-origin", headers)
        self.assertEqual(headers["vary"], "Origin")

    def test_answers_can_be_read_by_pages(self) -> None:
        for path, status in ((RECORDS, 201), (RECORDS + "?no=option", 400), ("/nothing", 404)):
            answer = Door().ask(request("POST", path, headers=["Origin: https://a.example"]))
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            for name in ("Location", "ETag", "Lfs-Record", "Upload-Offset", "Tus-Resumable", "Retry-After"):
                self.assertIn(name, exposed)


class DrainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()

    def test_idle_connections_are_closed(self) -> None:
        client = self.door.client()
        client.send(request("GET", "/healthz"))
        client.answer()
        self.door.readiness.drain()
        drained = self.door.site.drain()
        self.assertTrue(client.transport.disconnecting)
        self.assertNoResult(drained)
        client.leave()
        self.door.clock.advance(0)
        self.successResultOf(drained)

    def test_an_upload_in_flight_finishes(self) -> None:
        client = self.door.client()
        client.send(request(body=b"hello")[:-1])
        self.door.readiness.drain()
        drained = self.door.site.drain()
        self.assertNoResult(drained)
        self.assertEqual(self.door.site.in_flight, 1)
        client.send(b"o")
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (201, "close"))
        self.assertTrue(client.transport.disconnecting)
        client.leave()
        self.door.clock.advance(0)
        self.successResultOf(drained)

    def test_publishing_for_a_client_that_left_is_waited_for(self) -> None:
        self.door.publisher.hold("publish")
        client = self.door.client()
        client.send(request(body=b"hello"))
        client.leave()
        self.door.readiness.drain()
        drained = self.door.site.drain()
        self.assertNoResult(drained)
        self.door.publisher.let_go("publish")
        self.door.clock.advance(0)
        self.successResultOf(drained)

    def test_new_uploads_are_sent_elsewhere(self) -> None:
        client = self.door.client()
        client.send(b"POST ")
        self.door.readiness.drain()
        self.door.site.drain()
        client.send(request(body=b"hello")[5:])
        answer = client.answer()
        self.assertEqual((answer.status, answer.json["type"]), (503, "/problems/draining"))
        self.assertEqual(answer.headers["connection"], "close")
        self.assertIn("retry-after", answer.headers)
        self.assertEqual(self.door.store.pieces, [])

    def test_a_new_connection_has_a_moment_for_its_first_request(self) -> None:
        asks, waits = self.door.client(), self.door.client()
        self.door.readiness.drain()
        drained = self.door.site.drain()
        self.assertFalse(asks.transport.disconnecting)
        self.door.clock.advance(NEW_SECONDS / 2)
        asks.send(request(body=b"hello"))
        answer = asks.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (503, "close"))
        self.door.clock.advance(NEW_SECONDS / 2)
        self.assertTrue(asks.transport.disconnecting)
        self.assertTrue(waits.transport.disconnecting)
        asks.leave()
        waits.leave()
        self.door.clock.advance(0)
        self.successResultOf(drained)

    def test_readyz_says_so_while_healthz_stays_well(self) -> None:
        self.door.readiness.drain()
        answer = self.door.ask(request("GET", "/readyz"))
        self.assertEqual((answer.status, answer.json["problems"]), (503, ["the proxy is shutting down"]))
        self.assertEqual(self.door.ask(request("GET", "/healthz")).status, 200)

    def test_whoever_waits_may_give_up(self) -> None:
        client = self.door.client()
        client.send(request(body=b"hello")[:-1])
        drained = self.door.site.drain()
        drained.cancel()
        self.failureResultOf(drained)
        client.send(b"o")

    def test_abort_cuts_what_is_left(self) -> None:
        client = self.door.client()
        client.send(request(body=b"hello")[:-1])
        self.door.site.abort()
        self.assertTrue(client.transport.aborted)

    def test_an_upload_that_is_cut_says_why(self) -> None:
        for cut, why in ((False, "the client went away"), (True, "LFS_DRAIN_TIMEOUT (30 s) is over")):
            client = self.door.client()
            client.send(request(body=b"hello")[:-1])
            with capturedLogs() as events:
                if cut:
                    self.door.site.abort(why)
                client.leave()
            lines = [formatEvent(event) for event in events]
            self.assertIn(f"an upload has no answer, since {why}: nothing was published", lines)
        self.assertEqual((self.door.stored, self.door.publisher.records), ([], []))
        results = [result for _, _, result, *_ in self.door.metrics.of("upload")]
        self.assertEqual(results, ["cancelled", "cancelled"])
