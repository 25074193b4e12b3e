"""The routes. Each says what it takes, calls whoever does the work, and renders what came of it."""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from klein import Klein
from klein.interfaces import IKleinRequest
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import CREATED, NO_CONTENT, OK, SERVICE_UNAVAILABLE
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from lfsproxy.errors import ClientGone, Draining, LfsError
from lfsproxy.readiness import Readiness
from lfsproxy.web import declared, tus_declared
from lfsproxy.web.cors import Cors
from lfsproxy.web.ingest import Ingest, Ingested
from lfsproxy.web.operations import operation
from lfsproxy.web.options import parse_topic
from lfsproxy.web.problems import (
    MethodUnsupported,
    NotFound,
    problem_of,
    render,
    render_json,
    render_problem,
)
from lfsproxy.web.request import StreamingRequest
from lfsproxy.web.tus import TusApi

WELCOME = """\
This is an LFS Proxy. It stores what you upload in S3 and publishes a small record about it to Kafka:

    curl -F file=@large-file.bin http://{host}/v1/topics/demo-topic/records

/healthz says whether it is alive, /readyz whether S3 and Kafka are.
"""

_log = Logger()

BeginIngest = Callable[[str, StreamingRequest], Ingest]


class HttpApi:
    """The HTTP API. ``begin`` makes the upload of a request to a topic."""

    app = Klein()
    # An empty segment is somebody's mistake, not a second way to write a path.
    app.url_map.merge_slashes = False

    def __init__(self, begin: BeginIngest, readiness: Readiness, cors: Cors, tus: TusApi) -> None:
        self._begin = begin
        self._readiness = readiness
        self._cors = cors
        self._tus = tus

    @operation(app, declared.WELCOME)
    def welcome(self, request: IRequest) -> bytes:
        host = (request.getHeader(b"Host") or b"localhost:8080").decode("ascii", "replace")
        return render(request, OK, "text/plain; charset=utf-8", WELCOME.format(host=host).encode("utf-8"))

    @operation(app, declared.HEALTHZ)
    def healthz(self, request: IRequest) -> bytes:
        return render_json(request, OK, {"status": "alive"})

    @operation(app, declared.READYZ)
    def readyz(self, request: IRequest) -> bytes:
        problems = self._readiness.problems()
        if problems:
            return render_json(request, SERVICE_UNAVAILABLE, {"status": "not ready", "problems": problems})
        notes = self._readiness.notes
        return render_json(request, OK, {"status": "ready", **({"notes": notes} if notes else {})})

    @operation(app, declared.POST_RECORD)
    def records(self, request: StreamingRequest, topic: str) -> Deferred[bytes]:
        if self._readiness.draining:
            raise Draining("the proxy is shutting down; another replica takes uploads")
        ingest = self._begin(parse_topic(topic), request)
        running = ingest.start()
        request.lfs_site.track(request, running)
        return _answer(running, lambda done: _created(request, done), ingest.stop)

    @operation(app, tus_declared.OPTIONS_UPLOADS)
    def uploads_options(self, request: IRequest, topic: str) -> bytes:
        return self._tus.options(request, "OPTIONS, POST")

    @operation(app, tus_declared.POST_UPLOAD)
    def create_upload(self, request: StreamingRequest, topic: str) -> Deferred[bytes]:
        return self._tus.create(request, topic)

    @operation(app, tus_declared.OPTIONS_UPLOAD)
    def upload_options(self, request: IRequest, topic: str, id: str) -> bytes:
        return self._tus.options(request, "DELETE, HEAD, OPTIONS, PATCH, POST")

    @operation(app, tus_declared.HEAD_UPLOAD)
    def head_upload(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        return self._tus.head(request, topic, id)

    @operation(app, tus_declared.PATCH_UPLOAD)
    def patch_upload(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        return self._tus.patch(request, topic, id)

    @operation(app, tus_declared.DELETE_UPLOAD)
    def delete_upload(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        return self._tus.delete(request, topic, id)

    @operation(app, tus_declared.OVERRIDE_UPLOAD)
    def override_upload(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        return self._tus.post(request, topic, id)

    @app.handle_errors(Exception)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        error: Any = failure.value
        if isinstance(error, MethodNotAllowed):
            return self._not_allowed(request, error)
        if isinstance(error, HTTPException):
            return render_problem(request, NotFound(f"nothing is at {request.path[:200].decode('latin-1')}"))
        return render_problem(request, problem_of(error))

    def _not_allowed(self, request: IRequest, error: MethodNotAllowed) -> bytes:
        allowed = ", ".join(sorted({*(error.valid_methods or ()), "OPTIONS"}))
        if request.method != b"OPTIONS":
            method = request.method[:20].decode("ascii")
            return render_problem(request, MethodUnsupported(method, allowed))
        request.setResponseCode(NO_CONTENT)
        request.setHeader(b"Allow", allowed.encode("ascii"))
        self._cors.add_preflight_headers(request, allowed)
        return b""


def _answer(
    running: Deferred[Ingested], render_done: Callable[[Ingested], bytes], stop: Callable[[LfsError], None]
) -> Deferred[bytes]:
    """The response to an upload. Klein cancels it when the client goes; the upload may have to go on."""
    gone = False

    def leave(_: Deferred[bytes]) -> None:
        nonlocal gone
        gone = True
        stop(ClientGone("the client went away"))

    answer: Deferred[bytes] = Deferred(leave)

    def ended(result: Ingested | Failure) -> None:
        if gone:
            outcome = result.getErrorMessage() if isinstance(result, Failure) else "it was published"
            _log.info("a client went away during its upload: {outcome}", outcome=outcome)
        elif isinstance(result, Failure):
            answer.errback(result)
        else:
            answer.callback(render_done(result))

    running.addBoth(ended)
    return answer


def _created(request: IRequest, done: Ingested) -> bytes:
    record = done.record
    location = f"/v1/topics/{record.topic}/partitions/{record.partition}/records/{record.offset}"
    request.setHeader(b"Location", location.encode("ascii"))
    return render_json(
        request,
        CREATED,
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "envelope": json.loads(done.envelope.to_bytes()),
        },
    )


def route_of(request: IRequest) -> str:
    """The route's pattern for the metrics, ``/v1/topics/{topic}/records``, or ``unmatched``."""
    mapper = getattr(IKleinRequest(request), "mapper", None)
    if mapper is None:
        return "unmatched"
    try:
        try:
            rule, _ = mapper.match(return_rule=True)
        except MethodNotAllowed as error:
            rule, _ = mapper.match(method=next(iter(error.valid_methods or ())), return_rule=True)
    except HTTPException:
        return "unmatched"
    return str(rule.rule).replace("<", "{").replace(">", "}")
