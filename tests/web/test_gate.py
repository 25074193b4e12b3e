"""How many uploads run at once, and where the API is for clients: limits and the base path."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.web.channel import HEADER_SECONDS
from lfsproxy.web.operations import Operation
from tests.web.doubles import MIB, OPERATIONS, Answer, Door, request
from tests.web.tus_door import OFFSET, TUS, TusDoor, patch

EXPECT = "Expect: 100-continue"
VALUES = {"topic": "t", "id": "0" * 32, "partition": "0", "offset": "0", "name": "app.js"}


def path_of(declared: Operation) -> str:
    return re.sub(r"{(\w+)}", lambda found: VALUES[found[1]], declared.path)


class UploadLimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = TusDoor(http_max_uploads=2)

    def begin(self) -> object:
        client = self.door.client()
        client.send(request(body=b"hello")[:-1])
        return client

    def assertFull(self, answer: Answer) -> None:
        self.assertEqual((answer.status, answer.json["type"]), (503, "/problems/too-many-uploads"))
        self.assertIn("LFS_HTTP_MAX_UPLOADS", answer.json["detail"])
        self.assertIn("retry-after", answer.headers)

    def test_one_too_many_is_told_before_its_body_is_read(self) -> None:
        first, _ = self.door.client(), self.begin()
        first.send(request(body=b"hello")[:-1])
        client = self.door.client()
        client.send(request(body=bytes(2 * MIB), headers=[EXPECT])[: -2 * MIB])
        self.assertTrue(client.received.startswith(b"HTTP/1.1 503 "), client.received)
        self.assertFull(client.answer())
        first.send(b"o")
        self.assertEqual(first.answer().status, 201)
        self.assertEqual(self.door.ask(request(body=b"x")).status, 201)

    def test_uploads_by_tus_count(self) -> None:
        path = self.door.new(10)
        self.begin()
        client = self.door.client()
        client.send(patch(path, 0, b"12345")[:-1])
        for answer in (
            self.door.patch(path, 0, b"1"),
            self.door.create("Upload-Length: 3"),
            self.door.ask(request("POST", path, b"", [TUS, OFFSET, "X-HTTP-Method-Override: PATCH"])),
        ):
            self.assertFull(answer)
        client.send(b"5")
        self.assertEqual(client.answer().status, 204)
        self.assertEqual(self.door.patch(path, 5, b"67890").status, 204)

    def test_nothing_else_counts_or_is_refused(self) -> None:
        path = self.door.new(10)
        self.begin()
        self.begin()
        self.assertEqual(self.door.head(path).status, 200)
        self.assertEqual(self.door.ask(request("GET", "/healthz")).status, 200)
        self.assertEqual(self.door.delete(path).status, 204)
        self.assertEqual(self.door.ask(request("OPTIONS", "/v1/topics/t/records")).status, 204)

    def test_an_upload_counts_until_it_is_done_also_without_its_client(self) -> None:
        self.door.publisher.hold("publish")
        for _ in range(2):
            client = self.door.client()
            client.send(request(body=b"hello"))
            client.leave()
        self.assertFull(self.door.ask(request(body=b"x")))
        self.door.publisher.let_go("publish")
        self.assertEqual(self.door.ask(request(body=b"x")).status, 201)
        self.assertEqual(self.door.site.uploads, 0)

    def test_one_that_is_refused_or_fails_counts_no_more(self) -> None:
        for _ in range(5):
            self.assertEqual(self.door.ask(request(path="/v1/topics/other/records", body=b"x")).status, 404)
            self.assertEqual(self.door.create("Upload-Length: no").status, 400)
        self.assertEqual(self.door.site.uploads, 0)

    def test_0_is_any_number(self) -> None:
        self.door = TusDoor(http_max_uploads=0)
        for _ in range(20):
            self.begin()
        self.assertEqual(self.door.ask(request(body=b"x")).status, 201)


class HeaderTimeTests(SynchronousTestCase):
    def test_headers_have_the_stall_timeout_altogether(self) -> None:
        for stall_timeout, limit in ((5.0, 5), (600.0, int(HEADER_SECONDS))):
            door = Door(ready=False, stall_timeout=stall_timeout)
            client = door.client()
            client.send(request(body=b"x")[:-5])
            for _ in range(limit):
                self.assertFalse(client.transport.disconnecting)
                client.send(b"X")
                door.clock.advance(1)
            self.assertTrue(client.transport.disconnecting)
            client.leave()
            self.assertEqual(door.clock.getDelayedCalls(), [])

    def test_a_client_that_does_not_read_its_answer_is_cut(self) -> None:
        door = Door(ready=False)
        client = door.client()
        client.send(request("GET", "/assets/swagger-ui-bundle.js"))
        # Its transport is full, and never says that there is room.
        client.transport.fill()
        door.clock.pump([15.0] * 6)
        self.assertTrue(client.transport.aborted)

    def test_a_slow_client_is_served_for_hours(self) -> None:
        door = Door()
        client = door.client()
        size = 600
        client.send(request(body=bytes(size))[:-size])
        for _ in range(size):
            door.clock.advance(29)
            client.send(b"\0")
        self.assertGreater(door.clock.seconds(), 4 * 3600)
        self.assertEqual(client.answer().status, 201)
        self.assertEqual(door.stored, [bytes(size)])


class BasePathTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = TusDoor(http_base_path="/a/lfs")

    def test_the_api_is_below_it(self) -> None:
        answer = self.door.ask(request(path="/a/lfs/v1/topics/t/records?key=k", body=b"x"))
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.headers["location"], "/a/lfs/v1/topics/t/partitions/2/records/0")
        record = self.door.ask(request("GET", answer.headers["location"]))
        self.assertEqual((record.status, record.body), (200, b"x"))

    def test_so_are_resumable_uploads(self) -> None:
        answer = self.door.ask(request("POST", "/a/lfs/v1/topics/t/uploads", b"", [TUS, "Upload-Length: 3"]))
        path = answer.headers["location"]
        self.assertRegex(path, "^/a/lfs/v1/topics/t/uploads/[0-9a-f]{32}$")
        for done in (self.door.patch(path, 0, b"abc"), self.door.head(path)):
            self.assertEqual(done.headers["lfs-record"], "/a/lfs/v1/topics/t/partitions/0/records/0")

    def test_a_reverse_proxy_may_have_taken_it_away(self) -> None:
        answer = self.door.ask(request(body=b"x"))
        self.assertEqual(answer.status, 201)
        self.assertTrue(answer.headers["location"].startswith("/a/lfs/v1/"))
        self.assertEqual(self.door.ask(request("GET", "/healthz")).status, 200)

    def test_the_pages(self) -> None:
        for path in ("/", "/docs", "/openapi.json", "/assets/app.js", "/healthz"):
            self.assertEqual(self.door.ask(request("GET", f"/a/lfs{path}")).status, 200, path)

    def test_without_the_slash_a_browser_is_sent_there(self) -> None:
        answer = self.door.ask(request("GET", "/a/lfs?topic=t"))
        self.assertEqual((answer.status, answer.headers["location"]), (308, "/a/lfs/?topic=t"))

    def test_it_is_a_path_not_a_beginning(self) -> None:
        for path in ("/a/lfsx/healthz", "/a", "/a/lfs/a/lfs/healthz"):
            self.assertEqual(self.door.ask(request("GET", path)).status, 404, path)

    def test_the_metrics_have_the_routes(self) -> None:
        self.door.ask(request("GET", "/a/lfs/healthz"))
        self.assertEqual(self.door.metrics.of("http_request"), [("/healthz", "GET", 200)])


class EveryOperationTests(SynchronousTestCase):
    """What every path has, whatever it is for."""

    def setUp(self) -> None:
        self.door = TusDoor()
        self.methods: dict[str, set[str]] = {}
        for declared in OPERATIONS:
            methods = self.methods.setdefault(path_of(declared), {"OPTIONS"})
            methods |= {"GET", "HEAD"} if declared.method == "GET" else {declared.method}

    def test_options_says_what_there_is(self) -> None:
        for path, methods in self.methods.items():
            answer = self.door.ask(request("OPTIONS", path))
            self.assertEqual((answer.status, answer.body), (204, b""), path)
            self.assertEqual(set(answer.headers["allow"].split(", ")), methods, path)

    def test_other_methods_are_405_and_say_what_there_is(self) -> None:
        for path, methods in self.methods.items():
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "BREW"} - methods:
                answer = self.door.ask(request(method, path))
                self.assertEqual((answer.status, answer.json["type"]), (405, "/problems/method-not-allowed"))
                self.assertEqual(set(answer.headers["allow"].split(", ")), methods, (method, path))

    def test_head_is_get_without_its_body(self) -> None:
        for path, methods in self.methods.items():
            if "GET" not in methods:
                continue
            got = self.door.ask(request("GET", path))
            client = self.door.client()
            client.send(request("HEAD", path) + request("GET", "/healthz"))
            asked = client.answer(head=True)
            for answer in (got, asked):
                for name in ("date", "x-request-id"):
                    answer.headers.pop(name, None)
            self.assertEqual((asked.status, asked.headers), (got.status, got.headers), path)
            self.assertEqual(client.answer().json, {"status": "alive"}, path)

    def test_paths_beside_them_are_404(self) -> None:
        for path in self.methods:
            for beside in (f"{path}/more/than/that", f"/beside{path}"):
                answer = self.door.ask(request("GET", beside))
                self.assertEqual((answer.status, answer.json["type"]), (404, "/problems/not-found"), beside)
