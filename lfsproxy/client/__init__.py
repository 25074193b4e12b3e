"""The client SDK: recognise envelopes in Kafka records and read the blobs behind them, verified.

    reader = BlobReader.from_environment()
    payload = reader.fetch(record.value)        # the blob's bytes, or the value as it is

And for producers: ``lfs_headers`` marks a record for the proxy, ``Uploader`` uploads over HTTP.
``lfsproxy.client`` blocks and needs no event loop; ``lfsproxy.client.tx`` gives Twisted Deferreds,
``lfsproxy.client.aio`` asyncio futures. Deserializers: ``lfsproxy.client.deserializers`` for confluent-kafka,
``lfsproxy.client.kafka_python``; ``lfsproxy.client.aiokafka`` fetches ahead.
"""

from lfsproxy.client.mark import checksum_of, lfs_headers
from lfsproxy.client.reader import BlobReader, Resolution, Resolved
from lfsproxy.client.upload import Published, Uploader

__all__ = [
    "BlobReader",
    "Published",
    "Resolution",
    "Resolved",
    "Uploader",
    "checksum_of",
    "lfs_headers",
]
