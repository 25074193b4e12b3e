"""What is done with the answers of one connection that are looked into, and what is learnt from them.

The answers to Produce requests are not among them: ``lfsproxy.relay.producing`` has those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lfsproxy.errors import FramingError
from lfsproxy.kafka.stream import WRITE_SIZE
from lfsproxy.relay.brokers import Advertised
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.order import Answer, Body, Expected, Pass, Sink, Take
from lfsproxy.wire import addresses, versions
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import RequestStart, ResponseStart, response_frame
from lfsproxy.wire.primitives import INT32
from lfsproxy.wire.routing import Look
from lfsproxy.wire.sasl import SignInWatch, decode_authenticate, handshake_mechanism
from lfsproxy.wire.share_answers import ShareAnswer

MOST_FRONT: Final = 1024 * 1024
"""Bytes up to which the brokers at the front of a Metadata answer have to end: room for ten thousand."""


class Answering:
    """Which answers of the broker are looked into, and how.

    ``sign_in`` tells whether the client has signed in through the relay, None where it need not.
    ``ranges`` is which versions the broker itself offers, (lowest, highest) by API key, once the client has
    asked.
    """

    def __init__(self, context: RelayContext, advertised: Advertised) -> None:
        self.sign_in = SignInWatch() if context.clients_sign_in else None
        self.ranges: Mapping[int, tuple[int, int]] = {}
        self._hidden = context.hidden_apis
        self._advertised = advertised

    def expected(self, start: RequestStart, look: Look, answer: Answer) -> Expected:
        """What is to be done with the answer to a request that is relayed."""
        if look is Look.NOTHING:
            return Expected(start.correlation_id, answer)
        start = start.without_client()
        passes: Pass | None = None
        take: Take | None = None
        if look is Look.FRONT:
            passes = self._front(start)
        elif look is Look.ADDRESSES:
            take = self._addresses(start)
        elif look is Look.END:
            passes = _end(start)
        elif look is Look.SIGN_IN and self.sign_in is not None:
            take = _sign_in(start, self.sign_in)
        return Expected(start.correlation_id, answer, take, passes)

    def expected_of(self, start: RequestStart, look: Look, answer: Answer, body: bytes) -> Expected:
        """The same for a request that was collected. Raises FramingError where its body does not decode."""
        take = self._versions(start.without_client(), body) if look is Look.VERSIONS else None
        if start.api_key == KafkaApi.SASL_HANDSHAKE and self.sign_in is not None:
            self.sign_in.handshake(handshake_mechanism(body))
        return Expected(start.correlation_id, answer, take)

    def _versions(self, start: RequestStart, body: bytes) -> Take:
        software = versions.client_software(start.api_version, body)

        async def take(answered: bytes) -> bytes:
            capped = versions.cap_versions(
                start.api_version, start.correlation_id, answered, software, self._hidden
            )
            self.ranges = capped.broker_ranges
            return capped.frame

        return take

    def _addresses(self, start: RequestStart) -> Take:
        async def take(body: bytes) -> bytes:
            return self._rewritten(start, body)

        return take

    def _rewritten(self, start: RequestStart, body: bytes) -> bytes:
        """The whole frame of an answer, or of its front. Ports for new brokers are opened first."""
        self._advertised.follow(addresses.brokers_named(start.api_key, start.api_version, body))
        return addresses.rewrite(
            start.api_key, start.api_version, start.correlation_id, body, self._advertised.replace
        )

    def _front(self, start: RequestStart) -> Pass:
        """Only the front of the answer changes, so its new length is known before the rest has come."""

        async def passes(answer: ResponseStart, body: Body, client: Sink) -> None:
            front = await _named_at_front(start, body)
            rewritten = self._rewritten(start, front)
            grown = len(rewritten) - len(answer.head) - len(front)
            client.write(INT32.pack(answer.size + grown))
            client.write(memoryview(rewritten)[INT32.size :])
            await client.drained()
            while (piece := await body.next_piece()) is not None:
                client.write(piece)
                await client.drained()

        return passes


def _end(start: RequestStart) -> Pass:
    """Only the end of the answer changes, and not its length."""

    async def passes(answer: ResponseStart, body: Body, client: Sink) -> None:
        read = ShareAnswer(start.api_key, start.api_version, answer.size + INT32.size - len(answer.head))
        client.write(answer.head)
        while (piece := await body.next_piece()) is not None:
            for leaving in read.feed(piece):
                for place in range(0, len(leaving), WRITE_SIZE):
                    client.write(leaving[place : place + WRITE_SIZE])
                    await client.drained()

    return passes


async def _named_at_front(start: RequestStart, body: Body) -> bytes:
    """An answer's beginning, with all brokers that it names. Raises FramingError where they do not end."""
    front = bytearray()
    wanted = 1
    while True:
        piece = await body.next_piece()
        front += piece or b""
        if piece is not None and len(front) < wanted:
            continue
        try:
            addresses.brokers_named(start.api_key, start.api_version, bytes(front))
            return bytes(front)
        except FramingError:
            if piece is None or len(front) > MOST_FRONT:
                raise
        # Twice as much each time, so that all attempts cost no more than the last one.
        wanted = min(2 * len(front), MOST_FRONT + 1)


def _sign_in(start: RequestStart, watch: SignInWatch) -> Take:
    async def take(body: bytes) -> bytes:
        watch.answered(decode_authenticate(body, start.api_version))
        return response_frame(start.correlation_id, body)

    return take
