"""Counters of several processes: they are added up, and none is lost when a process is killed."""

from __future__ import annotations

import os
import signal
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from prometheus_client import values
from prometheus_client.exposition import generate_latest
from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.errors import SettingError
from lfsproxy.metrics import MAX_TOPICS, PrometheusMetrics
from lfsproxy.workers.board import Board
from lfsproxy.workers.metrics import SharedMetrics, ended_seconds, forget, new_folder

KILLED = """
import os, signal, sys
from lfsproxy.workers.board import Board
from lfsproxy.workers.metrics import SharedMetrics
metrics = SharedMetrics("1.2.3", sys.argv[1], "0", Board(sys.argv[1], 2))
for _ in range(1000):
    metrics.upload("http", "photos", "ok", 10, 0.2)
metrics.kafka_connection(5)
os.kill(os.getpid(), signal.SIGKILL)
"""


class SharedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(values, "ValueClass", values.ValueClass)
        self.addCleanup(os.environ.pop, "PROMETHEUS_MULTIPROC_DIR", None)
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.board = Board.create(self.folder, 2)

    def metrics(self, name: str) -> SharedMetrics:
        return SharedMetrics("1.2.3", self.folder, name, self.board)

    def value(self, metrics: PrometheusMetrics, name: str, **labels: str) -> float | None:
        return metrics.page.get_sample_value(name, labels)


class MergedTests(SharedTestCase):
    def test_either_worker_shows_the_sum_of_both(self) -> None:
        both = []
        for name in ("0", "1"):
            both.append(metrics := self.metrics(name))
            metrics.upload("http", "photos", "ok", 1000, 0.2)
        for metrics in both:
            for name, labels, value in (
                ("lfsproxy_upload_bytes_total", {"topic": "photos"}, 2000),
                ("lfsproxy_upload_seconds_count", {}, 2),
                ("lfsproxy_upload_seconds_bucket", {"le": "0.25"}, 2),
            ):
                self.assertEqual(self.value(metrics, name, path="http", **labels), value, name)

    def test_gauges_are_added_up_or_the_best_or_worst_of_all(self) -> None:
        for name, used, ready, expires in (("0", 3, False, 1000.0), ("1", 4, True, 1001.0)):
            metrics = self.metrics(name)
            metrics.kafka_connection(1)
            metrics.memory(lambda used=used: used, 50)  # type: ignore[misc]
            metrics.ready("s3", lambda ready=ready: ready)  # type: ignore[misc]
            metrics.certificate("LFS_HTTP_TLS_CERT", lambda expires=expires: expires)  # type: ignore[misc]
        for name, labels, value in (
            ("lfsproxy_kafka_connections", {}, 2),
            ("lfsproxy_upload_memory_bytes", {}, 7),
            ("lfsproxy_upload_memory_limit_bytes", {}, 100),
            ("lfsproxy_ready", {"dependency": "s3"}, 1),
            ("lfsproxy_certificate_expiry_timestamp_seconds", {"setting": "LFS_HTTP_TLS_CERT"}, 1000),
        ):
            self.assertEqual(self.value(metrics, name, **labels), value, name)

    def test_gauges_follow_what_they_show(self) -> None:
        used = [3]
        first = self.metrics("0")
        first.memory(lambda: used[0], 50)
        second = self.metrics("1")
        used[0] = 9
        self.assertEqual(self.value(second, "lfsproxy_upload_memory_bytes"), 3)
        first.refresh()
        self.assertEqual(self.value(second, "lfsproxy_upload_memory_bytes"), 9)
        used[0] = 11
        self.assertEqual(self.value(first, "lfsproxy_upload_memory_bytes"), 11)

    def test_the_page_has_what_that_of_a_single_process_has(self) -> None:
        single = PrometheusMetrics("1.2.3")
        shared = self.metrics("0")
        for metrics in (single, shared):
            metrics.memory(lambda: 1, 2)
            metrics.kafka_request("Fetch", 0.01)
            metrics.ready("s3", lambda: True)
        self.board.began(0, os.getpid())

        def names(metrics: PrometheusMetrics) -> set[str]:
            lines = generate_latest(metrics.page).decode().splitlines()
            return {line.rpartition(" ")[0] for line in lines if line and line[0] != "#"}

        self.assertEqual(names(shared), names(single))

    def test_restarts_are_counted_by_the_parent(self) -> None:
        parent, worker = self.metrics("parent"), self.metrics("0")
        self.assertEqual(self.value(worker, "lfsproxy_worker_restarts_total"), 0)
        parent.worker_restarted()
        self.assertEqual(self.value(worker, "lfsproxy_worker_restarts_total"), 1)


class EndedTests(SharedTestCase):
    def test_the_gauges_of_a_worker_that_ended_count_no_more(self) -> None:
        first = self.metrics("0")
        first.kafka_connection(3)
        first.kafka_request("Fetch", None)
        second = self.metrics("1")
        second.kafka_connection(1)
        forget(self.folder, 0)
        self.assertEqual(self.value(second, "lfsproxy_kafka_connections"), 1)
        self.assertEqual(self.value(second, "lfsproxy_kafka_requests_total", api="Fetch"), 1)

    def test_one_that_follows_goes_on_counting_in_the_same_files(self) -> None:
        self.metrics("0").kafka_request("Fetch", None)
        files = set(os.listdir(self.folder))
        forget(self.folder, 0)
        again = self.metrics("0")
        again.kafka_request("Fetch", None)
        self.assertEqual(self.value(again, "lfsproxy_kafka_requests_total", api="Fetch"), 2)
        self.assertEqual(set(os.listdir(self.folder)), files)

    def test_restarts_do_not_make_room_for_more_topics(self) -> None:
        first = self.metrics("0")
        for number in range(MAX_TOPICS):
            first.upload("http", f"topic-{number}", "ok", 1, 0.1)
        again = self.metrics("0")
        again.upload("http", "one-more", "ok", 1, 0.1)
        again.upload("http", "topic-7", "ok", 1, 0.1)
        self.assertEqual(
            self.value(again, "lfsproxy_uploads_total", path="http", topic="other", result="ok"), 1
        )
        self.assertEqual(
            self.value(again, "lfsproxy_uploads_total", path="http", topic="topic-7", result="ok"), 2
        )


class ProcessTests(SharedTestCase):
    def test_processes_are_those_of_parent_and_workers_together(self) -> None:
        metrics = self.metrics("0")
        alone = self.value(metrics, "process_resident_memory_bytes")
        start = self.value(metrics, "process_start_time_seconds")
        self.board.began(0, 1)
        both = self.value(metrics, "process_resident_memory_bytes")
        assert alone and both and start
        self.assertGreater(both, alone)
        self.assertLess(cast(float, self.value(metrics, "process_start_time_seconds")), start)

    def test_a_process_that_is_gone_is_left_out(self) -> None:
        metrics = self.metrics("0")
        self.board.began(1, 2**22 + 1)
        self.assertTrue(self.value(metrics, "process_resident_memory_bytes"))

    def test_the_seconds_of_those_that_ended_are_the_parent_s(self) -> None:
        proc = Path(self.mktemp())
        (proc / "7").mkdir(parents=True)
        fields = ["S", *(["0"] * 10), "1", "2", "300", "400", *(["0"] * 30)]
        (proc / "7" / "stat").write_text(f"7 (a) name) {' '.join(fields)}\n")
        self.assertEqual(ended_seconds(7, str(proc)), 700 / os.sysconf("SC_CLK_TCK"))
        self.assertEqual(ended_seconds(8, str(proc)), 0)


class FolderTests(SynchronousTestCase):
    def test_only_this_user_can_read_it(self) -> None:
        folder = Path(new_folder())
        self.addCleanup(folder.rmdir)
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)

    def test_none_that_can_be_made_is_one_line(self) -> None:
        def refuse(**_: object) -> str:
            raise OSError(30, "Read-only file system")

        self.patch(tempfile, "mkdtemp", refuse)
        self.assertIn("Read-only file system", str(self.assertRaises(SettingError, new_folder)))


class KilledTests(TestCase):
    async def test_a_worker_that_is_killed_loses_no_count(self) -> None:
        self.patch(values, "ValueClass", values.ValueClass)
        self.addCleanup(os.environ.pop, "PROMETHEUS_MULTIPROC_DIR", None)
        folder = self.mktemp()
        os.mkdir(folder)
        board = Board.create(folder, 2)
        for _ in range(2):
            out, errors, how = await getProcessOutputAndValue(
                sys.executable, ["-c", KILLED, folder], os.environ, ".", cast(Any, reactor)
            ).addErrback(lambda failure: failure.value)
            self.assertEqual(how, signal.SIGKILL, (out + errors).decode())
            forget(folder, 0)
        page = SharedMetrics("1.2.3", folder, "1", board).page
        labels = {"path": "http", "topic": "photos", "result": "ok"}
        self.assertEqual(page.get_sample_value("lfsproxy_uploads_total", labels), 2000)
        self.assertEqual(page.get_sample_value("lfsproxy_kafka_connections"), 0)
