"""The token that a command signs in with: urllib3's answers, its life, and what goes wrong."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from urllib3 import HTTPResponse
from urllib3.exceptions import (
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from lfsproxy.cli.signing import Identity
from lfsproxy.cli.tokens import CommandTokens
from lfsproxy.errors import BrokerUnavailable, SettingError, SignInRefused
from lfsproxy.wire.oauth import MOST_BYTES
from tests.kafka.test_token_server import settings

Answer = Callable[[], HTTPResponse]


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """An answer of the token server."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: HTTPResponse(io.BytesIO(data), headers, status, preload_content=False)


def token(text: str, seconds: float = 10) -> Answer:
    return answer({"access_token": text, "token_type": "Bearer", "expires_in": seconds})


class CommandTokensTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[dict[str, Any]] = []
        self.answers: list[Answer] = []
        self.tokens = CommandTokens(settings(), self.post, self.clock.seconds, self.clock.seconds)

    def post(self, method: str, url: str, **more: Any) -> HTTPResponse:
        self.asked.append({"method": method, "url": url, **more})
        return self.answers.pop(0)()

    def raising(self, error: Exception) -> Answer:
        def fail() -> HTTPResponse:
            raise error

        return fail

    def test_a_token_is_kept_and_renewed_in_time(self) -> None:
        self.answers = [token("one"), token("two")]
        self.assertEqual([self.tokens.current() for _ in range(2)], ["one", "one"])
        self.clock.advance(8)
        self.assertEqual(self.tokens.current(), "two")
        self.assertEqual(len(self.asked), 2)
        self.assertEqual((self.asked[0]["redirect"], self.asked[0]["retries"]), (False, False))

    def test_the_old_one_is_used_to_its_end(self) -> None:
        self.answers = [token("one"), *[self.raising(NewConnectionError(None, "x"))] * 9]  # type: ignore[arg-type]
        self.tokens.current()
        self.clock.advance(9)
        self.assertEqual([self.tokens.current() for _ in range(5)], ["one"] * 5)
        self.assertEqual(len(self.asked), 2)
        self.clock.advance(1)
        self.assertRaises(BrokerUnavailable, self.tokens.current)

    def test_a_refused_client_is_not_shown_again_and_again(self) -> None:
        self.answers = [answer({"error": "invalid_client"}, 401), token("one")]
        for _ in range(3):
            self.assertRaises(SignInRefused, self.tokens.current)
            self.clock.advance(9)
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(3)
        self.assertEqual(self.tokens.current(), "one")

    def test_what_is_wrong_is_told_apart(self) -> None:
        name = NameResolutionError("h", None, OSError(-2, "Name or service not known"))  # type: ignore[arg-type]
        untrusted = ssl.SSLCertVerificationError(1, "x")
        untrusted.verify_message = "self-signed certificate"
        secured = SSLError(untrusted)
        secured.__cause__ = untrusted
        for given, why in (
            (self.raising(ReadTimeoutError(None, "", "timed out")), "has not answered within 10 s"),  # type: ignore[arg-type]
            (self.raising(name), "cannot be reached: its host name is not known"),
            (self.raising(secured), "self-signed certificate (LFS_KAFKA_OAUTH_CA"),
            (answer(b" " * (MOST_BYTES + 1)), f"more than {MOST_BYTES} bytes"),
            (answer(b"", 302, Location="http://evil/"), "a redirection to 'http://evil/'"),
            (answer(b"<html>"), "without a token"),
        ):
            self.answers = [given]
            with self.assertRaises(BrokerUnavailable) as caught:
                self.tokens.current()
            self.assertIn(why, str(caught.exception))
            self.clock.advance(1)

    def test_authorities_that_cannot_be_read(self) -> None:
        more = {"kafka_oauth_token_url": "https://sso.example/token", "kafka_oauth_ca": self.mktemp()}
        with self.assertRaisesRegex(SettingError, "LFS_KAFKA_OAUTH_CA: not usable"):
            CommandTokens(settings(**more))

    def test_the_commands_identity_signs_in_with_it(self) -> None:
        identity = Identity(settings(), seconds=self.clock.seconds)
        identity._tokens = self.tokens
        self.answers = [token("one")]
        self.assertEqual(identity.credentials(), ("OAUTHBEARER", "proxy", "one"))
