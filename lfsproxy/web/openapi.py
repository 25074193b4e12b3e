"""The OpenAPI 3.1 document, generated from the declared operations.

https://spec.openapis.org/oas/v3.1.1. Errors of one status are one answer, whose ``type`` is one of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from lfsproxy.errors import RETRY_AFTER_SECONDS, BadRequest, LfsError
from lfsproxy.web.operations import GROUPS, Operation, Parameter
from lfsproxy.web.problems import (
    KeyInvalid,
    KeyNotAllowed,
    KeyRefused,
    KeyRequired,
    NotFound,
    TooManyDownloads,
    TooManyUploads,
)
from lfsproxy.web.schemas import MAX_HEADERS

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "An error (RFC 9457)",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Which error it is; stays the same over versions"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong with which value"},
        "algorithm": {"type": "string", "description": "checksum-mismatch: of which algorithm"},
        "expected": {"type": "string", "description": "checksum-mismatch: the checksum that was given"},
        "actual": {"type": "string", "description": "checksum-mismatch: that of the bytes received"},
        "kafka_error_code": {"type": "integer", "description": "what the broker answered"},
        "request_id": {
            "type": "string",
            "description": "By which the proxy's log names the request; the same as X-Request-Id",
        },
    },
}

INTRODUCTION = """\
Uploads go to S3 as they arrive, and a small record about each (the envelope) to Kafka. Errors are
`application/problem+json`; after every status but 504 nothing was published.

What the schemas cannot say: `key` and `key_base64` exclude each other, an option is given either in the query
or in the form, and a checksum has to be that of the bytes.
"""


def openapi_document(operations: Iterable[Operation], keys: bool = False) -> dict[str, Any]:
    """The document, as JSON would have it. Its server is where it is served from, base path and all.

    ``keys``: whether the proxy asks for API keys.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, keys)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "LFS Proxy",
            "version": version("lfsproxy"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "tags": [{"name": name, "description": says} for name, says in GROUPS.items()],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, where the proxy asks for one (LFS_HTTP_API_KEYS_FILE)",
                }
            },
        },
    }


def openapi_json(operations: Iterable[Operation], keys: bool = False) -> bytes:
    """The document on the wire."""
    return json.dumps(openapi_document(operations, keys), indent=1).encode("utf-8") + b"\n"


def errors_of(operation: Operation, keys: bool = False) -> dict[int, list[type[LfsError]]]:
    """What an operation may fail with, by status: what it declares, and what any path or key can bring."""
    errors: list[type[LfsError]] = [*operation.errors, LfsError]
    if operation.body is not None:
        errors.append(TooManyUploads)
    if operation.is_download:
        errors.append(TooManyDownloads)
    if keys and operation.action is not None:
        errors += [KeyRequired, KeyInvalid, KeyNotAllowed]
    if any(parameter.where == "path" for parameter in operation.parameters):
        errors += [BadRequest, NotFound]
    grouped: dict[int, list[type[LfsError]]] = {}
    for error in errors:
        group = grouped.setdefault(error.http_status, [])
        if error.problem not in {other.problem for other in group}:
            group.append(error)
    return dict(sorted(grouped.items()))


def _operation(operation: Operation, keys: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.group],
    }
    if operation.description:
        described["description"] = operation.description
    if operation.parameters:
        described["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body is not None:
        content = {media_type: {"schema": dict(schema)} for media_type, schema in operation.body.items()}
        described["requestBody"] = {"required": operation.body_required, "content": content}
    described["responses"] = _responses(operation, keys)
    if operation.action is None:
        described["security"] = []
    else:
        # Where no key is asked for, one that is sent all the same does no harm.
        described["security"] = [{"apiKey": []}] if keys else [{}, {"apiKey": []}]
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.repeatable:
        schema = {"type": "array", "items": schema, "maxItems": MAX_HEADERS}
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.required,
        "schema": schema,
    }


def _responses(operation: Operation, keys: bool) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in operation.answers:
        described: dict[str, Any] = {"description": answer.description}
        if answer.headers:
            described["headers"] = {
                name: {"description": says, "schema": {"type": "string"}}
                for name, says in answer.headers.items()
            }
        if answer.content:
            described["content"] = {
                media_type: {"schema": dict(schema)} for media_type, schema in answer.content.items()
            }
        responses[str(answer.status)] = described
    for status, errors in errors_of(operation, keys).items():
        described = _problem(status, errors)
        if str(status) in responses:
            responses[str(status)].setdefault("content", {}).update(described["content"])
        else:
            responses[str(status)] = described
    return responses


def _problem(status: int, errors: list[type[LfsError]]) -> dict[str, Any]:
    types = [f"/problems/{error.problem}" for error in errors]
    schema = {
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"type": {"enum": types}, "status": {"const": status}},
    }
    described: dict[str, Any] = {
        "description": "; ".join(error.title for error in errors),
        "content": {"application/problem+json": {"schema": schema}},
    }
    if any(issubclass(error, KeyRefused) for error in errors):
        described["headers"] = {
            "WWW-Authenticate": {"description": "Bearer, by RFC 6750", "schema": {"type": "string"}}
        }
    if status == 503:
        seconds = {"type": "integer", "const": RETRY_AFTER_SECONDS}
        described["headers"] = {"Retry-After": {"description": "Seconds to wait", "schema": seconds}}
    return described
