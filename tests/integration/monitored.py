"""A proxy under load to which things happen, with a Prometheus that watches. Everything here blocks.

Shared by ``test_monitoring`` and ``benchmarks/dashboard.py``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from lfsproxy.devstack import KafkaServer, S3Server
from lfsproxy.devstack.ports import HOST
from tests.certificates import Authority
from tests.integration import frames
from tests.integration.prometheus import Prometheus
from tests.integration.proxy import ProxyProcess
from tests.integration.raw import RawClient
from tests.integration.stack import BUCKET

TOPIC = "monitored"
BLOB_SIZE = 200_000
LARGE = 10_000_000
"""Bytes of a file that goes to S3 in parts."""
ORPHANS = 5
"""How many blobs the crash of the broker leaves at least: as many as the alert needs."""
CRASHED = 2 * ORPHANS
"""Producers at that moment. The broker may have been sent nothing of some, and these know their outcome."""
PATIENCE = 60.0


@attrs.frozen
class Scene:
    """What runs. The HTTP door has a certificate for a day, and S3's trouble is told after 2 s."""

    kafka: KafkaServer
    s3: S3Server
    proxy: ProxyProcess
    prometheus: Prometheus
    tls: ssl.SSLContext


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Start everything, and end it afterwards. Raises SkipTest where there is no Prometheus."""
    authority = Authority(folder)
    served = authority.issue("localhost", HOST)
    tls = ssl.create_default_context(cafile=str(authority.file))
    kafka, s3 = KafkaServer(), S3Server()
    proxy = ProxyProcess(
        {
            "AWS_ACCESS_KEY_ID": s3.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.secret_key,
            "LFS_S3_ENDPOINT": s3.endpoint,
            "LFS_S3_BUCKET": BUCKET,
            "LFS_S3_PATH_STYLE": "true",
            "LFS_S3_RETRY_TIMEOUT": "2",
            "LFS_KAFKA_BROKERS": kafka.bootstrap,
            "LFS_HYDRATE_TOPICS": TOPIC,
            "LFS_WORKERS": "2",
            "LFS_HTTP_TLS_CERT": str(served.certificate.absolute()),
            "LFS_HTTP_TLS_KEY": str(served.key.absolute()),
        },
        tls,
    )
    with contextlib.ExitStack() as ending:
        ending.callback(proxy.close)
        prometheus = Prometheus(proxy.metrics_port)
        for server in (kafka, s3, prometheus):
            ending.callback(server.close)
            server.launch()
        for server in (kafka, s3, prometheus):
            server.wait()
        s3.create_bucket(BUCKET)
        kafka.create_topic(TOPIC)
        proxy.start()
        # What grows from 0 on is seen only if the 0 was.
        wait_until(lambda: bool(prometheus.query("lfsproxy_build_info")))
        yield Scene(kafka, s3, proxy, prometheus, tls)


def wait_until(reached: Callable[[], bool]) -> None:
    """Return when it is so. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for has not come")
        time.sleep(0.1)


def play(stage: Scene, seconds: float) -> None:
    """Load from both doors, with ``seconds`` of calm before each fault: a client's, S3's, the broker's."""
    with _load(stage):
        place = _upload(stage, LARGE)
        time.sleep(seconds)
        _mistakes(stage)
        assert place is not None, "the large file was not uploaded"
        _take_too_little(stage, place)
        time.sleep(seconds)
        stage.s3.stop()
        try:
            # Longer than the proxy waits for S3, so that uploads fail.
            end = time.monotonic() + 4
            consumer = _reader(stage, place)
            while time.monotonic() < end:
                _ask(stage, "GET", place)
            consumer.close()
        finally:
            stage.s3.start()
        time.sleep(seconds)
        _crash_the_broker(stage)
        time.sleep(seconds)


@contextlib.contextmanager
def _load(stage: Scene) -> Iterator[None]:
    """A producer, a consumer and two HTTP clients, each in a thread of its own."""
    over = threading.Event()
    sources: list[Callable[[Scene, threading.Event], None]] = [_produce, _consume, _transfer, _transfer]
    threads = [threading.Thread(target=source, args=(stage, over), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def _client(stage: Scene, **settings: str | int | bool) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": stage.proxy.bootstrap,
        "broker.address.family": "v4",
        "log_level": 0,
        **settings,
    }


def _produce(stage: Scene, over: threading.Event) -> None:
    """Plain records, and after each five of them one to be offloaded. The proxy counts what fails."""
    producer = Producer(_client(stage, **{"linger.ms": 0, "message.timeout.ms": 5_000}))
    number = 0
    while not over.wait(0.02):
        number += 1
        if number % 6:
            producer.produce(TOPIC, bytes(1000))
        else:
            producer.produce(TOPIC, os.urandom(BLOB_SIZE), headers={"LFS_BLOB": b""})
        producer.poll(0)
    producer.flush(PATIENCE)


def _consume(stage: Scene, over: threading.Event) -> None:
    consumer = Consumer(_client(stage, **{"group.id": "monitored", "auto.offset.reset": "earliest"}))
    consumer.subscribe([TOPIC])
    while not over.is_set():
        consumer.consume(100, 0.2)
    consumer.close()


def _transfer(stage: Scene, over: threading.Event) -> None:
    """Upload a file, and download what came of it, again and again."""
    while not over.wait(0.1):
        with contextlib.suppress(OSError, http.client.HTTPException):
            place = _upload(stage, 10 * BLOB_SIZE)
            if place is not None:
                _ask(stage, "GET", place)


def _upload(stage: Scene, size: int) -> str | None:
    """Upload a file; where its record is."""
    return _ask(stage, "POST", f"/v1/topics/{TOPIC}/records", os.urandom(size))


def _ask(stage: Scene, method: str, path: str, body: bytes = b"") -> str | None:
    """Do one request; its answer's Location."""
    connection = http.client.HTTPSConnection(HOST, stage.proxy.http_port, timeout=5, context=stage.tls)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        return answer.getheader("Location")
    finally:
        connection.close()


def _mistakes(stage: Scene) -> None:
    """A checksum that is not the file's, and bytes at the Kafka door that are no request."""
    _ask(stage, "POST", f"/v1/topics/{TOPIC}/records?checksum={'0' * 64}", b"something else")
    with RawClient(stage.proxy.bootstrap) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        client.answer()


def _reader(stage: Scene, place: str, **limits: int) -> Consumer:
    """A consumer of its own that fetches from a record on, in the background."""
    consumer = Consumer(_client(stage, **limits, **{"group.id": "another"}))
    consumer.assign([TopicPartition(TOPIC, 0, int(place.rpartition("/")[2]))])
    return consumer


def _take_too_little(stage: Scene, place: str) -> None:
    """A consumer whose limit for an answer is below the large blob: it leaves, and fetches again."""
    consumer = _reader(stage, place, **{"fetch.max.bytes": 1_000_000, "receive.message.max.bytes": 1_000_600})
    left = f'lfsproxy_hydrations_total{{result="cancelled",topic="{TOPIC}"}}'
    wait_until(lambda: left in stage.proxy.metrics())
    consumer.close()


def _crash_the_broker(stage: Scene) -> None:
    """The broker is killed when it has been sent envelopes and has not answered: nobody knows the outcome."""
    clients = [RawClient(stage.proxy.bootstrap) for _ in range(CRASHED)]
    request = frames.produce(TOPIC, frames.batch(frames.records(frames.lfs(os.urandom(BLOB_SIZE)))))
    with contextlib.ExitStack() as ending:
        for client in clients:
            ending.enter_context(client)
            client.send(request)
            client.verdicts()
        stage.kafka.pause()
        # On a busy machine its threads go on for a while.
        wait_until(lambda: psutil.Process(stage.kafka.pid).status() == psutil.STATUS_STOPPED)
        stored = _stored(stage)
        for client in clients:
            client.send(request)
        # The other clients' blobs count, too.
        wait_until(lambda: _stored(stage) >= stored + CRASHED)
        # From the blob to the broker it is not far.
        time.sleep(1)
        stage.kafka.kill()
        for client in clients:
            client.answer()
    orphans = 'lfsproxy_orphans_total{reason="unknown_outcome"}'
    wait_until(lambda: stage.proxy.metrics().get(orphans, 0) >= ORPHANS)
    stage.kafka.start()


def _stored(stage: Scene) -> float:
    """How many blobs S3 has taken whole."""
    return stage.proxy.metrics()['lfsproxy_s3_operation_seconds_count{operation="put_object",result="ok"}']
