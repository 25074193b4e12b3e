"""The span of one request to S3, by OpenTelemetry's conventions for S3 and for HTTP clients."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from lfsproxy.s3.answers import Answer
from lfsproxy.s3.signing import S3Location
from lfsproxy.tracing.spans import Kind, Span, Value

_OF_QUERY = {"uploadId": "aws.s3.upload_id", "partNumber": "aws.s3.part_number"}


def request_span(
    span: Span,
    location: S3Location,
    operation: str,
    method: str,
    key: str,
    query: Mapping[str, str] | None,
    attempt: int,
) -> Span:
    """A part of ``span`` that begins now. ``operation`` is the metrics' name, ``attempt`` counts from 1."""
    name = operation.title().replace("_", "")
    url = urlsplit(location.url())
    attributes: dict[str, Value] = {
        "rpc.system.name": "aws-api",
        "rpc.method": f"S3/{name}",
        "aws.s3.bucket": location.bucket,
        "http.request.method": method,
        "server.address": url.hostname or "",
        "server.port": url.port or (443 if url.scheme == "https" else 80),
    }
    if key:
        attributes["aws.s3.key"] = key
    for parameter, attribute in _OF_QUERY.items():
        if query and parameter in query:
            value = query[parameter]
            attributes[attribute] = int(value) if parameter == "partNumber" else value
    if attempt > 1:
        attributes["http.request.resend_count"] = attempt - 1
    return span.child(f"S3.{name}", Kind.CLIENT, attributes)


def request_ended(span: Span, answer: Answer | None, result: str) -> None:
    """The request was answered, or ended without an answer. ``result`` is the metrics' one."""
    if not span.on:
        return
    if answer is not None:
        span.set({"http.response.status_code": answer.status})
        if answer.request_id:
            span.set({"aws.request_id": answer.request_id})
    span.end("" if result == "ok" else str(answer or result))
