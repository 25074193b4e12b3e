"""The route by which a file becomes a record in one request."""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.web.http import CREATED

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.interfaces import IEnvelopePublisher
from lfsproxy.web import declared
from lfsproxy.web.content import UploadContent
from lfsproxy.web.ingest import Ingest, Ingested
from lfsproxy.web.operations import operation
from lfsproxy.web.options import parse_topic
from lfsproxy.web.outliving import outliving
from lfsproxy.web.problems import render_json
from lfsproxy.web.request import StreamingRequest


class RecordApi:
    """Takes uploads."""

    def __init__(self, claims: ClaimCheck, publisher: IEnvelopePublisher, budget: MemoryBudget) -> None:
        self._claims = claims
        self._publisher = publisher
        self._budget = budget

    @operation(declared.POST_RECORD)
    def records(self, request: StreamingRequest, topic: str) -> Deferred[bytes]:
        content = UploadContent(self._claims, request.query, request.requestHeaders, request.body)
        ingest = Ingest(
            self._claims, self._publisher, self._budget, parse_topic(topic), request.body, content
        )
        return outliving(
            request, ingest.start, lambda done: _created(request, done), "it was published", ingest.stop
        )


def _created(request: StreamingRequest, done: Ingested) -> bytes:
    record = done.record
    request.set_location(b"Location", declared.place_of(record))
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
