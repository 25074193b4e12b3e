"""One Kafka client's connection joined to one connection to a broker.

Two coroutines run per session: one reads the client's requests, the other the broker's answers. A request
that needs no look inside is relayed as its bytes arrive. Produce requests are given to
``lfsproxy.relay.produce``, where their uploads overlap. Requests reach the broker in the order in which the
client sent them (``Line``), and answers reach the client in that order too, the proxy's own among them.

States of a session: *connecting* (to the broker), *open*, *draining* (no new request is read; ends when all
are answered), *client gone* (only Produce requests whose outcome is still open are waited for), *over*.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall

from lfsproxy.errors import FramingError, LfsError, NotSignedIn
from lfsproxy.logs import Logger
from lfsproxy.quoting import shown
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.keepalive import PROBE, KeepAlive
from lfsproxy.relay.line import Line, Place
from lfsproxy.relay.produce.connection import Settle
from lfsproxy.relay.produce.held import HeldProduce
from lfsproxy.relay.produce.hints import OffsetHints
from lfsproxy.relay.produce.holes import Holes
from lfsproxy.relay.produce.scanning import Share
from lfsproxy.relay.produce.streamed import StreamedProduce
from lfsproxy.relay.produce.topics import Topics
from lfsproxy.relay.produce.work import ProduceWork
from lfsproxy.relay.replies import Answer, Expected, Replies
from lfsproxy.relay.stream import ConnectionGone, FrameStream, shielded
from lfsproxy.relay.turns import Turns
from lfsproxy.relay.upstream import BrokerStream
from lfsproxy.uploadlog import SENDER, Sender
from lfsproxy.wakeups import Semaphore, Wakeups
from lfsproxy.wire import addresses, list_offsets, metadata, versions
from lfsproxy.wire.answers import NodeEndpoint
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, FrameEnd, RequestStart
from lfsproxy.wire.primitives import INT32
from lfsproxy.wire.sasl import (
    SignInGate,
    decode_authenticate,
    handshake_mechanism,
)

SMALL_FRAME = 64 * 1024
MOST_WAITING = 16
REQUESTS_AT_ONCE = 32
AFTER_CLIENT_SECONDS = 60.0
CLOSE_SECONDS = 30.0
HINT_SECONDS = 2.0
TOPIC_SECONDS = 2.0
"""Within which a broker says whether it has a topic, or is not waited for."""


class Session:
    """Runs until either side is gone.

    ``connect`` opens the broker's side; it also gives the seconds after which the proxy has to sign in there
    again, None where it need not.
    """

    _log = Logger()

    def __init__(
        self,
        context: RelayContext,
        client: FrameStream,
        connect: Callable[[], Coroutine[Any, Any, tuple[BrokerStream, float | None]]],
    ) -> None:
        self.context = context
        self.client = client
        self.line = Line(context.reactor)
        self.holes = Holes()
        self.hints = OffsetHints(self._ask_offset)
        self.topics = Topics(self._ask_topic)
        self.share = Share()
        self.client_id: str | None = None
        self.awaits_answer = True
        """Whether the request that is being read has an answer, as far as is known: else the last one."""
        self._connect = connect
        self._broker: BrokerStream | None = None
        self._ranges: Mapping[int, tuple[int, int]] = {}
        self.replies = Replies(client, self._changed)
        self._writing = Semaphore(context.reactor, 1)
        self._works: dict[Deferred[None], bool] = {}
        """Whether each has to be given up when the client is gone."""
        self._connecting: Deferred[tuple[BrokerStream, float | None]] | None = None
        self._sign_in_again: IDelayedCall | None = None
        self._gate = SignInGate() if context.clients_sign_in else None
        self._keep_alive = KeepAlive(context.reactor, lambda: self.spawn(self._probe()))
        self._requests: Deferred[None] | None = None
        self._between_requests = False
        self._asked = False
        self._draining = False
        self._forwards = True
        self._broker_over = False
        self._given_up = False
        self._close_told = False
        self._awaited: Callable[[], bool] = lambda: True
        self._reached: Deferred[None] | None = None
        self._wakeups = Wakeups(context.reactor)
        client.on_lost = self._client_lost

    # The life of a session

    async def run(self) -> None:
        """Serve the client until it or the broker is gone. Never raises."""
        self.context.metrics.kafka_connection(1)
        try:
            self._connecting = Deferred.fromCoroutine(self._connect())
            self._broker, seconds = await self._connecting
            self._sign_in_later(self._broker, seconds)
        except (ConnectError, OSError, LfsError) as error:
            if self.context.outage.is_new(str(error)):
                self._log.warn("Kafka clients are turned away: {error}", error=error)
            self.context.metrics.kafka_closed("broker_unreachable")
        except (CancelledError, ConnectingCancelledError):
            pass  # The client went away, or the process stops.
        else:
            self.context.outage.is_new("")
            await self._serve(self._broker)
        finally:
            if self.client.closed and not self._asked and not self._close_told:
                self._log.debug("a Kafka client ({peer}) left without a request", peer=self.client.peer)
            await self._see_off(self.client)
            self.context.metrics.kafka_connection(-1)

    def _sign_in_later(self, broker: BrokerStream, seconds: float | None) -> None:
        if seconds is not None:
            self._sign_in_again = self.context.reactor.callLater(
                seconds, lambda: self.spawn(self._sign_in_now(broker))
            )

    async def _sign_in_now(self, broker: BrokerStream) -> None:
        """Sign in again on the broker's connection, with no other request in between (KIP-368)."""

        async def ask(frame: bytes) -> bytes:
            reply: Deferred[bytes] = Deferred()

            async def take(body: bytes) -> None:
                if not reply.called:
                    reply.callback(body)

            self._forwarding(Expected(None, None, take)).write(frame)
            return await reply

        await self._writing.acquire()
        try:
            self._sign_in_later(broker, await self.context.upstream.sign_in(ask, broker.address))
        finally:
            self._writing.release()

    async def _serve(self, broker: FrameStream) -> None:
        answers = Deferred.fromCoroutine(self._guarded(self._read_answers(broker)))
        self._requests = Deferred.fromCoroutine(self._guarded(self._read_requests()))
        await self._requests
        if self._draining:
            await self._until(self._is_all_answered)
        await self._settle_after_client()
        await self._see_off(broker)
        await answers
        self._keep_alive.stop()
        self._abandon()
        self.topics.stop()
        if self._sign_in_again is not None and self._sign_in_again.active():
            self._sign_in_again.cancel()

    async def _see_off(self, stream: FrameStream) -> None:
        """Close a connection when its peer has taken what was written, or takes none of it for too long."""
        stream.close()
        late = self.context.reactor.callLater(CLOSE_SECONDS, stream.abort)
        await stream.over()
        if late.active():
            late.cancel()

    async def _until(self, reached: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait until ``reached`` says so, which is asked when something has changed; ``seconds`` at most."""
        if not reached():
            self._awaited, self._reached = reached, Deferred()
            if seconds is not None:
                self._reached.addTimeout(seconds, self.context.reactor, lambda *_: None)
            await self._reached
            self._reached = None

    def _changed(self) -> None:
        if self._reached is not None and not self._reached.called and self._awaited():
            waiting, self._reached = self._reached, None
            self._wakeups.fire(waiting, None)

    def _is_all_answered(self) -> bool:
        is_over = self.client.closed or self._broker_over or self._given_up
        return is_over or (self.replies.all_left and not self._works)

    def _is_all_settled(self) -> bool:
        is_open = self._works or self.replies.decides_more
        return self._broker_over or self._given_up or not is_open

    def _client_lost(self) -> None:
        """The client's connection is closed: what waits for memory or for its turn need not wait on."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._requests is not None and self.awaits_answer:
            self._requests.cancel()
        self._changed()

    async def _guarded(self, steps: Coroutine[Any, Any, None]) -> None:
        """Run one of the two loops; its end, however it comes, is the end of what it reads."""
        try:
            await steps
        except (ConnectionGone, CancelledError):
            return
        except LfsError as error:
            self.close(error)
        except Exception:
            self._log.failure("a Kafka session of {peer} failed", peer=self.client.peer)
            self.close(FramingError("internal error"))

    @property
    def client_name(self) -> str:
        """The client's id, for the log."""
        return self.client_id or "a client without an id"

    def close(self, error: LfsError) -> None:
        """Close the client's connection because of an error, said once in the log and counted."""
        if not self.client.closed and not self._close_told:
            self._close_told = True
            self._log.warn(
                "the connection of Kafka client{client_id} ({peer}) is closed: {error}",
                client_id=f" {self.client_id}" if self.client_id else "",
                peer=self.client.peer,
                error=error,
            )
            self.context.metrics.kafka_closed(error.problem)
        self.client.abort()

    async def _settle_after_client(self) -> None:
        """No request is read any more. What was forwarded may still be answered, which decides about blobs.

        What was not is given up, except where the client need not be there (acks=0).
        """
        for work, is_for_client in list(self._works.items()):
            if is_for_client:
                work.cancel()
        await self._until(self._is_all_settled, AFTER_CLIENT_SECONDS)

    def _cancel_works(self) -> None:
        self._forwards = False
        for work in list(self._works):
            work.cancel()

    def _abandon(self) -> None:
        """No more answers come: requests not forwarded are given up, the outcome of others is unknown."""
        self._cancel_works()
        self.replies.lose()

    def advertise(self, endpoints: Sequence[NodeEndpoint]) -> Sequence[NodeEndpoint]:
        """The brokers that a Produce answer names, at the proxy's addresses for them."""
        named = {end.node_id: (end.host, end.port) for end in endpoints}
        self.context.directory.follow(named)
        moved = []
        for end in endpoints:
            host, port = self.advertised(end.node_id, end.host, end.port)
            moved.append(attrs.evolve(end, host=host, port=port))
        return moved

    def drain(self) -> None:
        """Read no new request; close when those that were begun are answered."""
        self._draining = True
        if self._requests is not None and self._between_requests:
            self._requests.cancel()

    def give_up(self) -> None:
        """End now, without waiting for anybody's answer."""
        self._given_up = True
        if self._connecting is not None:
            self._connecting.cancel()
        self._cancel_works()
        self.replies.give_up()
        self.client.abort()
        if self._broker is not None:
            self._broker.abort()
        self._changed()

    def look_for_hang_up(self) -> None:
        """A paused socket does not tell that its peer has gone, so it is asked."""
        if self.client.reading_paused and self.awaits_answer and self.client.peer_hung_up():
            self.client.abort()

    # Requests, in the client's order

    async def _read_requests(self) -> None:
        turns = Turns(self.context.reactor, REQUESTS_AT_ONCE)
        while not self._draining:
            self._between_requests = True
            event = await self.client.next_event()
            self._between_requests = False
            self._asked = True
            if not isinstance(event, RequestStart):
                raise FramingError(f"a frame begins with {event!r:.80}")
            self.client_id = shown(event.client_id)
            await self._route(event)
            # What was read ahead may be thousands of requests.
            await turns.step()

    async def _route(self, start: RequestStart) -> None:
        api = versions.find(start.api_key)
        if start.api_key != KafkaApi.PRODUCE:
            self.context.metrics.kafka_request(api.name if api else "unknown", None)
        await self.line.shorter_than(MOST_WAITING)
        # A client that does not take its answers gets no more of them.
        await self.client.drained()
        if start.api_key == KafkaApi.API_VERSIONS and api is not None and start.api_version > api.max_version:
            await self._skip()
            await self._answer_locally(versions.unsupported_version_answer(start.correlation_id))
        elif api is None or not api.min_version <= start.api_version <= api.max_version:
            name = api.name if api else f"API {start.api_key}"
            raise FramingError(f"{name} version {start.api_version} was not offered")
        elif start.api_key in self.context.hidden_apis:
            raise FramingError(f"{api.name} was not offered: the proxy signs in by itself")
        elif start.api_key == KafkaApi.PRODUCE:
            if self._gate is not None and not self._gate.open:
                raise NotSignedIn("it produces before the broker has taken its sign-in")
            await self._receive_produce(start)
        else:
            await self._relay(start, api)

    async def _skip(self) -> None:
        while not isinstance(await self.client.next_event(), FrameEnd):
            pass

    async def _answer_locally(self, data: bytes) -> None:
        answer = self.replies.new()
        place = self.line.join()
        await place.turn()
        self.replies.complete(answer, data)
        place.leave()

    async def _relay(self, start: RequestStart, api: versions.Api) -> None:
        answer = self.replies.new()
        place = self.line.join()
        if api.how is versions.How.VERSIONS or start.api_key == KafkaApi.SASL_HANDSHAKE:
            await self._relay_small(place, answer, start)
            return
        expected = Expected(start, answer, self._taker(start, api))
        if not place.is_first and start.size <= SMALL_FRAME:
            body = await self._collect(start)
            self.spawn(self._forward_later(place, expected, [start.head, body]))
            return
        await place.turn()
        await self._writing.acquire()
        try:
            broker = self._forwarding(expected)
            broker.write(start.head)
            while isinstance(event := await self.client.next_event(), FrameBytes):
                broker.write(event.data)
                await broker.drained()
        finally:
            self._writing.release()
            place.leave()

    async def _relay_small(self, place: Place, answer: Answer, start: RequestStart) -> None:
        """Relay a request whose body matters: who asks for versions, by which mechanism somebody signs in."""
        if start.size > SMALL_FRAME:
            raise FramingError(f"a request of {start.size} bytes for API {start.api_key}")
        body = await self._collect(start)
        expected = Expected(start, answer)
        if start.api_key == KafkaApi.SASL_HANDSHAKE:
            if self._gate is not None:
                self._gate.handshake(handshake_mechanism(body))
        else:
            expected = attrs.evolve(expected, take=self._versions_taker(start, body))
        await self._forward_later(place, expected, [start.head, body])

    def _versions_taker(self, start: RequestStart, body: bytes) -> Callable[[bytes], Awaitable[bytes]]:
        software = versions.client_software(start.api_version, body)

        async def take(answered: bytes) -> bytes:
            capped = versions.cap_versions(
                start.api_version, start.correlation_id, answered, software, self.context.hidden_apis
            )
            self._ranges = capped.broker_ranges
            return capped.frame

        return take

    @staticmethod
    async def _take_authenticated(gate: SignInGate, start: RequestStart, body: bytes) -> bytes:
        gate.answered(decode_authenticate(body, start.api_version))
        return INT32.pack(4 + len(body)) + INT32.pack(start.correlation_id) + body

    async def _collect(self, start: RequestStart) -> bytes:
        chunks = []
        while isinstance(event := await self.client.next_event(), FrameBytes):
            chunks.append(bytes(event.data))
        return b"".join(chunks)

    async def _forward_later(self, place: Place, expected: Expected, pieces: Sequence[Piece]) -> None:
        try:
            await place.turn()
            await self.forward(expected, pieces)
        except BaseException:
            place.give_up()
            raise
        finally:
            place.leave()

    def spawn(self, steps: Coroutine[Any, Any, None], is_for_client: bool = True) -> None:
        """Run steps of this session beside the reading of requests; they end with the session.

        ``is_for_client``: they are given up when the client is gone.
        """
        work = Deferred.fromCoroutine(self._guarded(steps))
        self._works[work] = is_for_client

        def done(_: object) -> None:
            del self._works[work]
            self._changed()

        work.addBoth(done)

    async def forward(
        self, expected: Expected | None, pieces: Sequence[Piece], begun: Callable[[], None] = lambda: None
    ) -> None:
        """Write a whole request to the broker. ``expected`` None: it has no answer (acks=0).

        ``begun`` is called just before the first byte is written.
        Raises ConnectionGone, or is cancelled, only before the first byte is written. After that it goes on
        for as long as the broker's connection does, whatever becomes of the client.
        """
        await self._writing.acquire()
        try:
            broker = self._forwarding(expected)
        except ConnectionGone:
            self._writing.release()
            raise
        begun()
        sending = Deferred.fromCoroutine(broker.send_all(pieces))
        sending.addBoth(lambda _: self._writing.release())
        await shielded(sending)

    def _forwarding(self, expected: Expected | None) -> FrameStream:
        broker = self._broker
        if broker is None or broker.closed or not self._forwards:
            raise ConnectionGone
        if expected is not None:
            self.replies.expect(expected)
        return broker

    async def _receive_produce(self, start: RequestStart) -> None:
        body = start.size + 4 - len(start.head)
        SENDER.set(Sender(self.client_id or "", self.client.peer))
        shared = self.context.produce
        kind = HeldProduce if body <= shared.hold_limit else StreamedProduce
        work = kind(shared, ProduceConnection(self, start), start)
        self._keep_alive.begin()
        await work.receive()
        self.spawn(self._bring_to_end(work), is_for_client=work.awaits_answer)

    async def _bring_to_end(self, work: ProduceWork) -> None:
        try:
            await work.run()
        finally:
            self._keep_alive.end()

    async def _probe(self) -> None:
        """Ask the broker something, so that it does not take this connection for an idle one."""
        if self.replies.all_came:
            await self.forward(Expected(None, None, _ignore), [PROBE])

    # Answers

    async def _read_answers(self, broker: FrameStream) -> None:
        try:
            await self.replies.read(broker)
        finally:
            broker.abort()
            self._end_client()

    def _end_client(self) -> None:
        """The broker is gone; so is what the client waits for. What was answered is still delivered."""
        self._broker_over = True
        if self._requests is not None:
            self._requests.cancel()
        self.client.close()
        self._changed()

    def _taker(
        self, start: RequestStart, api: versions.Api
    ) -> Callable[[bytes], Awaitable[bytes | None]] | None:
        """What to do with the answer of a request, None where it is relayed as it comes."""
        gate = self._gate
        if start.api_key == KafkaApi.SASL_AUTHENTICATE and gate is not None:
            return lambda body: self._take_authenticated(gate, start, body)
        if api.how == versions.How.ADDRESSES:
            return lambda body: self._rewrite_addresses(start, body)
        return None

    async def _rewrite_addresses(self, start: RequestStart, body: bytes) -> bytes:
        named = addresses.brokers_named(start.api_key, start.api_version, body)
        self.context.directory.follow(named)
        return addresses.rewrite(
            start.api_key, start.api_version, start.correlation_id, body, self.advertised
        )

    def advertised(self, node: int, host: str, port: int) -> tuple[str, int]:
        """Where this client reaches a node: the proxy's own address for it."""
        if node < 0:
            return host, port
        return self.context.directory.advertised(node, self.client.local_host)

    # The proxy's own questions

    def _ask_offset(self, topic: str, partition: int) -> Deferred[int | None] | None:
        version = list_offsets.choose_version(self._ranges.get(KafkaApi.LIST_OFFSETS))
        if version is None:
            return None
        reply: Deferred[int | None] = Deferred()

        async def take(body: bytes) -> None:
            if not reply.called:
                reply.callback(list_offsets.decode_answer(version, body))

        frame = list_offsets.encode_request(version, list_offsets.CORRELATION_ID, topic, partition)
        self.spawn(self.forward(Expected(None, None, take), [frame]), is_for_client=False)
        reply.addTimeout(HINT_SECONDS, self.context.reactor, lambda *_: None)
        return reply

    def _ask_topic(self, topic: str) -> Deferred[metadata.TopicState | None] | None:
        """Ask the client's broker about a topic. A client that asked for no versions is taken to be old."""
        unknown = (-1, -1) if self._ranges else (metadata.VERSION, metadata.VERSION)
        low, high = self._ranges.get(KafkaApi.METADATA, unknown)
        if not low <= metadata.VERSION <= high:
            return None
        reply: Deferred[metadata.TopicState | None] = Deferred()

        async def take(body: bytes) -> None:
            if not reply.called:
                reply.callback(metadata.topic_state(body, topic))

        question = self.forward(Expected(None, None, take), [metadata.metadata_request(topic)])
        self.spawn(question, is_for_client=False)
        reply.addTimeout(TOPIC_SECONDS, self.context.reactor, lambda *_: None)
        return reply


async def _ignore(_: bytes) -> None:
    """Take an answer in which nothing is of interest."""


class ProduceConnection:
    """A Produce request's side of its session: a ``lfsproxy.relay.produce.connection.Connection``."""

    def __init__(self, session: Session, start: RequestStart) -> None:
        self.holes = session.holes
        self.hints = session.hints
        self.topics = session.topics
        self.share = session.share
        self.client_name = session.client_name
        self.peer = session.client.peer
        self.close = session.close
        self.advertise = session.advertise
        self.client_hung_up = session.client.peer_hung_up
        self._session = session
        self._start = start
        self._answer = session.replies.new()
        self._has_answer = True
        self._place = session.line.join()
        self.turn = self._place.turn
        self.give_up = self._place.give_up
        self.leave = self._place.leave

    async def next_piece(self) -> Piece | None:
        """The next bytes of the request's body, None at its end."""
        event = await self._session.client.next_event()
        return event.data if isinstance(event, FrameBytes) else None

    @property
    def client_is_gone(self) -> bool:
        """Whether the client's connection is closed."""
        return self._session.client.closed

    def expect_answer(self, is_expected: bool) -> None:
        """The request says whether it has an answer."""
        self._session.awaits_answer = self._has_answer = is_expected
        if not is_expected:
            self.answer(b"")

    def answer(self, data: bytes) -> None:
        """The client's answer."""
        self._session.replies.complete(self._answer, data)

    async def forward(
        self, pieces: Sequence[Piece], begun: Callable[[], None], settle: Settle, lost: Callable[[], None]
    ) -> None:
        """Write a whole request to the broker."""

        async def take(body: bytes) -> bytes | None:
            return settle(body)

        expected = Expected(self._start, self._answer, take, lost) if self._has_answer else None
        await self._session.forward(expected, pieces, begun)
