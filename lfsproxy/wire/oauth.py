"""Bearer tokens by client credentials: the question to a token server, its answer, and a broker's refusal.

The question is RFC 6749's (section 4.4), as KIP-768 has it::

    POST {LFS_KAFKA_OAUTH_TOKEN_URL}
    Authorization: Basic base64(form-encoded id ":" form-encoded secret)      (section 2.3.1)

    grant_type=client_credentials[&scope=…]

    200 {"access_token": …, "token_type": "Bearer", "expires_in": seconds}    (section 5.1)
    400 {"error": "invalid_scope", "error_description": …}                    (section 5.2; 401 likewise)

A token's lifetime is ``expires_in``, which no clock can spoil. Where that is missing, it comes from ``exp``
of the token, if it is a JSON Web Token (RFC 7519).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import attrs

from lfsproxy.errors import BrokerUnavailable, SignInRefused
from lfsproxy.quoting import quoted
from lfsproxy.settings import Settings

MOST_BYTES: Final = 64 * 1024
"""Of a token server's answer."""
ANSWER_SECONDS: Final = 10.0
"""How long a token server may take, from the look-up of its name to its answer's last byte."""
UNKNOWN_LIFETIME: Final = 300.0
"""Seconds that a token is used of which nothing says how long it lives."""
MOST_SKEW: Final = 30.0
"""Seconds by which two clocks may differ: brokers allow about as much."""
WINDOW_FACTOR: Final = 0.8
WINDOW_JITTER: Final = 0.05
MIN_PERIOD: Final = 60.0
BUFFER: Final = 300.0
"""Defaults of Kafka's own clients: sasl.login.refresh.window.factor and .jitter, .min.period.seconds and
.buffer.seconds."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_HINTS = {
    "invalid_client": "is LFS_KAFKA_OAUTH_CLIENT_SECRET right?",
    "invalid_scope": "is LFS_KAFKA_OAUTH_SCOPE right?",
    "unauthorized_client": "may that client use client credentials?",
    "unsupported_grant_type": "does that server know client credentials?",
}
_MOST_TEXT = 200


@attrs.frozen
class Token:
    """A token, good for ``lifetime`` seconds since it was asked for.

    ``clock_trouble`` is a sentence where this machine's clock and the token server's differ, else empty.
    """

    text: str = attrs.field(repr=False)
    lifetime: float
    clock_trouble: str = ""


@attrs.frozen
class TokenServer:
    """The token server, as the proxy asks it."""

    url: str
    client_id: str
    scope: str

    @classmethod
    def of(cls, settings: Settings) -> TokenServer:
        """The one that the settings name."""
        return cls(settings.kafka_oauth_token_url, settings.kafka_oauth_client_id, settings.kafka_oauth_scope)

    def __str__(self) -> str:
        return f"the token server {urlsplit(self.url).netloc} (LFS_KAFKA_OAUTH_TOKEN_URL)"

    def question(self, secret: str) -> tuple[dict[str, str], bytes]:
        """Header fields and body of the POST."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
        form = {"grant_type": "client_credentials", **({"scope": self.scope} if self.scope else {})}
        headers = {
            "Accept": "application/json",
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return headers, urlencode(form).encode()

    def unreached(self, why: str) -> BrokerUnavailable:
        """What to raise where there is no connection, or it breaks."""
        return BrokerUnavailable(f"{self} cannot be reached: {why}")

    def slow(self, seconds: float) -> BrokerUnavailable:
        """What to raise where it takes longer than that."""
        return BrokerUnavailable(f"{self} has not answered within {seconds:g} s")

    def strange(self, what: str) -> BrokerUnavailable:
        """What to raise where its answer is none."""
        return BrokerUnavailable(f"{self} {what}")

    def token(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Token:
        """The token of an answer. ``headers`` by lower-case names; ``now``: seconds since the epoch, by this
        machine's clock.

        Raises SignInRefused where the client is refused, BrokerUnavailable where there is no token.
        """
        if 300 <= status < 400:
            raise self.strange(
                f"answers {status}, a redirection to {quoted(headers.get('location', ''))}: the secret is "
                "not sent there, set the URL itself"
            )
        members = _object(body)
        if status in {400, 401, 403} and isinstance(members.get("error"), str):
            raise SignInRefused(self._refusal(members))
        if status != 200:
            busy = status >= 500 or status == 429
            raise self.strange(f"answers {status}: {'it has trouble' if busy else 'is that URL right?'}")
        text = members.get("access_token")
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise self.strange("answers without a token (access_token): is that URL right?")
        kind = members.get("token_type", "Bearer")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise self.strange(f"gives a token of type {quoted(str(kind))}: Bearer is needed")
        lifetime, clock_trouble = _times(members, _claims(text), _date(headers), now)
        if lifetime <= 0:
            why = clock_trouble and f": {clock_trouble}"
            raise self.strange(f"gives a token that has expired already{why}")
        return Token(text, lifetime, clock_trouble)

    def _refusal(self, members: Mapping[str, Any]) -> str:
        code = members["error"]
        description = members.get("error_description")
        said = f", {quoted(description, _MOST_TEXT)}" if isinstance(description, str) and description else ""
        hint = _HINTS.get(code)
        return (
            f"{self} refuses the client {quoted(self.client_id)}: {quoted(code)}{said}"
            f"{f'; {hint}' if hint else ''}"
        )


def renew_after(lifetime: float, chance: float) -> float:
    """Seconds after which a token is renewed, as Kafka's own clients reckon; ``chance`` is from 0 up to 1."""
    seconds = lifetime * (WINDOW_FACTOR + WINDOW_JITTER * chance)
    if lifetime < MIN_PERIOD + BUFFER:
        return seconds
    return max(MIN_PERIOD, min(seconds, lifetime - BUFFER))


def refusal_words(text: str) -> str:
    """A broker's refusal of a token for people: RFC 7628 (section 3.2.2) has it as JSON."""
    members = _object(text.encode())
    status = members.get("status")
    if not isinstance(status, str):
        return text
    scope = members.get("scope")
    needed = f", the scope {quoted(scope)} is needed" if isinstance(scope, str) and scope else ""
    return f"{quoted(status)}{needed}"


def _object(body: bytes) -> dict[str, Any]:
    """A JSON object; empty where it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _claims(text: str) -> dict[str, Any]:
    """What a JSON Web Token says of itself. Nobody here relies on it, so that no signature is looked at."""
    parts = text.split(".")
    if len(parts) != 3:
        return {}
    try:
        return _object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}


def _number(members: Mapping[str, Any], name: str) -> float | None:
    """A number, also where it is written as a text."""
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e12 else None


def _date(headers: Mapping[str, str]) -> float | None:
    """The server's own clock."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None


def _times(
    members: Mapping[str, Any], claims: Mapping[str, Any], date: float | None, now: float
) -> tuple[float, str]:
    """Lifetime in seconds, and what is wrong with this machine's clock."""
    lifetime, expires = _number(members, "expires_in"), _number(claims, "exp")
    begins = max(_number(claims, "nbf") or 0, _number(claims, "iat") or 0)
    if date is not None:
        theirs = date
    elif lifetime is not None and expires is not None:
        theirs = expires - lifetime
    else:
        theirs = max(begins, now)
    if lifetime is None:
        lifetime = UNKNOWN_LIFETIME if expires is None else expires - theirs
    trouble = ""
    if abs(theirs - now) > MOST_SKEW:
        side = "behind" if theirs > now else "ahead of"
        # Not to the second, so that a line that is said again is the same one.
        seconds = round(abs(theirs - now), -1)
        trouble = f"this machine's clock is about {seconds:.0f} s {side} the token server's"
    elif begins - now > MOST_SKEW:
        trouble = f"its token begins only in {begins - now:.0f} s by this machine's clock (nbf, iat)"
    elif expires is not None and expires <= now:
        trouble = f"its token expired {now - expires:.0f} s ago by this machine's clock (exp)"
    return lifetime, trouble
