"""``twistd -n lfsproxy`` as a process: how it starts, refuses to start, takes flags, and ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.log.repeats import FEW
from tests.integration.stack import Stack, in_thread, own_s3, stack

TWISTD = Path(sys.executable).parent / "twistd"
SECONDS = 40
HALF = b"half" * 1000


class Proxy:
    """The process with its ports. Everything blocks."""

    def __init__(
        self, folder: Path, environment: dict[str, str], *flags: str, before: Sequence[str] = ()
    ) -> None:
        """``before`` are options of twistd itself."""
        self.http, self.metrics, self.kafka, self.node = (free_port() for _ in range(4))
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(("LFS_", "AWS_"))}
        self.environment = {
            **inherited,
            "AWS_EC2_METADATA_DISABLED": "true",
            "LFS_HTTP_ADDR": f"{HOST}:{self.http}",
            "LFS_METRICS_ADDR": f"{HOST}:{self.metrics}",
            "LFS_KAFKA_ADDR": f"{HOST}:{self.kafka}",
            # The tests' Kafka has one node, of id 1.
            "LFS_KAFKA_BROKER_PORT_BASE": str(self.node - 1),
            **environment,
        }
        self._log = folder / "twistd.out"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [TWISTD, "-n", "--pidfile=", *before, "lfsproxy", *flags],
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(
        self, method: str, path: str, body: bytes = b"", port: int | None = None, **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection(HOST, port or self.http, timeout=SECONDS)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def readiness(self) -> list[str] | None:
        """What /readyz complains of; None while nothing answers."""
        try:
            response, body = self.ask("GET", "/readyz")
        except OSError:
            return None
        problems: list[str] = json.loads(body).get("problems", [])
        assert (response.status == 200) == (not problems), (response.status, problems)
        return problems

    def until(self, reached: Callable[[], bool]) -> None:
        """Ask again and again, while the process lives."""
        deadline = time.monotonic() + SECONDS
        while not reached():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"never reached; exit status {self.process.poll()}; log:\n{self.log}")
            time.sleep(0.05)

    def until_logged(self, text: str) -> None:
        self.until(lambda: text in self.log)

    def until_polled(self) -> None:
        self.until(lambda: self.readiness() is not None)

    def until_ready(self) -> None:
        self.until(lambda: self.readiness() == [])

    def begin_upload(self, topic: str) -> socket.socket:
        """Send the head and one half of a body, whose blob the proxy has begun when this returns."""
        client = socket.create_connection((HOST, self.http), timeout=SECONDS)
        head = (
            f"POST /v1/topics/{topic}/records HTTP/1.1\r\nHost: x\r\nContent-Length: {2 * len(HALF)}\r\n\r\n"
        )
        client.sendall(head.encode() + HALF)
        self.until(lambda: b"\nlfsproxy_upload_memory_bytes 0.0\n" not in self.scrape())
        return client

    def scrape(self) -> bytes:
        return self.ask("GET", "/metrics", port=self.metrics)[1]

    def stopped_listening(self) -> bool:
        try:
            socket.create_connection((HOST, self.http), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False


class ProcessTestCase(TestCase):
    timeout = 180

    def proxy(self, environment: dict[str, str], *flags: str) -> Proxy:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        proxy = Proxy(folder, environment, *flags)
        self.addCleanup(proxy.close)
        return proxy

    async def assert_drains(
        self, proxy: Proxy, topic: str, stop: Callable[[], None], again: Callable[[], None] = lambda: None
    ) -> None:
        """After ``stop``, and ``again`` once no port is open, an upload that had begun is finished, and the
        process ends with 0."""
        client = await in_thread(proxy.begin_upload, topic)
        self.addCleanup(client.close)
        stop()
        await in_thread(proxy.until, proxy.stopped_listening)
        again()
        client.sendall(HALF)
        answer = await in_thread(client.recv, 65536)
        self.assertTrue(answer.startswith(b"HTTP/1.1 201 "), answer)
        self.assertEqual(await in_thread(proxy.wait), 0)


class RefusedStartTests(ProcessTestCase):
    def test_a_bad_value_is_one_line_and_exit_status_1(self) -> None:
        proxy = self.proxy({"LFS_CHECKSUM_ALGO": "sha1"})
        self.assertEqual(proxy.wait(), 1)
        self.assertEqual(
            proxy.log, "lfsproxy: LFS_CHECKSUM_ALGO is 'sha1': one of sha256, crc32, md5 is needed\n"
        )

    def test_a_port_in_use_is_one_line_and_exit_status_1(self) -> None:
        with socket.create_server((HOST, 0)) as taken:
            address = f"{HOST}:{taken.getsockname()[1]}"
            for variable in ("LFS_HTTP_ADDR", "LFS_METRICS_ADDR", "LFS_KAFKA_ADDR"):
                proxy = self.proxy({variable: address})
                self.assertEqual(proxy.wait(), 1)
                [line] = [line for line in proxy.log.splitlines() if "cannot listen" in line]
                self.assertIn(f"{address}: the port is already in use; {variable} says", line)
                self.assertNotIn("Traceback", proxy.log)

    def test_a_file_that_cannot_be_read_is_one_line_and_exit_status_1(self) -> None:
        proxy = self.proxy({"LFS_HTTP_TLS_CERT": "/nowhere.pem", "LFS_HTTP_TLS_KEY": "/nowhere.key"})
        self.assertEqual(proxy.wait(), 1)
        self.assertEqual(
            proxy.log,
            "lfsproxy: LFS_HTTP_TLS_CERT is '/nowhere.pem': the path of a file that the proxy can read is "
            "needed (No such file or directory)\n",
        )

    async def test_the_log_is_json_from_the_first_line_on_where_that_is_asked_for(self) -> None:
        proxy = self.proxy(
            {
                "LFS_LOG_FORMAT": "json",
                "LFS_S3_ENDPOINT": f"http://localhost:{free_port()}",
                "LFS_KAFKA_BROKERS": f"{HOST}:{free_port()}",
                "LFS_HELLO": "x",
            }
        )
        await in_thread(proxy.until_polled)
        await in_thread(proxy.ask, "GET", "/nowhere")
        await in_thread(proxy.until_logged, "/nowhere")
        lines = [json.loads(line) for line in proxy.log.splitlines()]
        self.assertEqual({line["level"] for line in lines} - {"info", "warn"}, set())
        self.assertIn("set, but no settings, so that they change nothing: LFS_HELLO", str(lines))
        self.assertFalse([line for line in lines if "/readyz" in line["message"]])
        (request,) = [line for line in lines if line.get("event") == "request"]
        self.assertEqual((request["method"], request["path"], request["status"]), ("GET", "/nowhere", 404))

    async def test_debug_shows_the_polls_and_warn_hides_requests(self) -> None:
        for level, shown in (("debug", True), ("warn", False)):
            proxy = self.proxy(
                {
                    "LFS_LOG_LEVEL": level,
                    "LFS_S3_ENDPOINT": f"http://localhost:{free_port()}",
                    "LFS_KAFKA_BROKERS": f"{HOST}:{free_port()}",
                }
            )
            await in_thread(proxy.until_logged, "S3 cannot be used")
            await in_thread(proxy.until_polled)
            self.assertEqual("GET /readyz 503" in proxy.log, shown)
            self.assertEqual("listening: HTTP" in proxy.log, shown)

    async def test_s3_and_kafka_out_of_reach_are_said_and_looked_for(self) -> None:
        port = free_port()
        proxy = self.proxy(
            {
                "LFS_S3_ENDPOINT": f"http://localhost:{port}",
                "LFS_KAFKA_BROKERS": f"{HOST}:{free_port()}",
                "LFS_S3_RETRY_TIMEOUT": "2",
                "AWS_ACCESS_KEY_ID": "an-id",
                "AWS_SECRET_ACCESS_KEY": "a-secret-key",
                "LFS_S3_PATH_STYLE": "true",
            }
        )
        await in_thread(proxy.until_logged, "S3 cannot be used, not ready: ")
        self.assertIn("Kafka cannot be used, not ready: ", proxy.log)
        problems = await in_thread(proxy.readiness)
        self.assertEqual([problem.partition(":")[0] for problem in problems or []], ["S3", "Kafka"])
        await own_s3(self, port=port, access_key="an-id", secret_key="a-secret-key")
        await in_thread(
            proxy.until, lambda: [p.partition(":")[0] for p in proxy.readiness() or []] == ["Kafka"]
        )
        self.assertIn("S3 answers again", proxy.log)
        self.assertNotIn("a-secret-key", proxy.log)


class RunningTests(ProcessTestCase):
    async def running(self, servers: Stack, *flags: str, **environment: str) -> Proxy:
        proxy = self.proxy({**servers.environment, **environment}, *flags)
        await in_thread(proxy.until_ready)
        return proxy

    async def test_flags_win_and_both_doors_work(self) -> None:
        servers = await stack()
        client = servers.s3_client()
        await in_thread(client.create_bucket, Bucket="bucket-of-flags")
        topic = await servers.new_topic("flags")
        proxy = await self.running(
            servers,
            *("--s3-bucket", "bucket-of-flags", "--s3-region", servers.s3.region, "--s3-path-style", "true"),
            *("--s3-endpoint", servers.s3.endpoint, "--kafka-brokers", servers.kafka.bootstrap),
            *("--checksum-algo", "md5", "--max-upload-size", "100", "--cors-origins", "https://a.example"),
            LFS_S3_BUCKET="another-bucket",
            LFS_S3_ENDPOINT="http://127.0.0.1:1",
            LFS_KAFKA_BROKERS="127.0.0.1:1",
            LFS_S3_PATH_STYLE="false",
        )
        path = f"/v1/topics/{topic}/records"

        response, body = await in_thread(proxy.ask, "POST", path, b"by http", Origin="https://a.example")
        self.assertEqual(response.status, 201, body)
        self.assertEqual(response.headers["Access-Control-Allow-Origin"], "https://a.example")
        request_id = response.headers["X-Request-Id"]
        own_id: Any = {"X-Request-Id": "too-large"}
        response, _ = await in_thread(proxy.ask, "POST", path, bytes(101), **own_id)
        self.assertEqual((response.status, response.headers["X-Request-Id"]), (413, "too-large"))
        await in_thread(produce, proxy, topic, b"by kafka")

        envelopes = await in_thread(consume, proxy, topic, 2)
        self.assertEqual([envelope["checksum_algo"] for envelope in envelopes], ["md5", "md5"])
        blobs = [
            (await in_thread(client.get_object, Bucket=each["s3_bucket"], Key=each["s3_key"]))["Body"].read()
            for each in envelopes
        ]
        self.assertEqual(blobs, [b"by http", b"by kafka"])
        self.assertIn("LFS_S3_BUCKET (flag --s3-bucket) is 'bucket-of-flags'", proxy.log)
        by_http, by_kafka, refused = (
            re.search(rf"\] (upload .*{re.escape(what)}.*)$", proxy.log, re.MULTILINE)
            for what in (f"request_id={request_id}", "client=a-producer", "request_id=too-large")
        )
        for found, said in (
            (by_http, f"upload result=ok door=http peer={HOST}:"),
            (by_http, f"topic={topic} partition=0 offset=0 key={envelopes[0]['s3_key']} bytes=7 seconds="),
            (by_kafka, f"upload result=ok door=kafka client=a-producer peer={HOST}:"),
            (by_kafka, f"topic={topic} partition=0 offset=1 key={envelopes[1]['s3_key']} bytes=8 seconds="),
            (refused, f"upload result=client_error door=http peer={HOST}:"),
            (refused, "LFS_MAX_UPLOAD_SIZE"),
        ):
            assert found is not None, proxy.log
            self.assertIn(said, found[1])
        metrics = (await in_thread(proxy.scrape)).decode()
        for door in ("http", "kafka"):
            self.assertIn(
                f'lfsproxy_uploads_total{{path="{door}",result="ok",topic="{topic}"}} 1.0\n', metrics
            )

    async def test_sigterm_lets_an_upload_finish_and_exits_0(self) -> None:
        servers = await stack()
        topic = await servers.new_topic("drain")
        proxy = await self.running(servers)
        await self.assert_drains(proxy, topic, lambda: proxy.process.send_signal(signal.SIGTERM))
        self.assertNotIn("Traceback", proxy.log)

    async def test_a_closed_terminal_lets_an_upload_finish_however_often_it_is_told(self) -> None:
        # A run of the tests under nohup has it ignored, and so would the proxy.
        self.addCleanup(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL))
        servers = await stack()
        topic = await servers.new_topic("hup")
        proxy = await self.running(servers, LFS_DRAIN_TIMEOUT="600")

        def hang_up() -> None:
            proxy.process.send_signal(signal.SIGHUP)

        await self.assert_drains(proxy, topic, hang_up, hang_up)
        self.assertEqual(proxy.log.count("SIGHUP received"), 1)

    async def test_the_ports_stay_open_for_load_balancers_until_a_second_signal(self) -> None:
        servers = await stack()
        topic = await servers.new_topic("delay")
        proxy = await self.running(servers, LFS_DRAIN_DELAY="10m")
        proxy.process.send_signal(signal.SIGTERM)
        await in_thread(proxy.until, lambda: proxy.readiness() == ["the proxy is shutting down"])
        response, body = await in_thread(proxy.ask, "POST", f"/v1/topics/{topic}/records", b"late")
        self.assertEqual(response.status, 201, body)
        await in_thread(produce, proxy, topic, b"late too")
        proxy.process.send_signal(signal.SIGTERM)
        self.assertEqual(await in_thread(proxy.wait), 0)

    async def test_probes_of_load_balancers_are_no_trouble(self) -> None:
        servers = await stack()
        proxy = await self.running(servers, LFS_LOG_LEVEL="debug")
        said = len(proxy.log)

        def probe() -> None:
            for port in (proxy.kafka, proxy.node, proxy.http, proxy.metrics) * 10:
                socket.create_connection((HOST, port), timeout=SECONDS).close()
            # Of each port's kind the log has a few (lfsproxy.log.repeats).
            proxy.until(lambda: proxy.log[said:].count("left without a request") == 3 * FEW)

        await in_thread(probe)
        self.assertNotRegex(proxy.log[said:], "#(warn|error|critical)")
        self.assertNotIn(b"lfsproxy_kafka_closed_total{", await in_thread(proxy.scrape))

    async def test_a_second_signal_cuts_an_upload_and_leaves_nothing(self) -> None:
        servers = await stack()
        topic = await servers.new_topic("hurry")
        proxy = await self.running(servers, LFS_DRAIN_TIMEOUT="600")
        client = await in_thread(proxy.begin_upload, topic)
        self.addCleanup(client.close)
        for number in (signal.SIGINT, signal.SIGTERM):
            proxy.process.send_signal(number)
            await in_thread(proxy.until_logged, f"{number.name} received")
        self.assertEqual(await in_thread(proxy.wait), 0)
        listed = await in_thread(
            servers.s3_client().list_objects_v2, Bucket=servers.bucket, Prefix=f"lfs/default/{topic}/"
        )
        self.assertEqual(listed.get("Contents", []), [])


def produce(proxy: Proxy, topic: str, value: bytes) -> None:
    """One LFS record through the relay."""
    problems: list[Any] = []
    producer = Producer({"bootstrap.servers": f"{HOST}:{proxy.kafka}", "client.id": "a-producer"})
    producer.produce(
        topic, value, headers={"LFS_BLOB": b""}, on_delivery=lambda error, _: problems.append(error)
    )
    producer.flush(SECONDS)
    assert problems == [None], problems


def consume(proxy: Proxy, topic: str, count: int) -> list[dict[str, Any]]:
    """The first ``count`` values of a topic, through the relay, as JSON."""
    consumer = Consumer(
        {
            "bootstrap.servers": f"{HOST}:{proxy.kafka}",
            "group.id": topic,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        messages = consumer.consume(count, SECONDS)
        return [json.loads(message.value() or b"") for message in messages]
    finally:
        consumer.close()
