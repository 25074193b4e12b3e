"""LFS_WORKERS=2 as users run it: both doors over a kill of each worker, one page of metrics, every end."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import psutil
from confluent_kafka import Producer
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.workers.metrics import IN_MEMORY
from tests.integration.http_door import read_records
from tests.integration.kafka_door import wait_for
from tests.integration.proxy import ProxyProcess, own_proxy
from tests.integration.stack import in_thread, stack
from tests.integration.test_process import ProcessTestCase, Proxy
from tests.integration.tus import create, head, patch, pattern

MIB = 2**20
BLOB = 20_000
RESTARTS = "lfsproxy_worker_restarts_total"


def workers_of(pid: int) -> dict[int, psutil.Process]:
    """The running workers of a parent, by their place."""
    found = {}
    for child in psutil.Process(pid).children():
        # One that has just ended has no command line any more.
        with contextlib.suppress(psutil.NoSuchProcess):
            name = re.search(r"worker-(\d+)-of-", " ".join(child.cmdline()))
            if name:
                found[int(name[1])] = child
    return found


def payload(key: str) -> bytes:
    """The blob that goes with a key."""
    return key.encode().ljust(BLOB, b".")


@attrs.define
class Load:
    """Records by librdkafka and by HTTP, until ``stop``. ``acknowledged`` has what was."""

    proxy: ProxyProcess
    topic: str
    acknowledged: list[str] = attrs.Factory(list)
    refused: list[str] = attrs.Factory(list)
    stopped: threading.Event = attrs.Factory(threading.Event)

    def start(self) -> list[Deferred[None]]:
        return [in_thread(self._produce), *(in_thread(self._upload, number) for number in range(3))]

    def _produce(self) -> None:
        producer = Producer({"bootstrap.servers": self.proxy.bootstrap, "linger.ms": 5, "log_level": 0})
        number = 0

        def delivered(key: str) -> Callable[[Any, Any], None]:
            return lambda error, _: (self.refused if error else self.acknowledged).append(key)

        while not self.stopped.is_set():
            key = f"kafka-{number}"
            headers: list[Any] = [("LFS_BLOB", b"")] if number % 2 else []
            producer.produce(self.topic, payload(key), headers=headers, on_delivery=delivered(key))
            producer.poll(0.005)
            number += 1
        assert producer.flush(60) == 0

    def _upload(self, worker: int) -> None:
        """Uploads that nobody repeats: what has no 201 is not acknowledged."""
        number = 0
        while not self.stopped.is_set():
            key = f"http-{worker}-{number}"
            number += 1
            connection = http.client.HTTPConnection(HOST, self.proxy.http_port, timeout=60)
            try:
                connection.request("POST", f"/v1/topics/{self.topic}/records", payload(key))
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                status = 0
            finally:
                connection.close()
            (self.acknowledged if status == 201 else self.refused).append(key)


class KilledWorkerTests(TestCase):
    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.topic = await self.servers.new_topic("workers")
        self.proxy = await own_proxy(self, self.servers, LFS_WORKERS="2")

    def kill(self, place: int) -> None:
        """SIGKILL; returns when the count has it and another runs in its place."""
        before = self.proxy.metrics()[RESTARTS]
        old = workers_of(self.proxy.pid)[place]
        old.kill()
        began = time.monotonic()
        wait_for(lambda: workers_of(self.proxy.pid).get(place, old).pid != old.pid)
        seconds = time.monotonic() - began
        wait_for(lambda: self.scrape()[RESTARTS] == before + 1)
        self.assertLess(seconds, 5)
        wait_for(
            lambda: self.proxy.log.count(f"[worker {place} lfsproxy.service.LfsProxy#info] listening") == 2
        )

    def scrape(self) -> Mapping[str, float]:
        """A scrape; another try where the killed worker had taken it."""
        try:
            return self.proxy.metrics()
        except (OSError, http.client.HTTPException):
            return self.proxy.metrics()

    async def test_a_kill_of_each_worker_under_load_loses_nothing(self) -> None:
        load = Load(self.proxy, self.topic)
        running = load.start()
        self.addCleanup(load.stopped.set)
        data = pattern(12 * MIB)
        path = await in_thread(create, self.proxy, self.topic, len(data))
        reply = await in_thread(patch, self.proxy, path, 0, data[: 6 * MIB])
        self.assertEqual(reply.status, 204, reply)
        first = [each.pid for each in workers_of(self.proxy.pid).values()]
        seen: dict[str, float] = {}
        for place in (0, 1):
            done = len(load.acknowledged)
            await in_thread(wait_for, lambda done=done: len(load.acknowledged) > done + 50)
            await in_thread(self.kill, place)
            samples = await in_thread(self.scrape)
            for name, value in seen.items():
                if name.endswith("_total") or "_total{" in name:
                    self.assertGreaterEqual(samples[name], value, name)
            seen = dict(samples)
        self.assertFalse({each.pid for each in workers_of(self.proxy.pid).values()} & set(first))

        # Whoever had the first half is dead.
        self.assertEqual((await in_thread(head, self.proxy, path)).headers["upload-offset"], str(6 * MIB))
        reply = await in_thread(patch, self.proxy, path, 6 * MIB, data[6 * MIB :])
        self.assertEqual(reply.status, 204, reply)

        load.stopped.set()
        for each in running:
            await each
        self.assertFalse([key for key in load.refused if key.startswith("kafka")])
        self.assertTrue(await in_thread(self.proxy.is_ready))
        socket.create_connection((HOST, self.proxy.node_port), timeout=5).close()
        await in_thread(self.assertAllThere, load, data)

    def assertAllThere(self, load: Load, tus: bytes) -> None:
        client = self.servers.s3_client()
        values = [record.value for record in read_records(self.servers, self.topic)]
        envelopes = [json.loads(value) for value in values if value.startswith(b'{"lfs_version"')]
        blobs = {value.rstrip(b".").decode() for value in values if not value.startswith(b'{"lfs_version"')}
        whole = 0
        for envelope in envelopes:
            body = client.get_object(Bucket=envelope["s3_bucket"], Key=envelope["s3_key"])["Body"].read()
            self.assertEqual(hashlib.sha256(body).hexdigest(), envelope["checksum"])
            if len(body) == len(tus):
                whole += body == tus
            else:
                blobs.add(body.rstrip(b".").decode())
        self.assertEqual(set(load.acknowledged) - blobs, set())
        self.assertEqual(whole, 1)
        counted = sum(
            value
            for name, value in self.scrape().items()
            if name.startswith("lfsproxy_uploads_total") and 'result="ok"' in name
        )
        uploads = [key for key in load.acknowledged if not key.startswith("kafka") or int(key[6:]) % 2]
        self.assertGreaterEqual(counted, len(uploads) + whole)


class WorkersProcessTests(ProcessTestCase):
    """Starts, signals and ends."""

    async def running(self, *flags: str, **environment: str) -> Proxy:
        self.servers = await stack()
        proxy = self.proxy({**self.servers.environment, "LFS_WORKERS": "2", **environment}, *flags)
        await in_thread(proxy.until_ready)
        await in_thread(proxy.until, lambda: proxy.log.count("listening: HTTP at") == 2)
        self.workers = list((await in_thread(workers_of, proxy.process.pid)).values())
        self.assertEqual(len(self.workers), 2)
        return proxy

    def folder(self) -> Path:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        return folder

    def shared_folders(self) -> set[Path]:
        return set(Path(IN_MEMORY).glob("lfsproxy-*"))

    def until_gone(self, seconds: float = 20) -> None:
        """No worker runs any more, and nothing of theirs is left."""
        _, alive = psutil.wait_procs(self.workers, timeout=seconds)
        self.assertEqual(alive, [])

    async def test_sigterm_lets_an_upload_finish_and_exits_0(self) -> None:
        proxy = await self.running()
        topic = await self.servers.new_topic("drain")
        folders = self.shared_folders()
        await self.assert_drains(proxy, topic, lambda: proxy.process.send_signal(signal.SIGTERM))
        await in_thread(self.until_gone)
        self.assertNotIn("Traceback", proxy.log)
        self.assertNotIn("is replaced", proxy.log)
        self.assertTrue(folders - self.shared_folders())

    async def test_signals_to_the_whole_group_are_one_signal(self) -> None:
        """As systemd and a terminal send them: to the parent and its workers at the same time."""
        await self.signal_all(signal.SIGINT)

    async def test_a_closed_terminal_lets_an_upload_finish(self) -> None:
        # A run of the tests under nohup has it ignored, and so would the proxy.
        self.addCleanup(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL))
        await self.signal_all(signal.SIGHUP)

    async def signal_all(self, number: signal.Signals) -> None:
        """An upload that has begun is finished, and everything ends."""
        proxy = await self.running(LFS_DRAIN_TIMEOUT="600")
        topic = await self.servers.new_topic("group")

        def signal_each() -> None:
            for pid in (proxy.process.pid, *(each.pid for each in self.workers)):
                os.kill(pid, number)

        await self.assert_drains(proxy, topic, signal_each)

    async def test_the_delay_and_a_second_signal(self) -> None:
        proxy = await self.running(LFS_DRAIN_DELAY="10m")
        proxy.process.send_signal(signal.SIGTERM)
        # Whichever of the two is asked.
        for _ in range(6):
            await in_thread(proxy.until, lambda: proxy.readiness() == ["the proxy is shutting down"])
        topic = await self.servers.new_topic("delay")
        response, body = await in_thread(proxy.ask, "POST", f"/v1/topics/{topic}/records", b"late")
        self.assertEqual(response.status, 201, body)
        proxy.process.send_signal(signal.SIGTERM)
        self.assertEqual(await in_thread(proxy.wait), 0)

    async def test_a_killed_parent_leaves_no_process(self) -> None:
        proxy = await self.running(LFS_DRAIN_DELAY="10m")
        proxy.process.kill()
        proxy.process.wait()
        await in_thread(self.until_gone)
        for port in (proxy.http, proxy.kafka, proxy.node, proxy.metrics):
            socket.create_server((HOST, port)).close()
        self.assertIn("the parent process has ended", proxy.log)

    async def test_a_parent_that_is_killed_with_signals_to_its_workers_leaves_nothing(self) -> None:
        """As systemd has it: once the main process is gone, what is left gets SIGTERM."""
        proxy = await self.running()
        # Other runs on this machine have such folders too.
        files = [Path(file.path) for worker in self.workers for file in worker.open_files()]
        folders = {file.parent for file in files} & self.shared_folders()
        self.assertEqual(len(folders), 1)
        for worker in self.workers:
            worker.suspend()
        proxy.process.kill()
        proxy.process.wait()
        for worker in self.workers:
            worker.terminate()
            worker.resume()
        await in_thread(self.until_gone)
        self.assertFalse(folders & self.shared_folders())

    async def test_a_worker_that_is_told_to_stop_is_replaced(self) -> None:
        proxy = await self.running()
        self.workers[0].terminate()
        await in_thread(proxy.until, lambda: proxy.log.count("listening: HTTP at") == 3)
        self.assertIn("has ended with exit code 0: it is replaced at once", proxy.log)
        self.assertEqual(proxy.readiness(), [])

    async def test_the_log_names_the_worker_wherever_it_goes(self) -> None:
        proxy = await self.running(LFS_LOG_FORMAT="json")
        lines = [json.loads(line) for line in proxy.log.splitlines()]
        said = {line.get("worker") for line in lines if line["message"].startswith("listening")}
        self.assertEqual(said, {0, 1})
        proxy.process.terminate()
        await in_thread(proxy.wait)

    async def test_a_log_that_twistd_writes_to_a_file_has_the_workers_lines(self) -> None:
        servers = await stack()
        folder = self.folder()
        proxy = Proxy(folder, {**servers.environment, "LFS_WORKERS": "2"}, before=["--logfile=the.log"])
        self.addCleanup(proxy.close)
        await in_thread(proxy.until_ready)
        text = (folder / "the.log").read_text()
        self.assertRegex(text, r"\[worker [01] lfsproxy\.service\.LfsProxy#info\] listening")
        proxy.process.terminate()
        self.assertEqual(await in_thread(proxy.wait), 0)
        self.assertEqual(proxy.log, "")

    def test_a_port_in_use_is_one_line_and_exit_status_1(self) -> None:
        with socket.create_server((HOST, 0)) as taken:
            address = f"{HOST}:{taken.getsockname()[1]}"
            proxy = self.proxy({"LFS_WORKERS": "2", "LFS_METRICS_ADDR": address})
            self.assertEqual(proxy.wait(), 1)
        [line] = [line for line in proxy.log.splitlines() if "cannot listen" in line]
        self.assertIn("the port is already in use; LFS_METRICS_ADDR says", line)
        self.assertNotIn("Traceback", proxy.log)

    def test_what_only_a_worker_finds_wrong_ends_the_start_too(self) -> None:
        broken = Path(self.mktemp()).absolute()
        broken.write_text("no certificate")
        proxy = self.proxy(
            {
                "LFS_WORKERS": "2",
                "LFS_HTTP_TLS_CERT": str(broken),
                "LFS_HTTP_TLS_KEY": str(broken),
                "LFS_KAFKA_BROKERS": f"{HOST}:{free_port()}",
            }
        )
        self.assertEqual(proxy.wait(), 1)
        lines = [line for line in proxy.log.splitlines() if "#critical]" in line]
        self.assertTrue(lines, proxy.log)
        for line in lines:
            self.assertIn("LFS_HTTP_TLS_CERT", line)
        self.assertNotIn("Traceback", proxy.log)
        self.assertNotIn("is replaced", proxy.log)
