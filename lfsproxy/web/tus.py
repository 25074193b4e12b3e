"""Resumable uploads by tus 1.0.0: header fields in, lfsproxy.resumable does the work, header fields out.

POST    /v1/topics/{topic}/uploads        create, with bytes where the content type says so
HEAD    /v1/topics/{topic}/uploads/{id}   the offset; publishes what is complete and was not published
PATCH                                     bytes at the offset; the last ones publish
DELETE                                    give it up
POST                                      the method is X-HTTP-Method-Override's
OPTIONS /v1/topics/{topic}/uploads[/{id}] what is offered
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.http import CREATED, NO_CONTENT, OK, datetimeToString
from twisted.web.iweb import IRequest

from lfsproxy.errors import BadRequest
from lfsproxy.interfaces import Published
from lfsproxy.log.trail import TRAIL
from lfsproxy.quoting import quoted
from lfsproxy.resumable.errors import ResumableOff
from lfsproxy.resumable.state import Found, Mark, UploadState
from lfsproxy.resumable.uploads import ResumableUploads, check_id
from lfsproxy.web import tus_declared as declared
from lfsproxy.web.declared import place_of
from lfsproxy.web.feeding import fed
from lfsproxy.web.gate import Gate
from lfsproxy.web.operations import operation
from lfsproxy.web.options import parse_topic
from lfsproxy.web.outliving import outliving
from lfsproxy.web.problems import MethodUnsupported
from lfsproxy.web.request import StreamingRequest
from lfsproxy.web.tus_fields import (
    CHECKSUMS,
    EXTENSIONS,
    OFFSET_TYPE,
    VERSION,
    ExpectedBytes,
    NotOffsetBytes,
    check_version,
    expected_bytes,
    field,
    new_upload_length,
    read_metadata,
    whole_number,
)

Work = Callable[..., Coroutine[Any, Any, bytes]]


def with_uploads(work: Work) -> Callable[..., Deferred[bytes]]:
    """A handler whose ``work`` needs the resumable uploads, and goes on without its client.

    What came of a body has to be stored; the body itself fails when its client leaves. Raises
    TusVersionUnsupported, or ResumableOff.
    """

    @wraps(work)
    def handler(api: TusApi, request: StreamingRequest, **place: str) -> Deferred[bytes]:
        check_version(request)
        uploads = api.uploads
        if uploads is None:
            raise ResumableOff("this proxy has no store for resumable uploads")
        return outliving(
            request,
            lambda: Deferred.fromCoroutine(work(api, uploads, request, **place)),
            lambda body: body,
            "the request was carried out",
        )

    return handler


class TusApi:
    """The handlers. ``uploads`` None: resumable uploads are off."""

    def __init__(self, uploads: ResumableUploads | None, gate: Gate) -> None:
        self.uploads = uploads
        self._gate = gate

    @operation(declared.OPTIONS_UPLOADS)
    def options(self, request: StreamingRequest, topic: str) -> None:
        """What is offered. By the route, whatever the topic: a page's preflight is not told what is wrong."""
        self._offer(request)

    @operation(declared.POST_UPLOAD)
    @with_uploads
    async def create(self, uploads: ResumableUploads, request: StreamingRequest, topic: str) -> bytes:
        """A new upload."""
        length = new_upload_length(request)
        metadata = field(request, "Upload-Metadata") or ""
        options = read_metadata(metadata, uploads.default_algorithm)
        expected = expected_bytes(request)
        has_bytes = request.body.length != 0
        if has_bytes:
            _check_offset_type(request)
            if length is not None and (request.body.length or 0) > length:
                raise BadRequest(f"Upload-Length is {length}, the request has {request.body.length} bytes")
        state, found = await uploads.create(parse_topic(topic), options, metadata, length)
        _note_key(found)
        request.set_location(b"Location", declared.HEAD_UPLOAD.at(topic=topic, id=state.id))
        _set_expiry(request, uploads, found)
        with uploads.at_work(state.id):
            if has_bytes or length == 0:
                found = await self._receive(uploads, request, state, found, length, expected)
            if has_bytes:
                _set(request, "Upload-Offset", str(found.mark.offset))
            await self._complete(uploads, request, state, found)
        request.setResponseCode(CREATED)
        request.setHeader(b"Content-Length", b"0")
        return b""

    @operation(declared.OPTIONS_UPLOAD)
    def options_of_one(self, request: StreamingRequest, topic: str, id: str) -> None:
        """What is offered, whatever the upload."""
        self._offer(request)

    @operation(declared.HEAD_UPLOAD)
    @with_uploads
    async def head(self, uploads: ResumableUploads, request: StreamingRequest, topic: str, id: str) -> bytes:
        """How far an upload is."""
        state, found = await uploads.find(parse_topic(topic), id)
        _note_key(found)
        record = await uploads.result(state, found)
        mark = found.mark
        _set(request, "Upload-Offset", str(mark.offset))
        if mark.length is None:
            _set(request, "Upload-Defer-Length", "1")
        else:
            _set(request, "Upload-Length", str(mark.length))
        if found.info.metadata:
            _set(request, "Upload-Metadata", found.info.metadata)
        if record is not None:
            _set_record(request, record)
        else:
            _set_expiry(request, uploads, found)
        request.setResponseCode(OK)
        return b""

    @operation(declared.PATCH_UPLOAD)
    @with_uploads
    async def patch(self, uploads: ResumableUploads, request: StreamingRequest, topic: str, id: str) -> bytes:
        """Bytes for an upload."""
        _check_offset_type(request)
        offset, told = whole_number(request, "Upload-Offset"), whole_number(request, "Upload-Length")
        if offset is None:
            raise BadRequest("Upload-Offset is needed")
        expected = expected_bytes(request)
        topic = parse_topic(topic)
        check_id(id)
        with uploads.at_work(id):
            state, found = await uploads.find(topic, id)
            _note_key(found)
            length = uploads.new_length(found, offset, told)
            if not found.mark.complete:
                coming = request.body.length
                if coming is not None:
                    uploads.check_received(found, offset + coming)
                    if length is not None and offset + coming > length:
                        raise BadRequest(
                            f"the upload has {length} bytes (Upload-Length), "
                            f"this request ends at {offset + coming}"
                        )
                found = await self._receive(uploads, request, state, found, length, expected)
            await self._complete(uploads, request, state, found)
        _set(request, "Upload-Offset", str(found.mark.offset))
        request.setResponseCode(NO_CONTENT)
        return b""

    @operation(declared.DELETE_UPLOAD)
    @with_uploads
    async def delete(
        self, uploads: ResumableUploads, request: StreamingRequest, topic: str, id: str
    ) -> bytes:
        """Give an upload up."""
        topic = parse_topic(topic)
        check_id(id)
        with uploads.at_work(id):
            state, found = await uploads.find(topic, id)
            _note_key(found)
            await uploads.terminate(state, found)
        request.setResponseCode(NO_CONTENT)
        return b""

    @operation(declared.OVERRIDE_UPLOAD)
    def post(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        """For clients that cannot send every method: X-HTTP-Method-Override names it."""
        method = (field(request, "X-HTTP-Method-Override") or "").upper()
        meant = declared.OVERRIDABLE.get(method)
        if meant is None:
            allowed = ", ".join(sorted([*declared.OVERRIDABLE, "OPTIONS"]))
            raise MethodUnsupported(
                f"POST without X-HTTP-Method-Override of {' or '.join(declared.OVERRIDABLE)}", allowed
            )
        self._gate.admit(request, meant, topic)
        handlers = {"HEAD": self.head, "PATCH": self.patch, "DELETE": self.delete}
        return handlers[method](request, topic=topic, id=id)

    def _offer(self, request: StreamingRequest) -> None:
        _set(request, "Tus-Resumable", VERSION)
        if self.uploads is not None:
            _set(request, "Tus-Version", VERSION)
            _set(request, "Tus-Extension", EXTENSIONS)
            _set(request, "Tus-Checksum-Algorithm", ",".join(CHECKSUMS))
            if self.uploads.max_size:
                _set(request, "Tus-Max-Size", str(self.uploads.max_size))

    async def _complete(
        self, uploads: ResumableUploads, request: StreamingRequest, state: UploadState, found: Found
    ) -> None:
        """Publish what is complete."""
        if found.mark.complete:
            request.responseHeaders.removeHeader(b"Upload-Expires")
            _set_record(request, await uploads.finish(state, found))
        else:
            _set_expiry(request, uploads, found)

    async def _receive(
        self,
        uploads: ResumableUploads,
        request: StreamingRequest,
        state: UploadState,
        found: Found,
        length: int | None,
        expected: ExpectedBytes | None,
    ) -> Found:
        """Store the request's body behind what is there."""
        lease = await uploads.lease(found, request.body.length)
        try:
            session = uploads.session(state, found, length, lease, expected.running if expected else None)
            try:
                await session.start()
                with fed(lease, request.body, request.body.fail) as busy:
                    while data := await request.body.read():
                        with busy():
                            uploads.check_received(found, session.offset + len(data))
                            await session.write(data)
                if expected is not None:
                    expected.verify()
                mark: Mark = await session.end()
            except Exception:
                await session.keep()
                raise
            finally:
                uploads.remember(session, state.id)
        finally:
            lease.release()
        return uploads.with_mark(found, mark)


def _note_key(found: Found) -> None:
    """The request is about that blob: for its line in the log, and for its span."""
    TRAIL.get().key = found.info.blob_key


def _check_offset_type(request: IRequest) -> None:
    given = field(request, "Content-Type") or ""
    if given.partition(";")[0].strip().lower() != OFFSET_TYPE:
        raise NotOffsetBytes(f"Content-Type is {quoted(given)}: {OFFSET_TYPE} is needed")


def _set(request: IRequest, name: str, value: str) -> None:
    request.setHeader(name.encode("ascii"), value.encode("latin-1"))


def _set_record(request: StreamingRequest, record: Published) -> None:
    request.set_location(b"Lfs-Record", place_of(record))


def _set_expiry(request: IRequest, uploads: ResumableUploads, found: Found) -> None:
    ends = uploads.clock.seconds() - found.idle + uploads.expiry
    request.setHeader(b"Upload-Expires", datetimeToString(ends))
