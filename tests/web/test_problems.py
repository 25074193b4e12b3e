"""An error is rendered by what it says of itself: status, header fields, members."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from lfsproxy.errors import (
    RETRY_AFTER_SECONDS,
    BlobCorrupt,
    BrokerRefused,
    ChecksumMismatch,
    LfsError,
    StoreUnavailable,
    UnknownTopic,
)
from lfsproxy.web.problems import KeyInvalid, KeyRequired, MethodUnsupported, render_problem
from lfsproxy.web.ranges import RangeNotSatisfiable
from lfsproxy.web.tus_fields import TusVersionUnsupported

COMMON = {"type", "title", "status", "detail", "request_id"}


class Teapot(LfsError):
    """An error that nobody but this test knows."""

    http_status = 418
    problem = "teapot"
    title = "It is a teapot"

    def http_headers(self) -> Mapping[str, str]:
        return {"Brews": "tea"}

    def problem_members(self) -> Mapping[str, str | int]:
        return {"cups": 2}


class RenderingTests(SynchronousTestCase):
    def render(self, error: LfsError) -> tuple[int | None, dict[str, str], dict[str, object]]:
        """Status, header fields besides those of the body, and the document."""
        request: Any = DummyRequest([b""])
        request.request_id = "order-7"
        document = json.loads(render_problem(request, error))
        sent = {
            name.decode(): value.decode() for name, (value,) in request.responseHeaders.getAllRawHeaders()
        }
        self.assertEqual(sent.pop("Content-Type"), "application/problem+json")
        sent.pop("Content-Length")
        return request.responseCode, sent, document

    def test_a_new_error_needs_no_change_of_the_rendering(self) -> None:
        status, headers, document = self.render(Teapot("short and stout"))
        self.assertEqual((status, headers), (418, {"Brews": "tea"}))
        self.assertEqual(
            document,
            {
                "type": "/problems/teapot",
                "title": "It is a teapot",
                "status": 418,
                "detail": "short and stout",
                "cups": 2,
                "request_id": "order-7",
            },
        )

    def test_header_fields(self) -> None:
        for error, headers in (
            (LfsError("what"), {}),
            (StoreUnavailable("away"), {"Retry-After": str(RETRY_AFTER_SECONDS)}),
            (RangeNotSatisfiable("bytes=9-", 5), {"Content-Range": "bytes */5"}),
            (MethodUnsupported("BREW", "GET, HEAD"), {"Allow": "GET, HEAD"}),
            (KeyRequired("none"), {"WWW-Authenticate": 'Bearer realm="lfsproxy"'}),
            (KeyInvalid("bad"), {"WWW-Authenticate": 'Bearer realm="lfsproxy", error="invalid_token"'}),
            (TusVersionUnsupported("missing"), {"Tus-Version": "1.0.0"}),
        ):
            self.assertEqual(self.render(error)[1], headers, error)

    def test_members(self) -> None:
        sums = {"algorithm": "md5", "expected": "a", "actual": "b"}
        for error, members in (
            (StoreUnavailable("away"), {}),
            (ChecksumMismatch("md5", "a", "b"), sums),
            (BlobCorrupt("md5", "a", "b"), sums),
            (BrokerRefused(19, "no"), {"kafka_error_code": 19}),
            (UnknownTopic("none"), {"kafka_error_code": 3}),
        ):
            document = self.render(error)[2]
            self.assertEqual({name: document[name] for name in document.keys() - COMMON}, members, error)
