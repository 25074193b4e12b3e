"""The operations of the HTTP API as they are declared: paths, parameters, answers."""

from __future__ import annotations

from lfsproxy.checksums import ALGORITHMS
from lfsproxy.errors import (
    BadRequest,
    BlobCorrupt,
    BlobMissing,
    BlobTruncated,
    BrokerInvalid,
    BrokerRefused,
    BrokerTooLarge,
    BrokerUnavailable,
    ChecksumMismatch,
    Draining,
    EnvelopeNotAllowed,
    InvalidChecksum,
    InvalidEnvelope,
    NoSuchRecord,
    NotAuthorised,
    OutcomeUnknown,
    Stalled,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
    UnknownTopic,
    UnreadableRecord,
    UnsupportedEnvelope,
)
from lfsproxy.interfaces import Published
from lfsproxy.web import schemas
from lfsproxy.web.assets import ASSETS
from lfsproxy.web.content import LengthRequired
from lfsproxy.web.digests import DIGEST_PATTERN, MD5_PATTERN
from lfsproxy.web.forms import FILE_FIELD
from lfsproxy.web.operations import READ, WRITE, Answer, Operation, Parameter, Schema
from lfsproxy.web.ranges import AnotherVersion, RangeNotSatisfiable

TEXT: Schema = {"type": "string"}
BYTES: Schema = {}

TOPIC = Parameter("topic", "path", "The topic's name", schemas.TOPIC, required=True)

RECORD_OPTIONS = tuple(
    Parameter(option.name, "query", option.description, option.schema, repeatable=option.repeatable)
    for option in schemas.OPTIONS
)

DIGESTS = (
    *(
        Parameter(
            name,
            "header",
            "RFC 9530, checked before anything is published. Covers the request's content, so the whole form",
            {"type": "string", "pattern": DIGEST_PATTERN},
        )
        for name in ("Content-Digest", "Repr-Digest")
    ),
    Parameter(
        "Content-MD5",
        "header",
        "The MD5 of the request's content in base64",
        {"type": "string", "pattern": MD5_PATTERN},
    ),
)

IF_MATCH = Parameter(
    "If-Match", "header", "The ETag of the only version that is wanted, else 412", {"type": "string"}
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", "The ETag of a copy that the client has", {"type": "string"}
)

FORM: Schema = {
    "type": "object",
    "description": "The options come before the file; key and key_base64 exclude each other.",
    "required": [FILE_FIELD],
    "properties": {
        **{option.name: option.whole for option in schemas.OPTIONS},
        FILE_FIELD: {"type": "string", "format": "binary", "description": "The bytes to store"},
    },
    "additionalProperties": False,
}

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

UNCHANGED = Answer(304, "The client's copy is the current one")
TAGGED = {"ETag": "Changes with the content", "Cache-Control": "no-cache: ask whether it changed"}

PAGE = Operation(
    "getPage",
    "GET",
    "/",
    "The upload page",
    answers=(Answer(200, "A page for browsers", {"text/html": TEXT}, TAGGED), UNCHANGED),
    parameters=(IF_NONE_MATCH,),
    group="Pages",
)

DOCS = Operation(
    "getDocs",
    "GET",
    "/docs",
    "This description as a page",
    answers=(Answer(200, "A page for browsers", {"text/html": TEXT}, TAGGED), UNCHANGED),
    parameters=(IF_NONE_MATCH,),
    group="Pages",
)

ASSET = Operation(
    "getAsset",
    "GET",
    "/assets/{name}",
    "What the two pages are made of",
    answers=(
        Answer(200, "The file", {"text/javascript": TEXT, "text/css": TEXT, "image/svg+xml": TEXT}, TAGGED),
        UNCHANGED,
    ),
    parameters=(
        Parameter("name", "path", "The file's name", {"type": "string", "enum": list(ASSETS)}, required=True),
        IF_NONE_MATCH,
    ),
    group="Pages",
)

OPENAPI = Operation(
    "getOpenApi",
    "GET",
    "/openapi.json",
    "This description, as OpenAPI 3.1",
    answers=(Answer(200, "The document", {"application/json": {"type": "object"}}, TAGGED), UNCHANGED),
    parameters=(IF_NONE_MATCH,),
    group="Pages",
)

HEALTHZ = Operation(
    "getHealth",
    "GET",
    "/healthz",
    "Whether the process is alive",
    answers=(Answer(200, "It is", {"application/json": {"type": "object", "required": ["status"]}}),),
    group="Health",
)

READINESS: Schema = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["ready", "not ready"]},
        "problems": {"type": "array", "items": TEXT},
        "notes": {"type": "array", "items": TEXT},
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
    group="Health",
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
    description=(
        "The body is a form with the file, or the file itself in any other content type. An option is given "
        "once, in the query or as a field of the form."
    ),
    parameters=(TOPIC, *RECORD_OPTIONS, *DIGESTS),
    body={"multipart/form-data": FORM, "application/octet-stream": BYTES, "*/*": BYTES},
    errors=(
        BadRequest,
        ChecksumMismatch,
        InvalidChecksum,
        LengthRequired,
        TooLarge,
        BrokerTooLarge,
        Stalled,
        UnknownTopic,
        NotAuthorised,
        BrokerInvalid,
        BrokerRefused,
        BrokerUnavailable,
        OutcomeUnknown,
        StoreRefused,
        StoreUnavailable,
        Draining,
    ),
    action=WRITE,
    elsewhere="takes uploads",
)

RECORD_PLACE = (
    TOPIC,
    Parameter("partition", "path", "The partition's number", schemas.PARTITION, required=True),
    Parameter("offset", "path", "The record's offset", schemas.OFFSET, required=True),
)

READ_ERRORS = (
    BadRequest,
    NoSuchRecord,
    UnknownTopic,
    NotAuthorised,
    UnreadableRecord,
    InvalidEnvelope,
    UnsupportedEnvelope,
    BrokerUnavailable,
    Draining,
)

PAYLOAD_HEADERS = {
    "ETag": "The checksum of the whole, in quotes",
    "Content-Disposition": "attachment, with the name that the file was uploaded by",
    "Accept-Ranges": "bytes",
}

GET_RECORD = Operation(
    "getRecord",
    "GET",
    "/v1/topics/{topic}/partitions/{partition}/records/{offset}",
    "The blob behind a record, or an ordinary record's value",
    answers=(
        Answer(
            200,
            "Every byte, verified: where they turn out wrong the connection is cut before the last of them",
            {"*/*": BYTES},
            PAYLOAD_HEADERS,
        ),
        Answer(204, "The record's value is null"),
        Answer(
            206,
            "The bytes of one range, not verified",
            {"*/*": BYTES},
            {**PAYLOAD_HEADERS, "Content-Range": "Which bytes of how many"},
        ),
        UNCHANGED,
        Answer(307, "presign=true: the blob in the store", headers={"Location": "Its URL, for 15 minutes"}),
    ),
    description="HEAD answers the same, without the bytes. Reads what a consumer of committed records reads.",
    parameters=(
        *RECORD_PLACE,
        Parameter("presign", "query", "Answer with a URL of the store", {"type": "boolean"}),
        Parameter("Range", "header", "One range of bytes", {"type": "string"}),
        Parameter("If-Range", "header", "The ETag that the range is of", {"type": "string"}),
        IF_MATCH,
        IF_NONE_MATCH,
    ),
    errors=(
        *READ_ERRORS,
        AnotherVersion,
        EnvelopeNotAllowed,
        BlobMissing,
        BlobTruncated,
        BlobCorrupt,
        RangeNotSatisfiable,
        StoreRefused,
        StoreUnavailable,
    ),
    action=READ,
    elsewhere="gives records",
)

GET_ENVELOPE = Operation(
    "getEnvelope",
    "GET",
    "/v1/topics/{topic}/partitions/{partition}/records/{offset}/envelope",
    "The envelope that a record holds",
    answers=(Answer(200, "The envelope", {"application/json": ENVELOPE}),),
    parameters=RECORD_PLACE,
    errors=READ_ERRORS,
    action=READ,
    elsewhere="gives records",
)


def place_of(record: Published) -> str:
    """Where a record is, as GET_RECORD's path."""
    return GET_RECORD.at(topic=record.topic, partition=record.partition, offset=record.offset)
