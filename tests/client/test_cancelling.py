"""Cancelling over real sockets: a call that waits for the store ends at once, wherever it waits."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import BlobReader
from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.reader import static_credentials
from lfsproxy.errors import LfsError, ReadInterrupted
from tests.certificates import Authority
from tests.client.doubles import envelope_of

DATA = b"0123456789" * 100
VALUE = envelope_of(DATA).to_bytes()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
SECONDS = 30
"""A call that is not ended at once would take longer than a test may wait for it."""


@attrs.frozen
class Silent:
    """A store that sends the same bytes to whoever asks, then nothing."""

    sent: bytes
    tls: ssl.SSLContext | None = None
    waits: threading.Event = attrs.field(factory=threading.Event)
    gone: threading.Event = attrs.field(factory=threading.Event)
    listener: socket.socket = attrs.field(factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def endpoint(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://localhost:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True)
        with connection:
            connection.recv(65536)
            connection.sendall(self.sent)
            self.waits.set()
            while connection.recv(65536):
                """Until the client is gone."""
            self.gone.set()


class CancellingTests(SynchronousTestCase):
    def started(self, store: Silent) -> None:
        self.addCleanup(store.listener.close)
        threading.Thread(target=store.serve, daemon=True).start()

    def reader(self, store: Silent, **arguments: Any) -> BlobReader:
        reader = BlobReader(
            "kafscale",
            endpoint=store.endpoint,
            path_style=True,
            credentials=static_credentials("key", "secret"),
            **arguments,
        )
        self.addCleanup(reader.close)
        return reader

    def outcome(self, call: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except LfsError as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    def check(self, sent: bytes, tls: ssl.SSLContext | None = None, **arguments: Any) -> None:
        store = Silent(sent, tls)
        self.started(store)
        told: list[str] = []
        reader = self.reader(store, on_resolve=lambda one: told.append(one.result), **arguments)
        cancellation = Cancellation()
        outcome = self.outcome(lambda: reader.resolve(VALUE, cancellation=cancellation))
        store.waits.wait()
        cancellation.cancel()
        self.assertIsInstance(outcome.exception(SECONDS), ReadInterrupted)
        self.assertTrue(store.gone.wait(SECONDS))
        self.assertEqual(told, ["cancelled"])

    def test_while_it_waits_for_an_answer(self) -> None:
        self.check(b"")

    def test_while_it_waits_for_the_rest(self) -> None:
        self.check(HEAD + b"\r\n" + DATA[:100])

    def test_over_tls(self) -> None:
        authority = Authority(Path(self.mktemp()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue("localhost").combined)
        for sent in (b"", HEAD + b"\r\n" + DATA[:100]):
            self.check(sent, context, ca_bundle=str(authority.file))

    def test_where_the_connection_is_to_be_closed(self) -> None:
        self.check(HEAD + b"Connection: close\r\n\r\n" + DATA[:100])

    def test_where_the_end_of_the_connection_is_that_of_the_blob(self) -> None:
        self.check(b"HTTP/1.1 200 OK\r\n\r\n" + DATA[:100])

    def test_in_a_pause_between_two_tries(self) -> None:
        pausing = threading.Event()

        class Known(Cancellation):
            def pause(self, seconds: float) -> None:
                pausing.set()
                super().pause(1000)

        cancellation = Known()
        store = Silent(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
        self.started(store)
        reader = self.reader(store)
        outcome = self.outcome(lambda: reader.resolve(VALUE, cancellation=cancellation))
        pausing.wait()
        cancellation.cancel()
        self.assertIsInstance(outcome.exception(SECONDS), ReadInterrupted)

    def test_a_connection_that_was_let_go_of_is_not_shut(self) -> None:
        mine, other = socket.socketpair()
        self.addCleanup(mine.close)
        self.addCleanup(other.close)
        cancellation = Cancellation()
        cancellation.watch(mine)
        cancellation.watch(None)
        cancellation.cancel()
        mine.sendall(b"x")
        self.assertEqual(other.recv(1), b"x")
        cancellation.watch(mine)
        self.assertEqual(other.recv(1), b"")
