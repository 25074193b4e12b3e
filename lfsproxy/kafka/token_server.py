"""Asks the token server for a token, with treq. Nothing is tried again here.

No redirection is followed, as the secret would go along; no answer is taken that is long, or compressed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.web.client import Agent, FileBodyProducer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer

from lfsproxy.net.connecting import why_unreached
from lfsproxy.net.http import BodyCollector, BodyTooLong, HttpEndpoints, single_use
from lfsproxy.net.tls_errors import UntrustedServer, is_tls_error
from lfsproxy.settings import Settings
from lfsproxy.uncompressed import Uncompressed
from lfsproxy.wire.oauth import ANSWER_SECONDS, MOST_BYTES, Token, TokenServer
from lfsproxy.words import error_text

if TYPE_CHECKING:
    from lfsproxy.net.tls import ClientTls

CONNECT_SECONDS = 5.0
"""Within which one address of the token server takes a connection."""


class TokenClient:
    """One client of one token server.

    ``agent`` is Twisted's own unless given; ``wall`` tells seconds since the epoch, by this machine's clock.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        agent: IAgent | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.server = TokenServer.of(settings)
        self._clock: IReactorTime = reactor
        self._settings = settings
        self._wall = wall
        self._tls = _tls(settings)
        endpoints = HttpEndpoints(reactor, self._tls, CONNECT_SECONDS)
        self._agent = Uncompressed(
            agent or Agent.usingEndpointFactory(reactor, endpoints, single_use(reactor))
        )

    def check_files(self) -> None:
        """Raise SettingError where the secret or the authorities cannot be read."""
        self.secret()
        if self._tls is not None:
            self._tls.check()

    def secret(self) -> str:
        """The client's secret, as it is now. Raises SettingError."""
        return self._settings.oauth_secret()

    async def fetch(self, secret: str) -> Token:
        """A new token. Raises SignInRefused where the client is refused, BrokerUnavailable where there is no
        token, or none within ANSWER_SECONDS."""
        asking = Deferred.fromCoroutine(self._ask(secret))
        # Of its own, as Agent's errors do not tell that something was cancelled.
        waiting: Deferred[Token] = Deferred()
        asking.chainDeferred(waiting)
        try:
            return await waiting.addTimeout(ANSWER_SECONDS, self._clock)
        except TimeoutError:
            raise self.server.slow(ANSWER_SECONDS) from None
        finally:
            asking.cancel()

    def _produced(self, body: bytes) -> IBodyProducer:
        """The question's body, by this reactor: treq's own asks the global one."""
        turns = Cooperator(scheduler=lambda turn: self._clock.callLater(0, turn))
        return FileBodyProducer(BytesIO(body), turns)

    async def _ask(self, secret: str) -> Token:
        headers, body = self.server.question(secret)
        try:
            # A client for each token: nothing of the last answer goes along, as cookies would.
            response = await HTTPClient(self._agent, data_to_body_producer=self._produced).post(
                self.server.url, data=body, headers=_headers(headers), allow_redirects=False, unbuffered=True
            )
            collector = BodyCollector(MOST_BYTES, lambda: None)
            response.deliverBody(collector)
            answer = await collector.done
        except BodyTooLong as error:
            raise self.server.strange(f"gives {error}") from None
        except Exception as error:
            raise self.server.unreached(_why(error)) from None
        named = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        return self.server.token(response.code, named, answer, self._wall())


def _tls(settings: Settings) -> ClientTls | None:
    if not settings.oauth_uses_tls:
        return None
    from lfsproxy.net.tls import ClientTls

    return ClientTls("LFS_KAFKA_OAUTH", settings.kafka_oauth_ca)


def _headers(fields: Mapping[str, str]) -> Headers:
    return Headers({name: [value] for name, value in fields.items()})


def _why(error: BaseException) -> str:
    """What follows "cannot be reached: "."""
    # Agent wraps what went wrong on a connection.
    causes = getattr(error, "reasons", None)
    inner = causes[-1].value if causes else error
    if isinstance(inner, UntrustedServer):
        return str(inner)
    return f"TLS: {error_text(inner)}" if is_tls_error(inner) else why_unreached(inner)
