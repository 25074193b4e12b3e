"""One real Kafka and one real S3 server for a whole trial run, started by whichever test asks first.

    from tests.integration.stack import stack

    class MyTests(unittest.TestCase):
        async def test_something(self) -> None:
            s = await stack()
            topic = await s.new_topic(partitions=2)       # a fresh name, created, with a leader
            s.kafka.bootstrap                             # "127.0.0.1:41234"
            s.s3.endpoint, s.s3.access_key, s.s3.secret_key, s.s3.region
            s.bucket                                      # exists
            s.environment                                 # LFS_* and AWS_* variables that point at both
            await in_thread(s.s3_client().list_objects_v2, Bucket=s.bucket)

Everything is left running between tests, so a test uses a topic of its own (``new_topic``) and keys below
it. A test that stops, kills, pauses or reconfigures a server takes servers of its own: ``await
own_kafka(self, ...)`` and ``await own_s3(self, ...)``, which end with the test. Both take what KafkaServer
and S3Server take (``config=``, ``listeners=``, ``scram_users=``, ``https=`` ...). Their methods block: call
them by ``in_thread``.

The jars come from the cache (LFS_DEMO_CACHE); fill it first with ``python -m lfsproxy.devstack fetch``, as a
download can take longer than trial gives one test. The servers end at the reactor's shutdown, and if the
test run is killed, with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from lfsproxy.devstack import KafkaServer, S3Server

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase
    from types_boto3_s3.client import S3Client

P = ParamSpec("P")
R = TypeVar("R")

BUCKET = "kafscale"

_numbers = itertools.count(1)
_shared: Stack | None = None
_servers: dict[tuple[bool, str | None], S3Server] = {}


def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
    """Run a blocking function off the reactor thread."""
    return deferToThread(function, *args, **kwargs)


@attrs.frozen
class Stack:
    """The servers, and what nearly every test does with them."""

    kafka: KafkaServer
    s3: S3Server
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        """Settings for a proxy or a client that is to use both servers."""
        return {
            "LFS_KAFKA_BROKERS": self.kafka.bootstrap,
            "LFS_S3_ENDPOINT": self.s3.endpoint,
            "LFS_S3_REGION": self.s3.region,
            "LFS_S3_BUCKET": self.bucket,
            "LFS_S3_PATH_STYLE": "true",
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
        }

    async def new_topic(
        self, prefix: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> str:
        """Create a topic whose name no other test has, and return the name."""
        name = f"{prefix}-{next(_numbers)}"
        await in_thread(self.kafka.create_topic, name, partitions=partitions, config=config)
        return name

    def s3_client(self) -> S3Client:
        """A new boto3 client: blocking, to be used ``in_thread``."""
        return s3_client(self.s3)


def s3_client(server: S3Server) -> S3Client:
    """A new boto3 client for any S3Server of the tests."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        region_name=server.region,
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        verify=str(server.certificate.certificate) if server.certificate else None,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


async def stack() -> Stack:
    """The shared servers, started now if this is the first call of the run."""
    global _shared
    if _shared is None:
        # One test runs at a time, so nobody else can be waiting here. After a failure the next test tries
        # again.
        _shared = await _start()
    return _shared


async def _start() -> Stack:
    kafka, s3 = KafkaServer(), S3Server()

    def close() -> None:
        kafka.close()
        s3.close()

    reactor.addSystemEventTrigger("after", "shutdown", close)

    def start_s3() -> None:
        s3.start()
        s3.create_bucket(BUCKET)

    starting: list[Deferred[None]] = [in_thread(kafka.start), in_thread(start_s3)]
    await gatherResults(starting, consumeErrors=True)
    return Stack(kafka, s3, BUCKET)


async def shared_s3(*, https: bool = False, minio: str | None = None) -> S3Server:
    """One more S3 server for all tests of the run that ask for one like it, with the bucket."""
    server = _servers.get((https, minio))
    if server is None:
        server = S3Server(https=https, minio=minio)
        reactor.addSystemEventTrigger("after", "shutdown", server.close)
        await in_thread(server.start)
        await in_thread(server.create_bucket, BUCKET)
        _servers[https, minio] = server
    return server


async def own_kafka(test: TestCase, **options: Any) -> KafkaServer:
    """A Kafka node of this test's own, started, and closed after it. ``options`` are KafkaServer's."""
    kafka = KafkaServer(**options)
    test.addCleanup(in_thread, kafka.close)
    await in_thread(kafka.start)
    return kafka


async def own_s3(test: TestCase, **options: Any) -> S3Server:
    """An S3 server of this test's own, with the bucket, closed after it. ``options`` are S3Server's."""
    s3 = S3Server(**options)
    test.addCleanup(in_thread, s3.close)
    await in_thread(s3.start)
    await in_thread(s3.create_bucket, BUCKET)
    return s3
