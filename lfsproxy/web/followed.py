"""Requests that are followed to their end: the trail of each, with its span, and a download's line."""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from twisted.internet.defer import CancelledError

from lfsproxy.errors import LfsError
from lfsproxy.log.downloads import DownloadEnd, log_download
from lfsproxy.log.trail import Trail, follow
from lfsproxy.log.uploads import sent_by
from lfsproxy.tracing.spans import Value
from lfsproxy.web.problems import problem_of
from lfsproxy.web.request import StreamingRequest


def begin_trail(request: StreamingRequest) -> Trail:
    """The trail of a request; its span, where there are traces, is in the trace that its headers name."""
    tracer = request.tracer
    if not tracer.on:
        return Trail()
    method = request.method.decode("ascii")
    headers = {
        name.decode("latin-1").lower(): values[0].decode("latin-1")
        for name, values in request.requestHeaders.getAllRawHeaders()
    }
    attributes: dict[str, Value] = {
        "http.request.method": method,
        "http.route": request.route,
        "url.path": request.path.decode("latin-1"),
        "url.scheme": "https" if request.isSecure() else "http",
        "client.address": request.getClientAddress().host,
        "lfs.request_id": request.request_id,
    }
    return Trail(tracer.server(f"{method} {request.route}", headers, attributes))


def end_trail(trail: Trail, status: int | None, error: str = "") -> None:
    """The request is over. ``status`` None: nothing was answered; ``error`` is why it failed."""
    if not trail.span.on:
        return
    if status is not None:
        trail.span.set({"http.response.status_code": status})
    # By the conventions an error of the client's is none of the server's.
    trail.span.end(error if status is None or status >= 500 else "")


@attrs.define
class DownloadWork:
    """A download while it goes on: what its line will say that only its handler knows."""

    trail: Trail
    range: str = ""
    size: int = 0
    error: LfsError | None = None
    """Why it was cut after its answer had begun."""


@contextmanager
def followed_download(
    request: StreamingRequest, topic: str, partition: str, offset: str
) -> Iterator[DownloadWork]:
    """Follow a download until it ends, whichever way. To be used in the coroutine that does the work."""
    clock = request.clock
    started = clock.seconds()
    work = DownloadWork(begin_trail(request))
    status: int | None = None
    result, reason = "ok", ""
    with sent_by(request.sender), follow(work.trail):
        try:
            yield work
            status = request.code
        except Exception as failed:
            # A client that leaves has its request cancelled, also one whose answer was cut by the proxy.
            if request.is_gone or isinstance(failed, CancelledError):
                status = request.code if request.startedWriting else None
                result = work.error.result if work.error is not None else "cancelled"
                reason = str(work.error or request.why_cut)
                raise
            error = problem_of(failed)
            status, result, reason = error.http_status, error.result, str(error)
            raise error from failed
        finally:
            log_download(
                DownloadEnd(
                    method=request.method.decode("ascii"),
                    topic=topic,
                    partition=partition,
                    offset=offset,
                    status=status,
                    range=work.range,
                    size=work.size,
                    seconds=clock.seconds() - started,
                    result=result,
                    reason=reason,
                )
            )
            if work.trail.span.on and work.trail.key:
                work.trail.span.set({"aws.s3.key": work.trail.key, "lfs.bytes": work.size})
            end_trail(work.trail, status, reason)
