"""A route takes one place: what an operation declares is seen everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from lfsproxy.errors import LfsError
from lfsproxy.web.keys import new_key, write_keys
from lfsproxy.web.operations import Answer, Operation, Parameter, operation
from lfsproxy.web.problems import render_json
from lfsproxy.web.request import StreamingRequest
from tests.web.doubles import Door, request

PATH = "/v1/topics/{topic}/probes/{name}"
HERE = "/v1/topics/t/probes/one"
TOPIC = Parameter("topic", "path", "The topic's name", {"type": "string"}, required=True)
NAME = Parameter("name", "path", "The probe's name", {"type": "string"}, required=True)


class Broken(LfsError):
    """A probe that is broken."""

    http_status = 409
    problem = "probe-broken"
    title = "The probe is broken"


READ_PROBE = Operation(
    "readProbe",
    "GET",
    PATH,
    "What a probe says",
    answers=(Answer(200, "It says so", {"application/json": {}}, {"Probe-Age": "Seconds"}),),
    parameters=(TOPIC, NAME, Parameter("Probe-Unit", "header", "A unit", {"type": "string"})),
    errors=(Broken,),
    action="read",
)
PUT_PROBE = Operation(
    "putProbe",
    "PUT",
    PATH,
    "Place a probe",
    answers=(Answer(200, "It is there"),),
    parameters=(TOPIC, NAME),
    body={"*/*": {}},
    action="write",
    elsewhere="places probes",
    headers={"Probe-Version": "7"},
)


class ProbeApi:
    """A route that nobody else knows of."""

    def __init__(self) -> None:
        self.running = Deferred[bytes]()

    @operation(READ_PROBE)
    async def read(self, request: IRequest, topic: str, name: str) -> bytes:
        if name == "broken":
            raise Broken("it fell down")
        return render_json(request, 200, [topic, name])

    @operation(PUT_PROBE)
    def put(self, request: StreamingRequest, topic: str, name: str) -> Deferred[bytes]:
        request.track(self.running)
        return self.running


class OnePlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = self.open()

    def open(self, **settings: Any) -> Door:
        door = Door(**settings)
        self.api = ProbeApi()
        door.routes.add(self.api)
        return door

    def test_it_is_routed_with_the_values_of_its_path(self) -> None:
        answer = self.door.ask(request("GET", HERE))
        self.assertEqual((answer.status, answer.json), (200, ["t", "one"]))
        self.assertEqual(self.door.ask(request("HEAD", HERE)).status, 200)
        self.assertEqual(self.door.ask(request("GET", f"{HERE}/more")).status, 404)

    def test_what_was_there_before_stays(self) -> None:
        self.assertEqual(self.door.ask(request("GET", "/healthz")).status, 200)
        self.assertEqual(self.door.ask(request(body=b"x")).status, 201)

    def test_its_errors_are_problems(self) -> None:
        answer = self.door.ask(request("GET", HERE.replace("one", "broken")))
        self.assertEqual((answer.status, answer.json["type"]), (409, "/problems/probe-broken"))

    def test_it_is_described(self) -> None:
        described = self.door.ask(request("GET", "/openapi.json")).json["paths"][PATH]
        self.assertEqual({method: one["operationId"] for method, one in described.items()}, {
            "get": "readProbe",
            "put": "putProbe",
        })  # fmt: skip
        problem = described["get"]["responses"]["409"]["content"]["application/problem+json"]["schema"]
        self.assertEqual(problem["properties"]["type"]["enum"], ["/problems/probe-broken"])

    def test_options_and_a_refused_method_say_what_there_is(self) -> None:
        for method, status in (("OPTIONS", 204), ("DELETE", 405)):
            answer = self.door.ask(request(method, HERE))
            self.assertEqual((answer.status, answer.headers["allow"]), (status, "GET, HEAD, OPTIONS, PUT"))

    def test_pages_of_other_origins_may_send_and_see_its_header_fields(self) -> None:
        page = ["Origin: https://a.example", "Access-Control-Request-Method: PUT"]
        headers = self.door.ask(request("OPTIONS", HERE, headers=page)).headers
        self.assertEqual(headers["access-control-allow-methods"], "GET, HEAD, OPTIONS, PUT")
        self.assertIn("Probe-Unit", headers["access-control-allow-headers"].split(", "))
        for name in ("Probe-Age", "Probe-Version"):
            self.assertIn(name, headers["access-control-expose-headers"].split(", "))

    def test_a_key_has_to_allow_it(self) -> None:
        key, token = new_key("reader", ["t"], ["read"], datetime(2026, 1, 1, tzinfo=UTC))
        file = Path(self.mktemp())
        file.write_text(write_keys([key]))
        self.door = self.open(http_api_keys_file=str(file))
        sent = [f"Authorization: Bearer {token}"]
        for method, path, headers, status in (
            ("GET", HERE, [], 401),
            ("GET", HERE, sent, 200),
            ("PUT", HERE, sent, 403),
            ("GET", HERE.replace("/t/", "/other/"), sent, 403),
            ("OPTIONS", HERE, [], 204),
        ):
            self.assertEqual(self.door.ask(request(method, path, headers=headers)).status, status, path)
        security = self.door.ask(request("GET", "/openapi.json")).json["paths"][PATH]["get"]["security"]
        self.assertEqual(security, [{"apiKey": []}])

    def test_a_body_counts_as_an_upload(self) -> None:
        self.door = self.open(http_max_uploads=1)
        first = self.door.client()
        first.send(request("PUT", HERE, b"x"))
        self.assertEqual((self.door.site.uploads, self.door.site.in_flight), (1, 1))
        answer = self.door.ask(request("PUT", HERE, b"x"))
        self.assertEqual((answer.status, answer.json["type"]), (503, "/problems/too-many-uploads"))
        self.assertNotIn("probe-version", answer.headers)
        self.api.running.callback(b"")
        answer = first.answer()
        self.assertEqual((answer.status, answer.headers["probe-version"]), (200, "7"))
        self.assertEqual((self.door.site.uploads, self.door.site.in_flight), (0, 0))

    def test_draining_sends_it_elsewhere_where_it_says_so(self) -> None:
        self.door.readiness.drain()
        answer = self.door.ask(request("PUT", HERE, b"x"))
        self.assertEqual((answer.status, answer.json["type"]), (503, "/problems/draining"))
        self.assertEqual(answer.json["detail"], "the proxy is shutting down; another replica places probes")
        self.assertEqual((answer.headers["probe-version"], answer.headers["retry-after"]), ("7", "5"))
        self.assertEqual(self.door.ask(request("GET", HERE)).status, 200)

    def test_the_metrics_have_its_path(self) -> None:
        for method, path in (("GET", HERE), ("DELETE", HERE), ("OPTIONS", HERE), ("GET", f"{HERE}/more")):
            self.door.ask(request(method, path))
        self.assertEqual(
            self.door.metrics.of("http_request"),
            [(PATH, "GET", 200), (PATH, "DELETE", 405), (PATH, "OPTIONS", 204), ("unmatched", "GET", 404)],
        )
