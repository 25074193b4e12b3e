"""Server processes, their configuration and the command folder, without Kafka or S3 themselves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
from twisted.trial import unittest

from lfsproxy.devstack import tools
from lfsproxy.devstack.certs import self_signed
from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.kafka import KafkaServer, answers, new_cluster_id
from lfsproxy.devstack.process import ServerProcess
from lfsproxy.devstack.s3 import S3Server, has_extended_attributes

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


class ProcessTests(unittest.SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.process = ServerProcess("Sleeper", self.folder / "log")
        self.addCleanup(self.process.kill)

    def start(self) -> None:
        self.process.start(SLEEPER, ready=lambda: "up" in self.process.tail(), timeout=20)

    def test_start_returns_when_ready_and_stop_when_ended(self) -> None:
        self.start()
        pid = self.process.pid
        self.assertTrue(self.process.running)
        self.process.stop()
        self.assertFalse(self.process.running)
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_a_paused_process_can_be_stopped(self) -> None:
        self.start()
        self.process.pause()
        self.process.stop(timeout=10)
        self.assertFalse(self.process.running)

    def test_one_that_ends_by_itself_shows_the_end_of_its_log(self) -> None:
        with self.assertRaises(DevstackError) as caught:
            self.process.start(
                [sys.executable, "-c", "print('no such disk'); raise SystemExit(3)"],
                ready=lambda: False,
                timeout=20,
            )
        self.assertIn("ended by itself with status 3", str(caught.exception))
        self.assertIn("no such disk", str(caught.exception))

    def test_one_that_is_never_ready_is_ended(self) -> None:
        with self.assertRaises(DevstackError) as caught:
            self.process.start(SLEEPER, ready=lambda: False, timeout=0.2)
        self.assertIn("not ready after", str(caught.exception))
        self.assertFalse(self.process.running)

    def test_a_program_that_is_not_there_is_one_sentence(self) -> None:
        with self.assertRaises(DevstackError) as caught:
            self.process.start(["/nowhere/java"], ready=lambda: True, timeout=1)
        self.assertEqual(
            str(caught.exception), "Sleeper cannot be started: /nowhere/java: No such file or directory."
        )

    def test_servers_end_when_their_starter_is_killed(self) -> None:
        script = (
            "import sys, time; from pathlib import Path\n"
            "from lfsproxy.devstack.process import ServerProcess\n"
            "p = ServerProcess('s', Path(sys.argv[1]))\n"
            "p.start([sys.executable, '-c', 'import time; time.sleep(60)'], ready=lambda: True, timeout=9)\n"
            "print(p.pid, flush=True); time.sleep(60)\n"
        )
        starter = subprocess.Popen(
            [sys.executable, "-c", script, str(self.folder / "other.log")],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        self.addCleanup(starter.wait)
        assert starter.stdout is not None
        self.addCleanup(starter.stdout.close)
        server = psutil.Process(int(starter.stdout.readline()))
        starter.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs([server], timeout=20)
        self.assertEqual(alive, [], "the server outlived its starter")


class KafkaConfigurationTests(unittest.SynchronousTestCase):
    def test_own_settings_win_and_listeners_are_advertised(self) -> None:
        kafka = KafkaServer(
            data_dir=Path("/data"),
            port=9092,
            config={"message.max.bytes": "5", "offsets.topic.num.partitions": "9"},
            listeners={"SIGNED": "SASL_PLAINTEXT"},
        )
        properties = kafka.properties()
        self.assertEqual(properties["message.max.bytes"], "5")
        self.assertEqual(properties["offsets.topic.num.partitions"], "9")
        signed = f"SIGNED://127.0.0.1:{kafka.listener_ports['SIGNED']}"
        self.assertEqual(properties["advertised.listeners"], f"PLAINTEXT://127.0.0.1:9092,{signed}")
        self.assertIn("SIGNED:SASL_PLAINTEXT", properties["listener.security.protocol.map"])

    def test_a_further_broker_joins_the_first_ones_controller(self) -> None:
        first = KafkaServer(data_dir=Path("/data"))
        second = KafkaServer(data_dir=Path("/other"), node_id=2, joins=first)
        self.assertEqual(second.properties()["process.roles"], "broker")
        self.assertEqual(
            second.properties()["controller.quorum.voters"], first.properties()["controller.quorum.voters"]
        )
        self.assertNotIn("CONTROLLER://", second.properties()["listeners"])

    def test_a_cluster_id_is_never_taken_for_an_option(self) -> None:
        for _ in range(200):
            identity = new_cluster_id()
            self.assertEqual((len(identity), identity.startswith("-")), (22, False))


class AnswersTests(unittest.SynchronousTestCase):
    def answered_with(self, answer: bytes) -> bool:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            self.addCleanup(thread.join)
            return answers(server.getsockname()[1])

    def test_an_api_versions_answer_is_ready(self) -> None:
        self.assertTrue(self.answered_with(b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0"))

    def test_anything_else_is_not(self) -> None:
        self.assertFalse(self.answered_with(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        self.assertFalse(self.answered_with(b"\0\0"))

    def test_nobody_listening_is_not(self) -> None:
        self.assertFalse(answers(9))


class S3Tests(unittest.SynchronousTestCase):
    def test_which_server_is_used(self) -> None:
        self.assertEqual(S3Server(data_dir=Path("/d"), minio="").kind, "S3Proxy")
        self.assertEqual(S3Server(data_dir=Path("/d"), minio="/bin/minio").kind, "MinIO")

    def test_the_probe_for_extended_attributes_leaves_nothing_behind(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        has_extended_attributes(folder)
        self.assertEqual(list(folder.iterdir()), [])

    def test_a_missing_attribute_is_said_for_s3proxy_only(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()

        def refuse(*args: object) -> None:
            raise OSError(95, "Operation not supported")

        self.patch(os, "setxattr", refuse)
        self.assertIn("no extended attributes", S3Server(data_dir=folder, minio="").notice or "")
        self.assertIsNone(S3Server(data_dir=folder, minio="/bin/minio").notice)


class CertificateTests(unittest.SynchronousTestCase):
    def test_keys_are_for_their_owner_only(self) -> None:
        files = self_signed(Path(self.mktemp()))
        for path in (files.key, files.combined, files.pkcs12):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)


class ToolTests(unittest.SynchronousTestCase):
    """The scripts, run with a ``java`` that prints its arguments."""

    def setUp(self) -> None:
        base = Path(self.mktemp()).absolute()
        base.mkdir()
        java = base / "echo java"
        java.write_text('#!/bin/sh\nfor argument in "$@"; do echo "$argument"; done\n')
        java.chmod(0o755)
        self.patch(tools, "java_command", lambda name, cache: [str(java), "-cp", "/a.jar:/b.jar"])
        self.folder = tools.write_tools(base / "with space", "127.0.0.1:9092")

    def run_tool(self, name: str, *arguments: str) -> list[str]:
        done = subprocess.run([self.folder / name, *arguments], capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[:2], ["-cp", "/a.jar:/b.jar"])
        return lines[3:]

    def test_the_server_at_hand_is_the_default(self) -> None:
        self.assertEqual(
            self.run_tool("kafka-console-consumer", "--topic", "demo topic", "--from-beginning"),
            [
                "org.apache.kafka.tools.consumer.ConsoleConsumer",
                *("--bootstrap-server", "127.0.0.1:9092"),
                *("--topic", "demo topic", "--from-beginning"),
            ],
        )

    def test_a_named_server_is_used_instead(self) -> None:
        for given in (["--bootstrap-server", "other:1"], ["--bootstrap-server=other:1"]):
            self.assertEqual(self.run_tool("kafka-topics", *given)[1:], given)

    def test_the_performance_test_gets_it_among_the_producer_properties(self) -> None:
        self.assertEqual(
            self.run_tool("kafka-producer-perf-test", "--topic", "t", "--producer-props", "acks=1")[1:],
            ["--topic", "t", "--producer-props", "bootstrap.servers=127.0.0.1:9092", "acks=1"],
        )
        self.assertEqual(
            self.run_tool("kafka-producer-perf-test", "--topic", "t")[1:],
            ["--topic", "t", "--producer-props", "bootstrap.servers=127.0.0.1:9092"],
        )
        given = ["--producer-props", "bootstrap.servers=other:1"]
        self.assertEqual(self.run_tool("kafka-producer-perf-test", *given)[1:], given)
