"""The read SDK: recognise envelopes in Kafka records and read the blobs behind them, verified.

    reader = BlobReader.from_environment()
    payload = reader.fetch(record.value)        # the blob's bytes, or the value as it is

``lfsproxy.client`` blocks and needs no event loop; ``lfsproxy.client.tx`` gives Twisted Deferreds,
``lfsproxy.client.aio`` asyncio futures.
"""

from lfsproxy.client.reader import BlobReader, Resolution, Resolved

__all__ = ["BlobReader", "Resolution", "Resolved"]
