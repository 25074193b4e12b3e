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
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import CREATED, NO_CONTENT, OK, datetimeToString
from twisted.web.iweb import IRequest

from lfsproxy.budget import Lease
from lfsproxy.errors import BadRequest, Draining, Stalled
from lfsproxy.interfaces import Published
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.readiness import Readiness
from lfsproxy.resumable.errors import ResumableOff
from lfsproxy.resumable.session import UploadSession
from lfsproxy.resumable.state import Found, Mark, UploadState
from lfsproxy.resumable.uploads import ResumableUploads, check_id
from lfsproxy.uploadlog import sent_by
from lfsproxy.web.cors import Cors
from lfsproxy.web.ingest import READ_BYTES
from lfsproxy.web.options import parse_topic
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

OVERRIDABLE = ("HEAD", "PATCH", "DELETE")


class TusApi:
    """The handlers. ``uploads`` None: resumable uploads are off."""

    _log = Logger()

    def __init__(self, uploads: ResumableUploads | None, readiness: Readiness, cors: Cors) -> None:
        self._maybe = uploads
        self._readiness = readiness
        self._cors = cors

    def options(self, request: IRequest, allowed: str) -> bytes:
        """What is offered; also the answer to a page's preflight."""
        request.setResponseCode(NO_CONTENT)
        request.setHeader(b"Allow", allowed.encode("ascii"))
        _set(request, "Tus-Resumable", VERSION)
        if self._maybe is not None:
            _set(request, "Tus-Version", VERSION)
            _set(request, "Tus-Extension", EXTENSIONS)
            _set(request, "Tus-Checksum-Algorithm", ",".join(CHECKSUMS))
            if self._maybe.max_size:
                _set(request, "Tus-Max-Size", str(self._maybe.max_size))
        self._cors.add_preflight_headers(request, allowed)
        return b""

    def create(self, request: StreamingRequest, topic: str) -> Deferred[bytes]:
        """A new upload."""
        return self._run(request, lambda uploads: self._create(uploads, request, topic), changes=True)

    def head(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        """How far an upload is."""
        request.setHeader(b"Cache-Control", b"no-store")
        return self._run(request, lambda uploads: self._head(uploads, request, topic, id), changes=False)

    def patch(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        """Bytes for an upload."""
        return self._run(request, lambda uploads: self._patch(uploads, request, topic, id), changes=True)

    def delete(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        """Give an upload up."""
        return self._run(request, lambda uploads: self._delete(uploads, request, topic, id), changes=True)

    def post(self, request: StreamingRequest, topic: str, id: str) -> Deferred[bytes]:
        """For clients that cannot send every method: X-HTTP-Method-Override names it."""
        method = (field(request, "X-HTTP-Method-Override") or "").upper()
        if method not in OVERRIDABLE:
            allowed = ", ".join(sorted([*OVERRIDABLE, "OPTIONS"]))
            raise MethodUnsupported(
                f"POST without X-HTTP-Method-Override of {' or '.join(OVERRIDABLE)}", allowed
            )
        handler: Callable[..., Deferred[bytes]] = getattr(self, method.lower())
        return handler(request, topic, id)

    def _run(
        self,
        request: StreamingRequest,
        work: Callable[[ResumableUploads], Coroutine[Any, Any, bytes]],
        changes: bool,
    ) -> Deferred[bytes]:
        """Work goes on without its client, since what came has to be stored: the body tells that it left."""
        _set(request, "Tus-Resumable", VERSION)
        check_version(request)
        if self._maybe is None:
            raise ResumableOff("this proxy has no store for resumable uploads")
        if changes and self._readiness.draining:
            raise Draining("the proxy is shutting down; another replica goes on with uploads")
        with sent_by(request.sender):
            running = Deferred.fromCoroutine(work(self._maybe))
        request.lfs_site.track(request, running)
        gone = False

        def leave(_: object) -> None:
            nonlocal gone
            gone = True

        answer: Deferred[bytes] = Deferred(leave)

        def ended(result: bytes | Failure) -> None:
            if gone:
                why = (
                    result.getErrorMessage() if isinstance(result, Failure) else "the request was carried out"
                )
                self._log.info("the client of a resumable upload went away: {why}", why=why)
            elif isinstance(result, Failure):
                answer.errback(result)
            else:
                answer.callback(result)

        running.addBoth(ended)
        return answer

    async def _create(self, uploads: ResumableUploads, request: StreamingRequest, topic: str) -> bytes:
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
        request.set_location(b"Location", f"/v1/topics/{topic}/uploads/{state.id}")
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

    async def _head(self, uploads: ResumableUploads, request: StreamingRequest, topic: str, id: str) -> bytes:
        state, found = await uploads.find(parse_topic(topic), id)
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

    async def _patch(
        self, uploads: ResumableUploads, request: StreamingRequest, topic: str, id: str
    ) -> bytes:
        _check_offset_type(request)
        offset, told = whole_number(request, "Upload-Offset"), whole_number(request, "Upload-Length")
        if offset is None:
            raise BadRequest("Upload-Offset is needed")
        expected = expected_bytes(request)
        topic = parse_topic(topic)
        check_id(id)
        with uploads.at_work(id):
            state, found = await uploads.find(topic, id)
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

    async def _delete(
        self, uploads: ResumableUploads, request: StreamingRequest, topic: str, id: str
    ) -> bytes:
        topic = parse_topic(topic)
        check_id(id)
        with uploads.at_work(id):
            state, found = await uploads.find(topic, id)
            await uploads.terminate(state, found)
        request.setResponseCode(NO_CONTENT)
        return b""

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
        body = request.body
        lease = await uploads.lease(found, body.length)
        try:
            session = uploads.session(state, found, length, lease, expected.running if expected else None)
            try:
                await session.start()
                await self._read(uploads, request, found, session, lease)
                if expected is not None:
                    expected.verify()
                mark: Mark = await session.end()
            except Exception:
                await session.keep()
                raise
            finally:
                uploads.remember(session, state.id)
        finally:
            body.on_bytes = None
            lease.release()
        return uploads.with_mark(found, mark)

    async def _read(
        self,
        uploads: ResumableUploads,
        request: StreamingRequest,
        found: Found,
        session: UploadSession,
        lease: Lease,
    ) -> None:
        body = request.body
        lease.evicted = lambda: body.fail(
            Stalled("the upload was too slow while others waited for memory (LFS_UPLOAD_MEMORY)")
        )
        body.read_size(READ_BYTES)
        body.on_bytes = lease.received
        lease.waits_for_peer(True)
        try:
            while data := await body.read():
                lease.waits_for_peer(False)
                uploads.check_received(found, session.offset + len(data))
                await session.write(data)
                lease.waits_for_peer(True)
        finally:
            lease.waits_for_peer(False)
            lease.evicted = None


def _check_offset_type(request: IRequest) -> None:
    given = field(request, "Content-Type") or ""
    if given.partition(";")[0].strip().lower() != OFFSET_TYPE:
        raise NotOffsetBytes(f"Content-Type is {quoted(given)}: {OFFSET_TYPE} is needed")


def _set(request: IRequest, name: str, value: str) -> None:
    request.setHeader(name.encode("ascii"), value.encode("latin-1"))


def _set_record(request: StreamingRequest, record: Published) -> None:
    request.set_location(
        b"Lfs-Record", f"/v1/topics/{record.topic}/partitions/{record.partition}/records/{record.offset}"
    )


def _set_expiry(request: IRequest, uploads: ResumableUploads, found: Found) -> None:
    ends = uploads.clock.seconds() - found.idle + uploads.expiry
    request.setHeader(b"Upload-Expires", datetimeToString(ends))
