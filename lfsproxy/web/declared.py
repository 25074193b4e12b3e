"""The operations of the HTTP API as they are declared: paths, parameters, answers."""

from __future__ import annotations

from lfsproxy.checksums import ALGORITHMS
from lfsproxy.errors import (
    BadRequest,
    BrokerRefused,
    BrokerUnavailable,
    ChecksumMismatch,
    Draining,
    InvalidChecksum,
    NotAuthorised,
    OutcomeUnknown,
    Stalled,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
    UnknownTopic,
)
from lfsproxy.web.operations import Answer, Operation, Parameter, Schema

TEXT: Schema = {"type": "string"}
BYTES: Schema = {}

TOPIC = Parameter(
    "topic",
    "path",
    "The topic's name",
    {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,249}$", "not": {"enum": [".", ".."]}},
    required=True,
)

ENVELOPE: Schema = {
    "type": "object",
    "required": [
        "lfs_version",
        "s3_bucket",
        "s3_key",
        "content_type",
        "content_length",
        "checksum_algo",
        "checksum",
    ],
    "properties": {
        "lfs_version": {"const": 1},
        "s3_bucket": TEXT,
        "s3_key": TEXT,
        "content_type": TEXT,
        "content_length": {"type": "integer", "minimum": 0},
        "checksum_algo": {"enum": list(ALGORITHMS)},
        "checksum": {"type": "string", "pattern": "^[0-9a-f]+$"},
    },
}

RECORD: Schema = {
    "type": "object",
    "required": ["topic", "partition", "offset", "timestamp", "envelope"],
    "properties": {
        "topic": TEXT,
        "partition": {"type": "integer", "minimum": 0},
        "offset": {"type": "integer", "minimum": 0},
        "timestamp": {"type": "integer", "description": "milliseconds since the epoch"},
        "envelope": ENVELOPE,
    },
}

WELCOME = Operation(
    "getWelcome", "GET", "/", "What this is", answers=(Answer(200, "A short text", {"text/plain": TEXT}),)
)

HEALTHZ = Operation(
    "getHealth",
    "GET",
    "/healthz",
    "Whether the process is alive",
    answers=(Answer(200, "It is", {"application/json": {"type": "object", "required": ["status"]}}),),
)

READINESS: Schema = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["ready", "not ready"]},
        "problems": {"type": "object", "additionalProperties": TEXT},
        "notes": {},
    },
}

READYZ = Operation(
    "getReadiness",
    "GET",
    "/readyz",
    "Whether S3 and Kafka answered lately",
    answers=(
        Answer(200, "Both did", {"application/json": READINESS}),
        Answer(503, "One did not, or the proxy is draining", {"application/json": READINESS}),
    ),
)

POST_RECORD = Operation(
    "uploadRecord",
    "POST",
    "/v1/topics/{topic}/records",
    "Upload a file and publish its envelope",
    answers=(
        Answer(
            201,
            "The blob is whole in S3 and the broker has acknowledged the envelope",
            {"application/json": RECORD},
            {"Location": "Where the record is: /v1/topics/{topic}/partitions/{partition}/records/{offset}"},
        ),
    ),
    parameters=(TOPIC,),
    body={"application/octet-stream": BYTES},
    errors=(
        BadRequest,
        ChecksumMismatch,
        InvalidChecksum,
        TooLarge,
        Stalled,
        UnknownTopic,
        NotAuthorised,
        BrokerRefused,
        BrokerUnavailable,
        OutcomeUnknown,
        StoreRefused,
        StoreUnavailable,
        Draining,
    ),
)
