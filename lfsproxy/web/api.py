"""The routes. Each says what it takes, calls whoever does the work, and renders what came of it."""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from klein import Klein
from klein.interfaces import IKleinRequest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import CREATED, NO_CONTENT, OK, SERVICE_UNAVAILABLE
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from lfsproxy.errors import ClientGone, Draining, LfsError
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.readiness import Readiness
from lfsproxy.uploadlog import sent_by
from lfsproxy.web import declared, tus_declared
from lfsproxy.web.assets import Document, asset, docs_page, page
from lfsproxy.web.cors import Cors
from lfsproxy.web.download import DownloadApi
from lfsproxy.web.gate import Gate
from lfsproxy.web.ingest import Ingest, Ingested
from lfsproxy.web.openapi import openapi_json
from lfsproxy.web.operations import OPERATIONS, operation
from lfsproxy.web.options import parse_topic
from lfsproxy.web.problems import (
    MethodUnsupported,
    NotFound,
    problem_of,
    render_json,
    render_problem,
)
from lfsproxy.web.request import StreamingRequest
from lfsproxy.web.tus import TusApi

_log = Logger()

BeginIngest = Callable[[str, StreamingRequest], Ingest]


class HttpApi:
    """The HTTP API. ``begin`` makes the upload of a request to a topic."""

    app = Klein()
    operations = OPERATIONS
    # An empty segment is somebody's mistake, not a second way to write a path.
    app.url_map.merge_slashes = False

    def __init__(
        self,
        begin: BeginIngest,
        readiness: Readiness,
        cors: Cors,
        tus: TusApi,
        downloads: DownloadApi,
        gate: Gate,
    ) -> None:
        self._begin = begin
        self._readiness = readiness
        self._cors = cors
        self._tus = tus
        self._downloads = downloads
        self.gate = gate

    @operation(app, declared.PAGE)
    def page(self, request: IRequest) -> bytes:
        return page().answer(request)

    @operation(app, declared.DOCS)
    def docs(self, request: IRequest) -> bytes:
        return docs_page().answer(request)

    @operation(app, declared.ASSET)
    def asset(self, request: IRequest, name: str) -> bytes:
        found = asset(name)
        if found is None:
            raise NotFound(f"there is no asset {quoted(name)}")
        return found.answer(request)

    @operation(app, declared.OPENAPI)
    def openapi(self, request: IRequest) -> bytes:
        return _openapi(self.gate.asks_for_keys).answer(request)

    @operation(app, declared.HEALTHZ)
    def healthz(self, request: IRequest) -> bytes:
        return render_json(request, OK, {"status": "alive"})

    @operation(app, declared.READYZ)
    async def readyz(self, request: IRequest) -> bytes:
        await self._readiness.first_answers()
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
        with sent_by(request.sender):
            running = ingest.start()
        request.lfs_site.track(request, running)
        return _answer(request, running, lambda done: _created(request, done), ingest.stop)

    @operation(app, declared.GET_RECORD)
    def record(self, request: StreamingRequest, topic: str, partition: str, offset: str) -> Deferred[bytes]:
        return self._downloads.payload(request, topic, partition, offset)

    @operation(app, declared.GET_ENVELOPE)
    def envelope(self, request: StreamingRequest, topic: str, partition: str, offset: str) -> Deferred[bytes]:
        return self._downloads.envelope(request, topic, partition, offset)

    @operation(app, tus_declared.OPTIONS_UPLOADS)
    def uploads_options(self, request: IRequest, topic: str) -> bytes:
        # By the route, whatever the topic: a page would be told of CORS instead of what is wrong.
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


@cache
def _openapi(keys: bool) -> Document:
    # On the first request: by then every operation is declared.
    return Document(openapi_json(OPERATIONS, keys), "application/json")


def _answer(
    request: StreamingRequest,
    running: Deferred[Ingested],
    render_done: Callable[[Ingested], bytes],
    stop: Callable[[LfsError], None],
) -> Deferred[bytes]:
    """The response to an upload. Klein cancels it when its connection goes; the upload may have to go on."""
    gone: LfsError | None = None

    def leave(_: Deferred[bytes]) -> None:
        nonlocal gone
        gone = request.lfs_site.cut or ClientGone("the client went away")
        stop(gone)

    answer: Deferred[bytes] = Deferred(leave)

    def ended(result: Ingested | Failure) -> None:
        if gone is not None:
            outcome = "it was published"
            if isinstance(result, Failure):
                outcome = "nothing was published" if result.value is gone else result.getErrorMessage()
            _log.info("an upload has no answer, since {why}: {outcome}", why=gone, outcome=outcome)
        elif isinstance(result, Failure):
            answer.errback(result)
        else:
            answer.callback(render_done(result))

    running.addBoth(ended)
    return answer


def _created(request: StreamingRequest, done: Ingested) -> bytes:
    record = done.record
    request.set_location(
        b"Location", f"/v1/topics/{record.topic}/partitions/{record.partition}/records/{record.offset}"
    )
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
