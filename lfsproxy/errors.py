"""One exception per way an upload or a read can fail, each knowing how either door reports it.

Every class carries the Kafka error code, the HTTP status and problem type (RFC 9457), whether sending again
can help, and the ``result`` label of the metrics.
Where an error is raised it is one of these; where it is rendered no further decision is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from lfsproxy.codes import KafkaCode

RETRY_AFTER_SECONDS = 5
"""How long an HTTP client is asked to wait after a 503. A replica that drains, or a broker that restarts, is
away for a few seconds: a shorter time would only bring the same answer again."""


class LfsError(Exception):
    """The base of all errors that a user may see. ``str(error)`` is one sentence for that user.

    ``way_out`` is the part of it that says what to do, where there is one; ``wrong`` is the rest.
    """

    kafka_code: ClassVar[int] = KafkaCode.UNKNOWN_SERVER_ERROR
    http_status: ClassVar[int] = 500
    problem: str = "internal-error"
    title: ClassVar[str] = "Internal error"
    retriable: bool = False
    result: ClassVar[str] = "store_error"

    def __init__(self, *args: object, way_out: str = "") -> None:
        super().__init__(*args)
        self.way_out = way_out

    @property
    def wrong(self) -> str:
        """What is wrong, without what to do about it."""
        text = str(self)
        for separator in ("; ", ": "):
            text = text.replace(f"{separator}{self.way_out}", "") if self.way_out else text
        return text

    def http_headers(self) -> Mapping[str, str]:
        """The header fields of an HTTP answer with this error, besides those that any problem has."""
        return {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.http_status == 503 else {}

    def problem_members(self) -> Mapping[str, str | int]:
        """The members of the problem document besides type, title, status and detail (RFC 9457, 3.2)."""
        return {}


class StoreUnavailable(LfsError):
    """S3 does not answer, answers 5xx, or is too slow, after our own retries."""

    kafka_code = KafkaCode.KAFKA_STORAGE_ERROR
    http_status = 503
    problem = "store-unavailable"
    title = "The blob store is unavailable"
    retriable = True


class StoreRefused(LfsError):
    """S3 says no: credentials, bucket, or a request it does not accept."""

    kafka_code = KafkaCode.UNKNOWN_SERVER_ERROR
    http_status = 502
    problem = "store-refused"
    title = "The blob store refused the request"


class TooLarge(LfsError):
    """More bytes than a setting allows; the message names the setting."""

    kafka_code = KafkaCode.MESSAGE_TOO_LARGE
    http_status = 413
    problem = "too-large"
    title = "The upload is too large"
    result = "client_error"


class UndecodableRecords(LfsError):
    """Records that do not decode although their CRC is right."""

    kafka_code = KafkaCode.INVALID_RECORD
    http_status = 400
    problem = "invalid-record"
    title = "The records do not decode"
    result = "client_error"


class CorruptBatch(LfsError):
    """A record batch whose CRC-32C is not that of its bytes."""

    kafka_code = KafkaCode.CORRUPT_MESSAGE
    http_status = 400
    problem = "corrupt-batch"
    title = "The record batch is corrupt"
    retriable = True
    result = "client_error"


class ChecksumMismatch(LfsError):
    """The bytes do not have the checksum that the client gave, or that the envelope names."""

    kafka_code = KafkaCode.INVALID_RECORD
    http_status = 400
    problem = "checksum-mismatch"
    title = "The checksum does not match"
    result = "client_error"

    def __init__(self, algorithm: str, expected: str, actual: str) -> None:
        super().__init__(f"the {algorithm} of the bytes is {actual}, expected {expected}")
        self.algorithm = algorithm
        self.expected = expected
        self.actual = actual

    def problem_members(self) -> Mapping[str, str | int]:
        return {"algorithm": self.algorithm, "expected": self.expected, "actual": self.actual}


class InvalidChecksum(LfsError):
    """An unknown checksum algorithm, or a checksum that is not hex of its algorithm's length."""

    kafka_code = KafkaCode.INVALID_RECORD
    http_status = 400
    problem = "invalid-checksum"
    title = "The checksum is not usable"
    result = "client_error"


class FramingError(LfsError):
    """The Kafka byte stream cannot be followed any further: the connection has to be closed."""

    http_status = 400
    problem = "broken-framing"
    title = "The byte stream is broken"
    result = "client_error"


class SequenceHole(LfsError):
    """An earlier batch of this producer was refused, so that this one would leave a hole before it."""

    kafka_code = KafkaCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    http_status = 409
    problem = "sequence-hole"
    title = "An earlier batch was refused"
    retriable = True
    result = "client_error"


class RepeatedPartition(LfsError):
    """A Produce request with several entries for one partition: Kafka would drop all but the last."""

    kafka_code = KafkaCode.INVALID_REQUEST
    http_status = 400
    problem = "repeated-partition"
    title = "The request names a partition twice"
    result = "client_error"


class ClientGone(LfsError):
    """The client went away before its request was complete. Nobody is left to be told."""

    http_status = 499
    problem = "client-gone"
    title = "The client went away"
    result = "cancelled"


class Stalled(LfsError):
    """The client sent or took nothing for too long, be it that others waited for the memory it holds."""

    http_status = 408
    problem = "stalled"
    title = "The upload stalled"
    retriable = True
    result = "cancelled"


class Draining(LfsError):
    """The process is shutting down and takes no new work."""

    kafka_code = KafkaCode.KAFKA_STORAGE_ERROR
    http_status = 503
    problem = "draining"
    title = "The proxy is shutting down"
    retriable = True
    result = "cancelled"


class BadRequest(LfsError):
    """An HTTP request that asks for something impossible; the message names the offending value."""

    kafka_code = KafkaCode.INVALID_RECORD
    http_status = 400
    problem = "bad-request"
    title = "The request is not valid"
    result = "client_error"


class BrokerUnavailable(LfsError):
    """No broker could be asked, and nothing was sent: sending again is safe."""

    kafka_code = KafkaCode.KAFKA_STORAGE_ERROR
    http_status = 503
    problem = "broker-unavailable"
    title = "Kafka is unavailable"
    retriable = True
    result = "broker_error"


class SignInRefused(BrokerUnavailable):
    """The brokers do not take the proxy's own sign-in. Sending again helps once the settings are right."""


class NotSignedIn(LfsError):
    """A client of the Kafka door that produces before the broker has taken its sign-in."""

    http_status = 401
    problem = "not-signed-in"
    title = "Not signed in"
    result = "client_error"


class BrokerRefused(LfsError):
    """The broker answered with an error code that says the record is certainly not in the log."""

    http_status = 502
    problem = "broker-refused"
    title = "Kafka refused the record"
    result = "broker_error"

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    def problem_members(self) -> Mapping[str, str | int]:
        return {"kafka_error_code": self.code}


class InvalidTopic(LfsError):
    """A name that no topic can have."""

    kafka_code = KafkaCode.INVALID_TOPIC
    http_status = 400
    problem = "invalid-topic"
    title = "The topic's name is not valid"
    result = "client_error"


class UnknownTopic(BrokerRefused):
    """The topic does not exist, and the broker does not create it."""

    kafka_code = KafkaCode.UNKNOWN_TOPIC_OR_PARTITION
    http_status = 404
    problem = "unknown-topic"
    title = "The topic does not exist"
    result = "client_error"

    def __init__(self, message: str) -> None:
        super().__init__(KafkaCode.UNKNOWN_TOPIC_OR_PARTITION, message)


class NotAuthorised(BrokerRefused):
    """The broker does not let this identity write to or read from the topic."""

    kafka_code = KafkaCode.TOPIC_AUTHORIZATION_FAILED
    http_status = 403
    problem = "not-authorised"
    title = "Kafka does not authorise this"
    result = "client_error"


class BrokerTooLarge(BrokerRefused):
    """The envelope's record is larger than the broker or the topic takes."""

    http_status = 413
    problem = "too-large-for-kafka"
    title = "The record is too large for Kafka"
    result = "client_error"


class BrokerInvalid(BrokerRefused):
    """The broker or the topic does not take such a record: no key where one must be, a bad time."""

    kafka_code = KafkaCode.INVALID_RECORD
    http_status = 400
    problem = "invalid-for-kafka"
    title = "Kafka does not take such a record"
    result = "client_error"


class OutcomeUnknown(LfsError):
    """The record was sent and its fate is not known: a blind retry could publish it twice."""

    http_status = 504
    problem = "outcome-unknown"
    title = "The outcome is unknown"
    result = "broker_error"


class NoSuchRecord(LfsError):
    """Nothing that may be read is at that place of the log: never there, not there yet, or gone."""

    http_status = 404
    problem = "no-such-record"
    title = "There is no such record"
    result = "client_error"


class UnreadableRecord(LfsError):
    """A record that is there, but cannot be taken out of its batch."""

    http_status = 502
    problem = "unreadable-record"
    title = "The record cannot be read"
    result = "broker_error"


class UnreadableLog(LfsError):
    """A partition that cannot be read to its end; the message names it, the offset and why."""

    http_status = 502
    problem = "unreadable-log"
    title = "The partition cannot be read"
    result = "broker_error"


class InvalidEnvelope(LfsError):
    """A value that is meant as an envelope but lacks a field, or has one of the wrong type."""

    http_status = 502
    problem = "invalid-envelope"
    title = "The envelope is not valid"


class UnsupportedEnvelope(InvalidEnvelope):
    """An envelope of a version newer than this reader understands."""

    problem = "unsupported-envelope"
    title = "The envelope's version is not supported"


class EnvelopeNotAllowed(LfsError):
    """An envelope that points outside the buckets and key prefixes that this reader follows."""

    http_status = 403
    problem = "envelope-not-allowed"
    title = "The envelope points outside the allowed places"
    result = "client_error"


class BlobMissing(LfsError):
    """The blob that an envelope names is not in the store."""

    http_status = 404
    problem = "blob-missing"
    title = "The blob is missing"


class BlobTruncated(LfsError):
    """The blob's length is not the envelope's content_length."""

    http_status = 502
    problem = "blob-truncated"
    title = "The blob has the wrong length"


class ReadInterrupted(LfsError):
    """A read of a blob was broken off in its middle: what it had received is lost, so nothing is read on."""

    problem = "read-interrupted"
    title = "The read was interrupted"
    retriable = True
    result = "client_error"


class BlobCorrupt(ChecksumMismatch):
    """The blob's bytes do not have the checksum that its envelope names: nothing that a client did wrong."""

    http_status = 502
    title = "The blob does not have its checksum"
    result = "store_error"


class SettingError(LfsError):
    """A setting that cannot be used: one line that names the variable, its value and what is allowed.

    ``settings`` are the variables that name a file which cannot be used, where it is about one.
    """

    def __init__(self, *args: object, way_out: str = "", settings: Iterable[str] = ()) -> None:
        super().__init__(*args, way_out=way_out)
        self.settings = frozenset(settings)
