"""Where the examples of the libraries' pages run: a topic with records, and what stands for what they print.

here = await places("go-consume")        # a new topic in front of the shared proxy
first, second = await here.fill()        # a blob, an ordinary value, a blob
project.paste("consume.go", here.kafka)
"""

from __future__ import annotations

import attrs
from kafka import KafkaProducer

from lfsproxy.client import Published, Uploader
from tests.integration.proxy import ProxyProcess, shared_proxy
from tests.integration.stack import Stack, in_thread, stack

BLOB = bytes(range(200)) * 1500
ORDINARY = b"ordinary"


@attrs.frozen
class Places:
    """Where the examples' printed servers and topic are in a test."""

    servers: Stack
    proxy: ProxyProcess
    topic: str

    @property
    def kafka(self) -> dict[str, str]:
        """For a program that is a Kafka client without a group."""
        return {"localhost:19092": self.proxy.bootstrap, "demo-topic": self.topic}

    def group(self, printed: str) -> dict[str, str]:
        """For a consumer in the group that it prints: one of its own, as those before it were ended."""
        return {**self.kafka, f'"{printed}"': f'"{self.topic}"'}

    @property
    def http(self) -> dict[str, str]:
        """For a program that uploads."""
        return {"http://localhost:8080": self.proxy.http, "demo-topic": self.topic}

    async def fill(self) -> list[Published]:
        """Publish a blob, an ordinary value and another blob, at the offsets 0, 1 and 2. The two blobs."""
        return await in_thread(self._fill)

    def _fill(self) -> list[Published]:
        with Uploader(self.proxy.http) as uploader:
            first = uploader.upload(self.topic, BLOB, content_type="image/png")
            producer = KafkaProducer(bootstrap_servers=self.proxy.bootstrap)
            producer.send(self.topic, ORDINARY).get(60)
            producer.close()
            return [first, uploader.upload(self.topic, BLOB, content_type="image/png")]

    async def lose(self, published: Published) -> None:
        """Remove a blob from the store."""
        place = published.envelope
        await in_thread(self.servers.s3_client().delete_object, Bucket=place.s3_bucket, Key=place.s3_key)


async def places(prefix: str) -> Places:
    """A new topic on the shared servers, and the shared proxy in front of them."""
    servers, proxy = await stack(), await shared_proxy()
    return Places(servers, proxy, await servers.new_topic(prefix))
