"""What can be wrong with a resumable upload, besides what can be wrong with any."""

from __future__ import annotations

from typing import Final

from lfsproxy.errors import LfsError, OutcomeUnknown, StoreRefused

NO_CONDITIONAL_PUT: Final = (
    "the store {bucket} has no conditional PUT (If-None-Match): resumable uploads are off"
)
"""What is said of such a store, with ``bucket`` for its name."""


class ResumableOff(LfsError):
    """The store has no conditional PUT, without which an envelope might be published twice."""

    http_status = 501
    problem = "resumable-uploads-off"
    title = "Resumable uploads are off"


class NotConditional(StoreRefused):
    """The store does not know If-None-Match, so that it cannot say which write was first."""


class OtherBytes(StoreRefused):
    """There is a blob with other bytes under the key."""

    http_status = 409
    problem = "other-bytes"
    title = "The upload has other bytes"
    result = "client_error"


class UploadNotFound(LfsError):
    """No upload of that id, to that topic."""

    http_status = 404
    problem = "upload-not-found"
    title = "There is no such upload"
    result = "client_error"


class UploadGone(LfsError):
    """The upload was given up: it expired, was terminated, or its checksum did not match."""

    http_status = 410
    problem = "upload-gone"
    title = "The upload is gone"
    result = "client_error"


class UploadBusy(LfsError):
    """Another request is at work on the upload in this process."""

    http_status = 423
    problem = "upload-busy"
    title = "Another request is at work on the upload"
    retriable = True
    result = "client_error"


class WrongOffset(LfsError):
    """The bytes that a client wants to add do not begin where the stored ones end."""

    http_status = 409
    problem = "wrong-offset"
    title = "The offset is not that of the upload"
    result = "client_error"


class UploadMoved(WrongOffset):
    """Another request, through another process, has changed the upload meanwhile: ask for its offset."""

    problem = "upload-moved"
    title = "Another request has changed the upload"
    retriable = True


class OutcomeStaysUnknown(OutcomeUnknown):
    """The publishing process died, and the log does not show the envelope: it is not published again."""

    http_status = 409
