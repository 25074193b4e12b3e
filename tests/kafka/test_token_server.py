"""One question to a token server by treq: what goes there, and everything that can come back."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from lfsproxy.errors import BrokerUnavailable, SettingError, SignInRefused
from lfsproxy.kafka.token_server import TokenClient
from lfsproxy.net.tls_errors import UntrustedServer
from lfsproxy.settings import Settings, load_settings
from lfsproxy.wire.oauth import ANSWER_SECONDS, MOST_BYTES, Token

TOKEN = {"access_token": "abc", "token_type": "Bearer", "expires_in": 60}


def settings(**more: str) -> Settings:
    """Those of a client of http://sso.example/token."""
    given = {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_oauth_token_url": "http://sso.example/realms/token",
        "kafka_oauth_client_id": "proxy",
        "kafka_oauth_client_secret": "hunter2",
        "kafka_oauth_scope": "kafka",
        **more,
    }
    return load_settings({}, given).settings


class TokenResource(Resource):
    """Answers as ``answer`` says: it is given the request, and gives the body."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, bytes, bytes | None, bytes]] = []
        self.accepted: bytes | None = None
        self.answer: Callable[[Any], Any] = lambda request: json.dumps(TOKEN).encode()

    def render(self, request: Any) -> Any:
        authorization = request.getHeader(b"authorization")
        self.asked.append((request.method, request.path, authorization, request.content.read()))
        self.accepted = request.getHeader(b"accept-encoding")
        return self.answer(request)


class TokenServerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.resource = TokenResource()
        self.agent: Any = RequestTraversalAgent(self.resource)
        self.client = TokenClient(self.clock, settings(), self.agent)

    def fetch(self) -> Deferred[Token]:
        fetching = Deferred.fromCoroutine(self.client.fetch(self.client.secret()))
        for _ in range(5):
            self.clock.advance(0)
            self.agent.flush()
        return fetching

    def refusal(self, kind: type[Exception] = BrokerUnavailable) -> str:
        return str(self.failureResultOf(self.fetch(), kind).value)


class AnswerTests(TokenServerCase):
    def test_a_token(self) -> None:
        self.assertEqual(self.successResultOf(self.fetch()), Token("abc", 60))
        self.assertEqual(
            self.resource.asked,
            [
                (
                    b"POST",
                    b"/realms/token",
                    b"Basic cHJveHk6aHVudGVyMg==",
                    b"grant_type=client_credentials&scope=kafka",
                )
            ],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_refused_client(self) -> None:
        def refuse(request: Any) -> bytes:
            request.setResponseCode(401)
            return b'{"error":"invalid_client"}'

        self.resource.answer = refuse
        self.assertIn("refuses the client 'proxy': 'invalid_client'", self.refusal(SignInRefused))

    def test_a_redirection_is_not_followed(self) -> None:
        def elsewhere(request: Any) -> bytes:
            request.redirect(b"http://sso.example/other")
            return b""

        self.resource.answer = elsewhere
        self.assertIn("redirection to 'http://sso.example/other'", self.refusal())
        self.assertEqual(len(self.resource.asked), 1)

    def test_a_long_answer_is_not_taken(self) -> None:
        self.resource.answer = lambda request: b" " * (MOST_BYTES + 1)
        self.assertIn(f"gives an answer of more than {MOST_BYTES} bytes", self.refusal())

    def test_a_compressed_answer_is_not_inflated(self) -> None:
        def compressed(request: Any) -> bytes:
            request.setHeader("content-encoding", "gzip")
            return gzip.compress(json.dumps(TOKEN).encode() + b" " * (1 << 24))

        self.resource.answer = compressed
        self.assertIn("without a token", self.refusal())
        self.assertEqual(self.resource.accepted, b"identity")

    def test_no_cookie_goes_along_the_next_time(self) -> None:
        cookies = []

        def answer(request: Any) -> bytes:
            cookies.append(request.getHeader(b"cookie"))
            request.addCookie("session", "1")
            return json.dumps(TOKEN).encode()

        self.resource.answer = answer
        for _ in range(2):
            self.successResultOf(self.fetch())
        self.assertEqual(cookies, [None, None])

    def test_an_answer_that_does_not_end(self) -> None:
        def endless(request: Any) -> int:
            request.write(b'{"access_token":')
            return NOT_DONE_YET

        self.resource.answer = endless
        fetching = self.fetch()
        self.clock.advance(ANSWER_SECONDS)
        error = self.failureResultOf(fetching, BrokerUnavailable)
        self.assertIn("has not answered within 10 s", str(error.value))


class _Agent:
    """Gives the same answer to everything."""

    def __init__(self, answer: Deferred[Any]) -> None:
        self.answer = answer

    def request(self, method: bytes, uri: bytes, headers: Headers, body: object) -> Deferred[Any]:
        return self.answer

    def flush(self) -> None:
        """Nothing is on its way."""


class TroubleTests(TokenServerCase):
    def trouble(self, error: Exception) -> str:
        self.agent = _Agent(fail(error))
        self.client = TokenClient(self.clock, settings(), self.agent)
        return self.refusal()

    def test_a_server_that_is_not_reached(self) -> None:
        begin = "the token server sso.example (LFS_KAFKA_OAUTH_TOKEN_URL) cannot be reached: "
        self.assertEqual(self.trouble(DNSLookupError("x")), f"{begin}its host name is not known")
        self.assertIn("connection refused", self.trouble(ConnectionRefusedError()))
        broken = ResponseNeverReceived([Failure(ConnectionResetError(104, "reset by peer"))])
        self.assertEqual(self.trouble(broken), f"{begin}reset by peer")
        untrusted = ResponseNeverReceived([Failure(UntrustedServer("its certificate has expired"))])
        self.assertEqual(self.trouble(untrusted), f"{begin}its certificate has expired")

    def test_a_server_that_is_slow(self) -> None:
        cancelled: list[object] = []
        self.agent = _Agent(Deferred(cancelled.append))
        self.client = TokenClient(self.clock, settings(), self.agent)
        fetching = self.fetch()
        self.clock.advance(ANSWER_SECONDS)
        self.assertIn(
            "has not answered within 10 s", str(self.failureResultOf(fetching, BrokerUnavailable).value)
        )
        self.assertEqual(len(cancelled), 1)

    def test_whoever_gives_up_ends_the_question(self) -> None:
        cancelled: list[object] = []
        self.agent = _Agent(Deferred(cancelled.append))
        self.client = TokenClient(self.clock, settings(), self.agent)
        fetching = self.fetch()
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FilesTests(TokenServerCase):
    def test_a_secret_s_file_is_read_each_time(self) -> None:
        path = self.mktemp()
        client = TokenClient(
            self.clock, settings(kafka_oauth_client_secret="", kafka_oauth_client_secret_file=path)
        )
        with self.assertRaisesRegex(SettingError, "LFS_KAFKA_OAUTH_CLIENT_SECRET_FILE"):
            client.check_files()
        for secret in ("one", "two"):
            with open(path, "w") as file:
                file.write(f"{secret}\n")
            client.check_files()
            self.assertEqual(client.secret(), secret)

    def test_authorities_that_cannot_be_read(self) -> None:
        more = {"kafka_oauth_token_url": "https://sso.example/token", "kafka_oauth_ca": self.mktemp()}
        with self.assertRaisesRegex(SettingError, "LFS_KAFKA_OAUTH_CA"):
            TokenClient(self.clock, settings(**more)).check_files()
