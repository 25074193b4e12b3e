"""The seams: what may be asked of the store, of Kafka and of the metrics.

Methods marked ``async`` return an awaitable; a plain method that returns ``Deferred | None`` returns None
where there is nothing to wait for, so that no Deferred is made per chunk of bytes.
"""

from lfsproxy.interfaces.kafka import (
    FoundTopic,
    FoundTopics,
    Gap,
    Header,
    IEnvelopePublisher,
    ILogReading,
    IRecordLog,
    LogBounds,
    LogRecord,
    Published,
)
from lfsproxy.interfaces.metrics import IMetrics
from lfsproxy.interfaces.store import (
    IBlobDownload,
    IBlobSource,
    IBlobStore,
    IBlobUpload,
    IObjectIndex,
    IPartMemory,
    IResumableStore,
    IStore,
    ListedObject,
    ListedUpload,
    StoredBlob,
    StoredPart,
)

__all__ = [
    "FoundTopic",
    "FoundTopics",
    "Gap",
    "Header",
    "IBlobDownload",
    "IBlobSource",
    "IBlobStore",
    "IBlobUpload",
    "IEnvelopePublisher",
    "ILogReading",
    "IMetrics",
    "IObjectIndex",
    "IPartMemory",
    "IRecordLog",
    "IResumableStore",
    "IStore",
    "ListedObject",
    "ListedUpload",
    "LogBounds",
    "LogRecord",
    "Published",
    "StoredBlob",
    "StoredPart",
]
