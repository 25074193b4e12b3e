"""The client SDK: recognise envelopes in Kafka records and read the blobs behind them, verified.

    reader = BlobReader.from_environment()
    payload = reader.fetch(record.value)        # the blob's bytes, or the value as it is

And for producers: ``lfs_headers`` and ``MarkBySize`` mark a record for the proxy, ``Uploader`` uploads over
HTTP. ``lfsproxy.client`` blocks and needs no event loop; ``lfsproxy.client.tx`` gives Twisted Deferreds,
``lfsproxy.client.aio`` asyncio futures. Each has ``resolve_records`` for the records of a poll. For Kafka
clients: ``lfsproxy.client.deserializers`` and ``.confluent`` for confluent-kafka, ``.kafka_python``. Metrics:
``.prometheus`` and ``.opentelemetry``.
"""

from lfsproxy.client.blob import Blob
from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.errors import ProxyUnavailable, UploadRefused
from lfsproxy.client.mark import MarkBySize, checksum_of, lfs_headers
from lfsproxy.client.reader import BlobReader, static_credentials
from lfsproxy.client.records import ResolvedRecord, resolve_records
from lfsproxy.client.results import MISSING, RecordCoordinates, Resolution, Resolved
from lfsproxy.client.sources import ClientSource, PresignedSource, ProxySource
from lfsproxy.client.upload import Published, Uploader
from lfsproxy.envelope import Envelope
from lfsproxy.errors import (
    BlobMissing,
    BlobTruncated,
    ChecksumMismatch,
    EnvelopeNotAllowed,
    InvalidChecksum,
    InvalidEnvelope,
    LfsError,
    OutcomeUnknown,
    ReadInterrupted,
    SettingError,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
    UnsupportedEnvelope,
)

__all__ = [
    "MISSING",
    "Blob",
    "BlobMissing",
    "BlobReader",
    "BlobTruncated",
    "Cancellation",
    "ChecksumMismatch",
    "ClientSource",
    "Envelope",
    "EnvelopeNotAllowed",
    "InvalidChecksum",
    "InvalidEnvelope",
    "LfsError",
    "MarkBySize",
    "OutcomeUnknown",
    "PresignedSource",
    "ProxySource",
    "ProxyUnavailable",
    "Published",
    "ReadInterrupted",
    "RecordCoordinates",
    "Resolution",
    "Resolved",
    "ResolvedRecord",
    "SettingError",
    "StoreRefused",
    "StoreUnavailable",
    "TooLarge",
    "UnsupportedEnvelope",
    "UploadRefused",
    "Uploader",
    "checksum_of",
    "lfs_headers",
    "resolve_records",
    "static_credentials",
]
