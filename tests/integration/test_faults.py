"""Every fault of ``faults`` once, under load, and gc and fsck behind them. Takes some four minutes.

``python -m tests.integration.faults.report`` prints what came of each as a table.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.devstack import S3Server
from tests.certificates import Authority
from tests.integration.faults.link import HOST, Link, Trouble
from tests.integration.faults.report import CASES
from tests.integration.faults.run import Run, faults
from tests.integration.faults.serving import SECONDS
from tests.integration.faults.store_link import Refusal, Spoiling, StoreLink
from tests.integration.faults.upkeep import Left, Upkeep
from tests.integration.stack import in_thread

SEED = 7
BODY = bytes(range(256)) * 1000


class FaultsTests(TestCase):
    timeout = 2400

    async def test_no_promise_is_broken(self) -> None:
        def run() -> Run:
            # No test measures time: a door that does not serve at all is seen.
            with faults(SEED, within=SECONDS) as happening:
                for case in CASES:
                    result = happening.observe(case)
                    self.assertGreater(result.total("acknowledged"), 0, case.name)
                return happening.end()

        done = await in_thread(run)
        self.assertEqual(done.broken, [])
        self.assertGreater(done.upkeep.fsck["envelopes"], 0)


class UpkeepTests(SynchronousTestCase):
    """What gc and fsck say is held against what is there."""

    def upkeep(self, **other: Any) -> Upkeep:
        given = {
            "before": Left(frozenset({"a"}), frozenset({"b"})),
            "after": Left(frozenset(), frozenset()),
            "looked": {"orphans": 1, "uploads": 1},
            "deleted": {"deleted": 1, "aborted": 1},
            "fsck": {"findings": [], "unread": 0},
        }
        return Upkeep(**{**given, **other})

    def test_every_orphan_found_and_removed_is_in_order(self) -> None:
        self.assertEqual(self.upkeep().broken, [])

    def test_an_upload_that_is_only_listed_is_found_too(self) -> None:
        both = {"looked": {"orphans": 1, "uploads": 2}, "deleted": {"deleted": 1, "aborted": 2}}
        self.assertEqual(self.upkeep(**both, ghosts=1).broken, [])
        self.assertEqual(len(self.upkeep(**both).broken), 1)

    def test_what_is_not_in_order(self) -> None:
        for other, words in (
            ({"looked": {"orphans": 0, "uploads": 1}, "deleted": {"deleted": 0, "aborted": 1}}, "there are"),
            ({"deleted": {"deleted": 1, "aborted": 0}}, "removes"),
            ({"after": Left(frozenset({"a"}), frozenset())}, "leaves"),
            ({"fsck": {"findings": ["dangling"], "unread": 0}}, "dangling"),
            ({"fsck": {"findings": [], "unread": 2}}, "2 partitions"),
        ):
            (said,) = self.upkeep(**other).broken
            self.assertIn(words, said)


class EchoServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: connections that are cut are what these tests are for."""


class Echo(BaseHTTPRequestHandler):
    """Answers with the body that came."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response_only(http.client.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class LinkTests(SynchronousTestCase):
    """What the links do wrong is what they say, and nothing else."""

    def setUp(self) -> None:
        server = EchoServer((HOST, 0), Echo)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.port = server.server_port
        authority = Authority(Path(self.mktemp()))
        self.authority = authority
        kept: Any = type("Kept", (), {"port": self.port})()
        self.store = StoreLink(cast(S3Server, kept), authority.issue("localhost"), Random(1))
        self.addCleanup(self.store.close)
        self.link = Link(self.port, Random(1))
        self.addCleanup(self.link.close)

    def put(self) -> tuple[int, bytes]:
        """Through the store's link; what comes back."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        return self.ask(
            http.client.HTTPSConnection("localhost", self.store.port, timeout=10, context=context)
        )

    def ask(self, connection: http.client.HTTPConnection) -> tuple[int, bytes]:
        try:
            connection.request("PUT", "/bucket/lfs/key", BODY)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def assertCut(self, call: Callable[[], object]) -> None:
        self.assertRaises((OSError, http.client.HTTPException), call)

    def test_without_trouble_all_passes(self) -> None:
        self.assertEqual(self.put(), (200, BODY))
        self.assertEqual(self.ask(http.client.HTTPConnection(HOST, self.link.port, timeout=10)), (200, BODY))
        self.assertEqual((self.store.struck, self.link.struck), (0, 0))

    def test_one_byte_is_changed(self) -> None:
        for spoiling in (Spoiling(spoil_request=True), Spoiling(spoil_answer=True)):
            with self.store.spoiled(spoiling):
                _, body = self.put()
            self.assertEqual(len(body), len(BODY))
            self.assertEqual(sum(one != other for one, other in zip(body, BODY, strict=True)), 1)

    def test_requests_and_answers_are_cut(self) -> None:
        for spoiling in (Spoiling(cut_request=True), Spoiling(cut_answer=True)):
            with self.store.spoiled(spoiling):
                self.assertCut(self.put)
        self.assertEqual(self.put(), (200, BODY))

    def test_a_refusal_is_for_the_methods_and_paths_that_are_meant(self) -> None:
        refusal = Refusal(503, "SlowDown", "later")
        with self.store.spoiled(Spoiling(refusal=refusal)):
            status, body = self.put()
        self.assertEqual((status, b"<Code>SlowDown</Code>" in body), (503, True))
        for other in (Spoiling(("GET",), refusal=refusal), Spoiling(path="/other/", refusal=refusal)):
            with self.store.spoiled(other):
                self.assertEqual(self.put(), (200, BODY))

    def test_a_certificate_that_has_expired(self) -> None:
        self.store.show(self.authority.issue("localhost", days=-1))
        self.assertRaises(ssl.SSLCertVerificationError, self.put)

    def test_connections_are_reset_after_some_bytes(self) -> None:
        with self.link.in_trouble(Trouble(cut=1000)):
            self.assertCut(lambda: self.ask(http.client.HTTPConnection(HOST, self.link.port, timeout=10)))
        self.assertGreater(self.link.struck, 0)

    def test_bytes_vanish_and_the_connection_is_reset_in_the_end(self) -> None:
        with socket.create_connection((HOST, self.link.port), timeout=10) as client:
            with self.link.in_trouble(Trouble(mute=True)):
                client.sendall(b"PUT / HTTP/1.1\r\n")
                client.settimeout(0.2)
                self.assertRaises(TimeoutError, client.recv, 1)
                client.settimeout(10)
            # By a reset, or by its end where the thread that reads was quicker.
            with contextlib.suppress(ConnectionError):
                self.assertEqual(client.recv(1), b"")
