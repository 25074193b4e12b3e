"""The token of the commands' sign-in, fetched by client credentials in the thread that needs it.

The proxy renews its token in the background (lfsproxy.kafka.tokens); a command has no reactor to do so with.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import urllib3

from lfsproxy.errors import LfsError, SettingError, SignInRefused
from lfsproxy.settings import Settings
from lfsproxy.wire.oauth import ANSWER_SECONDS, MOST_BYTES, Token, TokenServer, renew_after
from lfsproxy.wire.sasl import REFUSED_SECONDS
from lfsproxy.words import error_text

AGAIN_SECONDS = 1.0
"""How soon a token server is asked again that gave no token."""


class CommandTokens:
    """``post`` is urllib3's request; ``seconds`` is a clock, and ``wall`` this machine's own. For any thread.

    Raises SettingError where the authorities' file cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        post: Callable[..., Any] | None = None,
        seconds: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._server = TokenServer.of(settings)
        self._post = post or urllib3.PoolManager(ssl_context=_context(settings)).request
        self._seconds = seconds
        self._wall = wall
        self._lock = Lock()
        self._token: Token | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._trouble: LfsError | None = None
        self._refused_secret: str | None = None
        self._again_at = 0.0

    @property
    def clock_trouble(self) -> str:
        """What is wrong with this machine's clock, as far as the token shows; else empty."""
        return "" if self._token is None else self._token.clock_trouble

    def current(self) -> str:
        """The token of now, fetched or renewed where that is due.

        Raises SignInRefused or BrokerUnavailable where there is none, SettingError where the secret cannot be
        read.
        """
        with self._lock:
            now = self._seconds()
            if self._token is None or now >= self._renew_at:
                self._renew(now)
            if self._token is not None and now < self._ends_at:
                return self._token.text
            assert self._trouble is not None  # as there is no good token
            raise self._trouble

    def _renew(self, now: float) -> None:
        try:
            secret = self._settings.oauth_secret()
            if self._trouble is not None and now < self._again_at and self._refused_secret in {None, secret}:
                return
            self._refused_secret = None
            token = self._fetch(secret)
        except SignInRefused as error:
            self._trouble, self._refused_secret, self._again_at = error, secret, now + REFUSED_SECONDS
        except LfsError as error:
            self._trouble, self._again_at = error, now + AGAIN_SECONDS
        else:
            self._token, self._trouble = token, None
            self._renew_at, self._ends_at = now + renew_after(token.lifetime, 0), now + token.lifetime

    def _fetch(self, secret: str) -> Token:
        headers, body = self._server.question(secret)
        try:
            response = self._post(
                "POST",
                self._server.url,
                body=body,
                headers={**headers, "Accept-Encoding": "identity"},
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(ANSWER_SECONDS),
                preload_content=False,
                decode_content=False,
            )
            try:
                answer: bytes = response.read(MOST_BYTES + 1)
            finally:
                response.close()
        except urllib3.exceptions.TimeoutError as error:
            if isinstance(error, urllib3.exceptions.NewConnectionError):
                raise self._server.unreached(_why(error)) from None
            raise self._server.slow(ANSWER_SECONDS) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._server.unreached(_why(error)) from None
        if len(answer) > MOST_BYTES:
            raise self._server.strange(f"gives an answer of more than {MOST_BYTES} bytes")
        named = {name.lower(): value for name, value in response.headers.items()}
        return self._server.token(response.status, named, answer, self._wall())


def _context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.oauth_uses_tls:
        return None
    try:
        return ssl.create_default_context(cafile=settings.kafka_oauth_ca or None)
    except OSError as error:
        raise SettingError(f"LFS_KAFKA_OAUTH_CA: not usable as PEM ({error_text(error)})") from None


def _why(error: Exception) -> str:
    """What follows "cannot be reached: "."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its host name is not known"
    # urllib3 wraps what the socket or TLS has said.
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None and not isinstance(cause, OSError):
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{error_text(cause)} (LFS_KAFKA_OAUTH_CA names the authorities to trust)"
    return error_text(cause)
