"""Answers as they were sent, for treq: it asks for gzip, and undoes it."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer


@implementer(IAgent)
@attrs.frozen
class Uncompressed:
    """An agent that asks for no compression, and does not tell treq of what is compressed all the same.

    What treq inflates has no bound, and a blob's bytes are those that were published, gzip or not.
    """

    agent: IAgent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        asked = Headers() if headers is None else headers.copy()
        asked.setRawHeaders(b"Accept-Encoding", [b"identity"])
        answer: Deferred[IResponse] = self.agent.request(method, uri, asked, bodyProducer)
        return answer.addCallback(_as_it_is)


def _as_it_is(response: IResponse) -> IResponse:
    response.headers.removeHeader(b"Content-Encoding")
    return response
