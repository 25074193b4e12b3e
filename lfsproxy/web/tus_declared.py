"""The operations of resumable uploads (tus 1.0.0) as they are declared."""

from __future__ import annotations

from lfsproxy.errors import (
    BadRequest,
    BrokerInvalid,
    BrokerRefused,
    BrokerUnavailable,
    ChecksumMismatch,
    Draining,
    InvalidChecksum,
    LfsError,
    NotAuthorised,
    OutcomeUnknown,
    Stalled,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
    UnknownTopic,
)
from lfsproxy.resumable.errors import (
    OtherBytes,
    OutcomeStaysUnknown,
    ResumableOff,
    UploadBusy,
    UploadGone,
    UploadMoved,
    UploadNotFound,
    WrongOffset,
)
from lfsproxy.web.declared import BYTES, TOPIC
from lfsproxy.web.operations import WRITE, Answer, Operation, Parameter, Schema
from lfsproxy.web.problems import MethodUnsupported
from lfsproxy.web.schemas import UPLOAD_ID
from lfsproxy.web.tus_fields import (
    CHECKSUMS,
    OFFSET_TYPE,
    VERSION,
    BytesMismatch,
    NotOffsetBytes,
    TusVersionUnsupported,
)

GROUP = "Resumable uploads"
GO_ON = "goes on with uploads"
"""What another replica does with a request that changes an upload."""
UPLOADS = "/v1/topics/{topic}/uploads"
UPLOAD = UPLOADS + "/{id}"

COUNT: Schema = {"type": "string", "pattern": "^[0-9]{1,18}$"}

ID = Parameter(
    "id",
    "path",
    "The upload, as its Location says",
    UPLOAD_ID,
    required=True,
)
# Asked before anything else by a page's preflight, so that what the path names is not looked at.
ANY_PATH: Schema = {"type": "string", "pattern": "^[^/]+$"}
ANY_TOPIC = Parameter("topic", "path", "Whatever stands for a topic", ANY_PATH, required=True)
ANY_ID = Parameter("id", "path", "Whatever stands for an upload", ANY_PATH, required=True)
RESUMABLE = Parameter("Tus-Resumable", "header", "The version of tus", {"const": VERSION}, required=True)
CHECKSUM = Parameter(
    "Upload-Checksum",
    "header",
    "Algorithm and base64 digest of this request's bytes",
    {"type": "string", "pattern": f"^({'|'.join(CHECKSUMS)}) [A-Za-z0-9+/]+={{0,2}}$"},
)
LENGTH = Parameter("Upload-Length", "header", "Bytes of the whole upload", COUNT)

SPOKEN = {"Tus-Resumable": VERSION}
"""What tus wants in each answer but that to OPTIONS."""
SAID = {
    **SPOKEN,
    "Upload-Offset": "Bytes that are stored",
    "Upload-Expires": "When an upload that nobody writes to is removed",
    "Lfs-Record": "Where the record is, once it is published",
}

ANY: tuple[type[LfsError], ...] = (
    BadRequest,
    TusVersionUnsupported,
    StoreRefused,
    StoreUnavailable,
    ResumableOff,
)
FOUND: tuple[type[LfsError], ...] = (UploadNotFound, UploadGone, UploadBusy)
RECEIVING: tuple[type[LfsError], ...] = (
    BytesMismatch,
    InvalidChecksum,
    NotOffsetBytes,
    OtherBytes,
    Stalled,
    TooLarge,
    UploadMoved,
    Draining,
)
PUBLISHING: tuple[type[LfsError], ...] = (
    ChecksumMismatch,
    UnknownTopic,
    NotAuthorised,
    BrokerInvalid,
    BrokerRefused,
    BrokerUnavailable,
    OutcomeUnknown,
    OutcomeStaysUnknown,
)

OPTIONS_UPLOADS = Operation(
    "getUploadAbilities",
    "OPTIONS",
    UPLOADS,
    "What tus 1.0.0 offers here",
    answers=(
        Answer(
            204,
            "What is offered",
            headers={
                "Tus-Resumable": "1.0.0",
                "Tus-Version": "1.0.0",
                "Tus-Extension": "The extensions, with commas between them",
                "Tus-Checksum-Algorithm": "The algorithms of Upload-Checksum",
                "Tus-Max-Size": "LFS_MAX_UPLOAD_SIZE, where there is a limit",
            },
        ),
    ),
    parameters=(ANY_TOPIC,),
    group=GROUP,
)

OPTIONS_UPLOAD = Operation(
    "getUploadAbilitiesOfOne",
    "OPTIONS",
    UPLOAD,
    "What tus 1.0.0 offers here",
    answers=OPTIONS_UPLOADS.answers,
    parameters=(ANY_TOPIC, ANY_ID),
    group=GROUP,
)

POST_UPLOAD = Operation(
    "createUpload",
    "POST",
    UPLOADS,
    "Begin an upload that can be resumed",
    answers=(Answer(201, "It is there", headers={"Location": "Where the upload is", **SAID}),),
    parameters=(
        TOPIC,
        RESUMABLE,
        LENGTH,
        Parameter("Upload-Defer-Length", "header", "1: the length is told later", {"const": "1"}),
        Parameter(
            "Upload-Metadata", "header", "The record's options: names and base64 values", {"type": "string"}
        ),
        CHECKSUM,
    ),
    description="A body is the upload's first bytes, or all of them; without one they all come later.",
    body={OFFSET_TYPE: BYTES},
    body_required=False,
    errors=(*ANY, *RECEIVING, *PUBLISHING),
    action=WRITE,
    elsewhere=GO_ON,
    headers=SPOKEN,
    group=GROUP,
)

HEAD_UPLOAD = Operation(
    "getUploadOffset",
    "HEAD",
    UPLOAD,
    "How many bytes are stored",
    answers=(
        Answer(
            200,
            "Where to go on",
            headers={
                **SAID,
                "Cache-Control": "no-store",
                "Upload-Length": "Bytes of the whole upload",
                "Upload-Defer-Length": "1 where the length is not told yet",
                "Upload-Metadata": "As it was given",
            },
        ),
    ),
    parameters=(TOPIC, ID, RESUMABLE),
    errors=(*ANY, *FOUND, *PUBLISHING),
    action=WRITE,
    headers={"Cache-Control": "no-store", **SPOKEN},
    group=GROUP,
)

PATCH_UPLOAD = Operation(
    "appendToUpload",
    "PATCH",
    UPLOAD,
    "Send bytes; the last ones publish the envelope",
    answers=(Answer(204, "They are stored", headers=SAID),),
    parameters=(
        TOPIC,
        ID,
        RESUMABLE,
        Parameter("Upload-Offset", "header", "Where these bytes begin", COUNT, required=True),
        LENGTH,
        CHECKSUM,
    ),
    body={OFFSET_TYPE: BYTES},
    errors=(*ANY, *FOUND, *RECEIVING, WrongOffset, *PUBLISHING),
    action=WRITE,
    elsewhere=GO_ON,
    headers=SPOKEN,
    group=GROUP,
)

DELETE_UPLOAD = Operation(
    "terminateUpload",
    "DELETE",
    UPLOAD,
    "Give an upload up; a published record and its blob stay",
    answers=(Answer(204, "Nothing is left of it", headers=SPOKEN),),
    parameters=(TOPIC, ID, RESUMABLE),
    errors=(*ANY, *FOUND, Draining),
    action=WRITE,
    elsewhere=GO_ON,
    headers=SPOKEN,
    group=GROUP,
)

OVERRIDABLE = {meant.method: meant for meant in (HEAD_UPLOAD, PATCH_UPLOAD, DELETE_UPLOAD)}
"""What X-HTTP-Method-Override may ask for."""

OVERRIDE_UPLOAD = Operation(
    "overrideUploadMethod",
    "POST",
    UPLOAD,
    "HEAD, PATCH or DELETE, for clients that cannot send them",
    answers=(
        Answer(200, "As HEAD", headers=SAID),
        Answer(204, "As PATCH or DELETE", headers=SAID),
    ),
    parameters=(
        TOPIC,
        ID,
        RESUMABLE,
        Parameter(
            "X-HTTP-Method-Override",
            "header",
            "The method that is meant",
            {"enum": list(OVERRIDABLE)},
            required=True,
        ),
        Parameter("Upload-Offset", "header", "Where these bytes begin", COUNT),
        LENGTH,
        CHECKSUM,
    ),
    body={OFFSET_TYPE: BYTES},
    errors=(*ANY, *FOUND, *RECEIVING, WrongOffset, *PUBLISHING, MethodUnsupported),
    action=WRITE,
    group=GROUP,
)
