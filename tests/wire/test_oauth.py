"""Tokens by client credentials, without I/O: the question, every answer, lifetimes, clocks that differ."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BrokerUnavailable, SignInRefused
from lfsproxy.wire.oauth import UNKNOWN_LIFETIME, Token, TokenServer, refusal_words, renew_after

NOW = 1_800_000_000.0
SERVER = TokenServer("https://sso.example/token", "my proxy", "kafka.write")


def jwt(**claims: Any) -> str:
    """A JSON Web Token that nobody verifies."""
    pieces: tuple[dict[str, Any], ...] = ({"alg": "none"}, claims, {})
    parts = [json.dumps(each).encode() for each in pieces]
    return ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts)


def answer(
    members: Any, status: int = 200, headers: Mapping[str, str] | None = None, now: float = NOW
) -> Token:
    """What is made of a server's answer."""
    return SERVER.token(status, headers or {}, json.dumps(members).encode(), now)


class QuestionTests(SynchronousTestCase):
    def test_the_client_is_named_by_basic_authentication_as_the_rfc_encodes_it(self) -> None:
        headers, body = SERVER.question("p:ß/+=")
        self.assertEqual(
            base64.b64decode(headers["Authorization"].removeprefix("Basic ")),
            b"my+proxy:p%3A%C3%9F%2F%2B%3D",
        )
        self.assertEqual(
            parse_qs(body.decode()), {"grant_type": ["client_credentials"], "scope": ["kafka.write"]}
        )

    def test_no_scope_is_sent_where_there_is_none(self) -> None:
        self.assertEqual(TokenServer("http://a", "c", "").question("s")[1], b"grant_type=client_credentials")


class AnswerTests(SynchronousTestCase):
    def test_a_token(self) -> None:
        found = answer({"access_token": "a.b-c~d+e/f==", "token_type": "bearer", "expires_in": "3599"})
        self.assertEqual(found, Token("a.b-c~d+e/f==", 3599))
        self.assertNotIn("a.b-c", repr(found))

    def test_a_refused_client_is_told_with_the_server_s_words(self) -> None:
        for status, code, hint in (
            (401, "invalid_client", "LFS_KAFKA_OAUTH_CLIENT_SECRET"),
            (400, "invalid_scope", "LFS_KAFKA_OAUTH_SCOPE"),
            (400, "unauthorized_client", "client credentials"),
            (400, "invalid_grant", ""),
        ):
            with self.assertRaises(SignInRefused) as caught:
                answer({"error": code, "error_description": "no\nway"}, status)
            text = str(caught.exception)
            self.assertIn(
                f"sso.example (LFS_KAFKA_OAUTH_TOKEN_URL) refuses the client 'my proxy': '{code}', 'no␊way'",
                text,
            )
            self.assertIn(hint, text)

    def test_anything_else_is_no_token(self) -> None:
        good = {"access_token": "abc", "token_type": "Bearer", "expires_in": 60}
        for members, status, headers, why in (
            (good, 404, {}, "answers 404: is that URL right?"),
            ({"error": "temporarily_unavailable"}, 503, {}, "answers 503: it has trouble"),
            ({"error": "slow_down"}, 429, {}, "answers 429: it has trouble"),
            ("<html>", 401, {}, "answers 401"),
            (
                good,
                302,
                {"location": "http://evil/\n"},
                "to 'http://evil/␊': the secret is not sent",
            ),
            (["abc"], 200, {}, "without a token"),
            ({**good, "access_token": ""}, 200, {}, "without a token"),
            ({**good, "access_token": "a\x01auth=b"}, 200, {}, "without a token"),
            ({**good, "access_token": 5}, 200, {}, "without a token"),
            ({**good, "token_type": "mac"}, 200, {}, "of type 'mac'"),
            ({**good, "expires_in": 0}, 200, {}, "has expired already"),
        ):
            with self.assertRaises(BrokerUnavailable) as caught:
                answer(members, status, headers)
            self.assertNotIsInstance(caught.exception, SignInRefused)
            self.assertIn(why, str(caught.exception))
            self.assertNotIn("abc", str(caught.exception))

    def test_what_is_no_json(self) -> None:
        for body in (b"", b"\xff", b"[" * 100_000, b"<html>"):
            with self.assertRaisesRegex(BrokerUnavailable, "without a token"):
                SERVER.token(200, {}, body, NOW)


class LifetimeTests(SynchronousTestCase):
    def lifetime(
        self, claims: dict[str, Any], headers: Mapping[str, str] | None = None, **more: Any
    ) -> float:
        return answer({"access_token": jwt(**claims), **more}, headers=headers).lifetime

    def test_expires_in_is_believed_whatever_the_clock(self) -> None:
        self.assertEqual(self.lifetime({"exp": NOW - 5000, "iat": NOW - 6000}, expires_in=1000), 1000)

    def test_without_it_the_token_s_own_end_counts(self) -> None:
        self.assertEqual(self.lifetime({"exp": NOW + 600, "iat": NOW - 100}), 600)

    def test_by_the_server_s_clock_if_it_says_which_it_is(self) -> None:
        headers = {"date": formatdate(NOW - 400, usegmt=True)}
        self.assertEqual(self.lifetime({"exp": NOW + 200}, headers), 600)

    def test_by_when_it_begins_if_that_is_later(self) -> None:
        self.assertEqual(self.lifetime({"exp": NOW + 800, "nbf": NOW + 200}), 600)

    def test_where_nothing_says_it(self) -> None:
        for text in ("opaque", "a.b.c", jwt(exp="soon"), jwt(exp=True), jwt(exp=1e300), f"{jwt()}.x"):
            self.assertEqual(answer({"access_token": text}).lifetime, UNKNOWN_LIFETIME)


class ClockTests(SynchronousTestCase):
    def trouble(
        self, headers: Mapping[str, str] | None = None, expires_in: Any = 600, **claims: float
    ) -> str:
        members = {"access_token": jwt(**claims), "expires_in": expires_in}
        return answer(members, headers=headers).clock_trouble

    def test_none(self) -> None:
        self.assertEqual(self.trouble(), "")
        self.assertEqual(self.trouble(exp=NOW + 625, iat=NOW + 25, nbf=NOW), "")
        self.assertEqual(self.trouble({"date": "nonsense"}, exp=NOW + 600), "")
        self.assertEqual(
            self.trouble({"date": "Thu, 01 Jan 2026 00:00:00 +99999999999999999"}, exp=NOW + 600), ""
        )

    def test_this_machine_s_clock_is_behind(self) -> None:
        behind = "this machine's clock is about 3600 s behind the token server's"
        self.assertEqual(self.trouble(exp=NOW + 4200), behind)
        self.assertEqual(self.trouble({"date": formatdate(NOW + 3596, usegmt=True)}), behind)

    def test_this_machine_s_clock_is_ahead(self) -> None:
        ahead = "this machine's clock is about 3600 s ahead of the token server's"
        self.assertEqual(self.trouble(exp=NOW - 3000), ahead)
        self.assertEqual(self.trouble({"date": formatdate(NOW - 3600, usegmt=True)}), ahead)

    def test_a_token_for_later_or_of_the_past(self) -> None:
        headers = {"date": formatdate(NOW, usegmt=True)}
        self.assertIn("begins only in 90 s", self.trouble(headers, exp=NOW + 690, nbf=NOW + 90))
        self.assertIn("expired 90 s ago", self.trouble(headers, exp=NOW - 90))

    def test_an_end_that_has_passed_by_this_clock_alone(self) -> None:
        with self.assertRaisesRegex(BrokerUnavailable, "expired already: its token expired 90 s ago by this"):
            self.trouble(expires_in=None, exp=NOW - 90)


class RenewalTests(SynchronousTestCase):
    """As org.apache.kafka's ExpiringCredentialRefreshingLogin reckons with its defaults."""

    def test_at_four_fifths_of_its_life_and_up_to_a_twentieth_later(self) -> None:
        self.assertEqual(renew_after(3600, 0), 2880)
        self.assertAlmostEqual(renew_after(3000, 1), 2550)

    def test_five_minutes_before_its_end_at_the_latest(self) -> None:
        self.assertEqual(renew_after(1000, 0), 700)

    def test_not_within_a_minute_of_the_last_one(self) -> None:
        self.assertEqual(renew_after(360, 0.5), 60)

    def test_neither_counts_for_a_token_that_lives_shorter(self) -> None:
        self.assertEqual((renew_after(359, 0), renew_after(5, 0), renew_after(5, 1)), (359 * 0.8, 4, 4.25))


class RefusalTests(SynchronousTestCase):
    def test_a_broker_s_json_is_read(self) -> None:
        self.assertEqual(refusal_words('{"status":"invalid_token"}'), "'invalid_token'")
        self.assertEqual(
            refusal_words('{"status":"insufficient_scope","scope":"a b","openid-configuration":"https://x"}'),
            "'insufficient_scope', the scope 'a b' is needed",
        )

    def test_other_words_stay(self) -> None:
        for text in ("Authentication failed", "", "{}", '{"status":5}', '"x"'):
            self.assertEqual(refusal_words(text), text)
