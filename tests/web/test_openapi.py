"""The OpenAPI document: valid, whole, and true to what is routed and checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import openapi_spec_validator
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BadRequest, Draining
from lfsproxy.web.openapi import errors_of, openapi_document
from lfsproxy.web.options import NAMES, OptionReader, parse_topic
from lfsproxy.web.tus_declared import UPLOAD, UPLOADS
from lfsproxy.web.tus_fields import OFFSET_TYPE
from tests.web.doubles import OPERATIONS, Door, request

ROOT = Path(__file__).parents[2]
RECORDS = "/v1/topics/{topic}/records"


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.document = openapi_document(OPERATIONS)

    def test_it_is_valid(self) -> None:
        openapi_spec_validator.validate(self.document)

    def test_every_route_is_declared_and_every_declaration_routed(self) -> None:
        routes = Door().routes
        routed = {
            (path, method)
            for path in {operation.path for operation in routes.operations}
            for method in routes.methods_of(path).split(", ")
        }
        described = {
            (path, method.upper()) for path, methods in self.document["paths"].items() for method in methods
        }
        # HEAD is answered wherever GET is, and OPTIONS everywhere.
        described |= {(path, "HEAD") for path, method in described if method == "GET"}
        described |= {(path, "OPTIONS") for path, _ in described}
        self.assertEqual(routed, described)

    def test_no_operation_is_declared_twice(self) -> None:
        for names in ([o.id for o in OPERATIONS], [(o.method, o.path) for o in OPERATIONS]):
            self.assertEqual(len(names), len(set(names)))

    def test_what_is_sent_elsewhere_while_the_proxy_drains_says_so(self) -> None:
        sent = [operation for operation in OPERATIONS if operation.elsewhere is not None]
        self.assertEqual(len(sent), 6)
        for operation in sent:
            self.assertIn(Draining, operation.errors, operation.id)

    def test_pages_show_every_problem(self) -> None:
        pages = "".join((ROOT / "docs" / name).read_text() for name in ("http.md", "resumable.md"))
        shown = set(re.findall(r"/problems/[a-z0-9-]+", pages))
        declared = {
            f"/problems/{error.problem}"
            for operation in OPERATIONS
            for errors in errors_of(operation, keys=True).values()
            for error in errors
        }
        self.assertEqual(declared - shown, set())

    def test_every_path_parameter_is_declared(self) -> None:
        for operation in OPERATIONS:
            declared = {one.name for one in operation.parameters if one.where == "path"}
            self.assertEqual(set(re.findall(r"{(\w+)}", operation.path)), declared, operation.id)
            self.assertTrue(all(one.required for one in operation.parameters if one.where == "path"))

    def test_every_operation_belongs_to_a_group_that_is_described(self) -> None:
        document = openapi_document(OPERATIONS)
        groups = [group["name"] for group in document["tags"]]
        self.assertEqual(groups, ["Records", "Resumable uploads", "Health", "Pages"])
        used = [one["tags"] for methods in document["paths"].values() for one in methods.values()]
        self.assertEqual({group for (group,) in used}, set(groups))

    def test_pages_of_other_origins_may_read_every_header_that_is_described(self) -> None:
        answer = Door().ask(request("GET", "/healthz", headers=["Origin: https://a.example"]))
        exposed = {name.lower() for name in answer.headers["access-control-expose-headers"].split(", ")}
        # These a browser shows in any case (https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name).
        exposed |= {"cache-control", "content-length", "content-type"}
        for methods in self.document["paths"].values():
            for operation in methods.values():
                for answer in operation["responses"].values():
                    self.assertLessEqual({name.lower() for name in answer.get("headers", ())}, exposed)

    def test_what_needs_a_body_says_so(self) -> None:
        paths = openapi_document(OPERATIONS)["paths"]
        for path, method, required in (
            (UPLOAD, "patch", True),
            (UPLOAD, "post", True),
            (UPLOADS, "post", False),
            ("/v1/topics/{topic}/records", "post", True),
        ):
            self.assertEqual(paths[path][method]["requestBody"]["required"], required, (path, method))
            if path != "/v1/topics/{topic}/records":
                self.assertEqual(list(paths[path][method]["requestBody"]["content"]), [OFFSET_TYPE])

    def test_every_option_is_a_query_parameter_and_a_field_of_the_form(self) -> None:
        post = self.document["paths"][RECORDS]["post"]
        query = {one["name"] for one in post["parameters"] if one["in"] == "query"}
        self.assertEqual(query, set(NAMES))
        form = post["requestBody"]["content"]["multipart/form-data"]["schema"]
        self.assertEqual(set(form["properties"]), {*NAMES, "file"})

    def test_every_error_of_an_operation_is_a_problem_of_its_status(self) -> None:
        for operation in OPERATIONS:
            responses = self.document["paths"][operation.path][operation.method.lower()]["responses"]
            for status, errors in errors_of(operation).items():
                schema = responses[str(status)]["content"]["application/problem+json"]["schema"]
                types = schema["properties"]["type"]["enum"]
                self.assertEqual(types, [f"/problems/{error.problem}" for error in errors])
                self.assertEqual(len(types), len(set(types)))


class PatternTests(SynchronousTestCase):
    """What a schema's pattern says is what the server does, at the edges."""

    def accepted(self, name: str, value: str) -> bool:
        reader = OptionReader()
        try:
            reader.add(name, value.encode())
            reader.options("sha256")
        except BadRequest:
            return False
        return True

    def schema(self, name: str) -> dict[str, Any]:
        parameters = openapi_document(OPERATIONS)["paths"][RECORDS]["post"]["parameters"]
        found: dict[str, Any] = next(one["schema"] for one in parameters if one["name"] == name)
        return dict(found.get("items", found))

    def test_strings(self) -> None:
        for name, values in {
            "key_base64": ["", "a", "YQ", "YQ==", "YQ=", "YWI=", "_-+/", "Y W=", "YQ===", "é", "YQ==\n"],
            "content_type": ["", "a", "a b", "a ", "x" * 255, "x" * 256, "a\n", "é"],
            "header": [
                "a:b",
                "a",
                ":b",
                "a:",
                "LFS_BLOB:",
                "LFS_BLOB_ALG:x",
                "LFS_BLOBS:x",
                "a:b\nc",
                "\n:\n",
            ],
        }.items():
            pattern = self.schema(name)["pattern"].removesuffix("$") + r"\Z"
            for value in values:
                self.assertEqual(self.accepted(name, value), bool(re.search(pattern, value)), (name, value))

    def test_integers(self) -> None:
        for name in ("partition", "timestamp"):
            schema = self.schema(name)
            most = schema["maximum"]
            self.assertEqual(schema["minimum"], 0)
            for value, good in ((0, True), (most, True), (-1, False), (most + 1, False)):
                self.assertEqual(self.accepted(name, str(value)), good, (name, value))

    def test_topics_of_kafkas_own(self) -> None:
        self.assertIn("__consumer_offsets", self.schema("topic")["not"]["enum"])
        error = self.assertRaises(BadRequest, parse_topic, "__consumer_offsets")
        self.assertIn("Kafka's own", str(error))

    def test_as_many_headers_as_the_schema_says(self) -> None:
        reader = OptionReader()
        for _ in range(200):
            reader.add("header", b"a:b")
        self.assertRaises(BadRequest, reader.add, "header", b"a:b")


class ServedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()

    def test_the_document(self) -> None:
        answer = self.door.ask(request("GET", "/openapi.json"))
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        self.assertEqual(answer.json, openapi_document(OPERATIONS))

    def test_a_copy_that_is_current_is_not_sent_again(self) -> None:
        for path in ("/openapi.json", "/", "/docs", "/assets/app.js", "/assets/swagger-ui.css"):
            first = self.door.ask(request("GET", path))
            self.assertEqual((first.status, first.headers["cache-control"]), (200, "no-cache"))
            tag = first.headers["etag"]
            again = self.door.ask(request("GET", path, headers=[f"If-None-Match: {tag}"]))
            self.assertEqual((again.status, again.body, again.headers["etag"]), (304, b"", tag))
            for named in (f"W/{tag}", f'"other",{tag}', "*"):
                again = self.door.ask(request("GET", path, headers=[f"If-None-Match: {named}"]))
                self.assertEqual(again.status, 304, (path, named))
            other = self.door.ask(request("GET", path, headers=['If-None-Match: "other"']))
            self.assertEqual((other.status, other.body), (200, first.body))

    def test_pages_run_nothing_but_their_own_files(self) -> None:
        for path in ("/", "/docs"):
            answer = self.door.ask(request("GET", path))
            policy = answer.headers["content-security-policy"]
            self.assertIn("default-src 'none'; script-src 'self';", policy)
            self.assertNotIn("unsafe", policy)
            text = answer.body.decode()
            # Relative, for a base path, and of no other host; nothing inline.
            for where in re.findall(r'(?:src|href)="([^"]*)"', text):
                self.assertNotRegex(where, r"^(/|\w+://)")
                if where.startswith("assets/"):
                    self.assertEqual(self.door.ask(request("GET", f"/{where}")).status, 200, where)
            self.assertNotRegex(text, r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=")

    def test_assets_say_what_they_are(self) -> None:
        for name, content_type in (("app.js", "text/javascript"), ("swagger-ui.css", "text/css")):
            answer = self.door.ask(request("GET", f"/assets/{name}"))
            self.assertTrue(answer.headers["content-type"].startswith(content_type))
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")

    def test_there_are_no_other_assets(self) -> None:
        for name in ("nothing", "..%2Fapi.py", "../api.py", "docs.html"):
            answer = self.door.ask(request("GET", f"/assets/{name}"))
            self.assertEqual((answer.status, answer.json["type"]), (404, "/problems/not-found"))
