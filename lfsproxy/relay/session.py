"""One Kafka client's connection joined to one connection to a broker: what a session is made of, its life.

Two coroutines run per session: one reads the client's requests (``requests``), the other the answers of the
broker (``replies``). What is written to the broker goes through ``forwarding``; ``works`` has what runs
beside. ``life`` tells which state a session is in, and what each event makes it do; this module does it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError

from lfsproxy.errors import LfsError, Stalled
from lfsproxy.kafka.stream import ConnectionGone, FrameStream
from lfsproxy.kafka.upstream import BrokerStream
from lfsproxy.log.uploads import SENDER, Sender
from lfsproxy.logs import Logger
from lfsproxy.net.ages import old_at
from lfsproxy.relay.age import HOLD_SECONDS, Age, Step
from lfsproxy.relay.answering import Answering
from lfsproxy.relay.brokers import Advertised
from lfsproxy.relay.client import KafkaClient
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.fetching import Fetching
from lfsproxy.relay.forwarding import Forwarding
from lfsproxy.relay.keepalive import PROBE, KeepAlive
from lfsproxy.relay.life import Action, Event, Life, State
from lfsproxy.relay.producing import Producing
from lfsproxy.relay.questions import Questions
from lfsproxy.relay.replies import Replies
from lfsproxy.relay.requests import Requests
from lfsproxy.relay.signin import SignInAgain
from lfsproxy.relay.silence import Silence, Silent
from lfsproxy.relay.waiting import Condition
from lfsproxy.relay.works import Works

SETTLE_SECONDS: Final = 60.0
"""How long answers that decide about blobs are waited for when nobody else waits for them. Twice as long as
clients wait by default; after that the blobs stay, and are counted as orphans."""
CLOSE_SECONDS: Final = 30.0
"""How long a peer may take for the rest of what was written to it. As long as clients wait for an answer."""
LINGER_SECONDS: Final = 2.0
"""How long a client has to close its side after the end of ours. What it sends meanwhile is dropped."""
AGED: Final = "max_connection_age"
IDLE: Final = "max_idle"
"""The reasons in the metrics of connections that are closed for their age, and for asking nothing."""


class Session:
    """Runs until either side is gone.

    ``connect`` opens the broker's side; it also gives the seconds after which the proxy has to sign in there
    again, None where it need not. ``producing`` is public for tests.
    """

    _log = Logger()

    def __init__(
        self,
        context: RelayContext,
        stream: FrameStream,
        connect: Callable[[], Coroutine[Any, Any, tuple[BrokerStream, float | None]]],
    ) -> None:
        clock = context.reactor
        self._context = context
        self._connect = connect
        self._connecting: Deferred[tuple[BrokerStream, float | None]] | None = None
        self._broker: BrokerStream | None = None
        self._life = Life()
        self._condition = Condition(clock)
        self._held = Condition(clock)
        self._holding: Deferred[None] | None = None
        self._age = Age(old_at(clock.seconds(), context.settings.kafka_max_connection_age, context.random))
        self._silence = Silence(
            clock.seconds(), context.settings.stall_timeout, context.settings.kafka_max_idle
        )
        changed = self._changed
        self._client = KafkaClient(stream, context.metrics)
        self._replies = Replies(stream, context.produce.budget, changed, self._client.close)
        self._forwarding = Forwarding(clock, self._replies.order)
        self._works = Works(self._client.guarded, changed)
        self._sign_in_again = SignInAgain(clock, self._forwarding, self._works)
        self._keep_alive = KeepAlive(clock, self._probe)
        advertised = Advertised(context.directory, stream.local_host)
        self._answering = answering = Answering(context, advertised)
        questions = Questions(clock, self._forwarding, lambda: answering.ranges)
        self.producing = Producing(
            context,
            self._client,
            self._replies,
            self._forwarding,
            self._works,
            questions,
            advertised,
            self._keep_alive,
        )
        self._requests = Requests(
            context,
            self._client,
            self._replies,
            self._forwarding,
            self._works,
            answering,
            self.producing,
            Fetching(context, self._client, self.producing.share, questions),
        )
        self._does: dict[Action, Callable[[], None]] = {
            Action.STOP_CONNECTING: self._stop_connecting,
            Action.STOP_BETWEEN_REQUESTS: self._requests.stop_between,
            Action.STOP_FOR_CLIENT: self._requests.stop_for_client,
            Action.STOP_READING: self._requests.stop,
            Action.CANCEL_FOR_CLIENT: self._works.cancel_for_client,
            Action.ABANDON: self._abandon,
            Action.FINISH_CLIENT: stream.finish,
            Action.ABORT: self._abort,
        }
        stream.on_lost = self._client_lost

    # From outside

    def drain(self) -> None:
        """Read no new request; close when those that were begun are answered."""
        self._tell(Event.DRAIN)

    def give_up(self) -> None:
        """End now, without waiting for anybody's answer."""
        self._tell(Event.GIVE_UP)

    @property
    def is_paused(self) -> bool:
        """Whether the client's socket is not read."""
        return self._client.stream.reading_paused

    def look_for_hang_up(self) -> None:
        """A paused socket does not tell that its peer has gone, so it is asked."""
        stream = self._client.stream
        if stream.reading_paused and self._requests.awaits_answer and stream.peer_hung_up():
            stream.abort()

    def look_at_age(self) -> None:
        """Close the connection if it is old, where its client does not notice."""
        if not self._may_close or self._holding is not None:
            return
        stream = self._client.stream
        match self._age.look(
            self._context.reactor.seconds(),
            stream.received,
            lambda: self._is_idle and not stream.has_unread,
        ):
            case Step.CLOSE:
                self._close_for_age()
            case Step.HOLD if self._requests.awaits_answer:
                # Without answers (acks=0) a client would not learn what was dropped.
                self._holding = Deferred.fromCoroutine(self._hold())

    def look_at_silence(self) -> None:
        """End the connection if its client lets it lie for too long."""
        if self._life.state is not State.OPEN:
            return
        stream, settings = self._client.stream, self._context.settings
        buffered = stream.frames.buffered
        match self._silence.look(
            self._context.reactor.seconds(),
            received=stream.received,
            buffered=buffered,
            is_awaited=stream.awaits_bytes and (buffered > 0 or not self._requests.is_between),
            is_idle=self._is_idle,
            taken=None if stream.is_drained else stream.acknowledged,
        ):
            case Silent.WITHIN_A_REQUEST:
                what = f"a request was begun, and no more of it came for {settings.stall_timeout:g} s"
                self._client.close(Stalled(f"{what} (LFS_STALL_TIMEOUT)"))
            case Silent.BEFORE_ITS_ANSWERS:
                what = f"it took nothing of its answers for {settings.kafka_max_idle:g} s"
                self._client.close(Stalled(f"{what} (LFS_KAFKA_MAX_IDLE)"))
            case Silent.IDLE if not self.producing.holes and not stream.has_unread:
                self._close_unnoticed(IDLE, "it asks for nothing (LFS_KAFKA_MAX_IDLE)")

    # Its life

    async def run(self) -> None:
        """Serve the client until it or the broker is gone. Never raises."""
        client = self._client
        # Whose turn it is to get memory goes by the address.
        SENDER.set(Sender(peer=client.stream.peer))
        self._context.metrics.kafka_connection(1)
        try:
            broker = await self._reach_broker()
            if broker is not None:
                await self._serve(broker)
        finally:
            if client.stream.closed and not self._requests.any_began and not client.is_told:
                self._log.debug("a Kafka client ({peer}) left without a request", peer=client.stream.peer)
            await self._see_off_client(client.stream)
            self._context.metrics.kafka_connection(-1)

    async def _reach_broker(self) -> BrokerStream | None:
        """Connect to the broker. None where that did not come about, which is told."""
        self._connecting = Deferred.fromCoroutine(self._connect())
        try:
            broker, seconds = await self._connecting
        except (ConnectError, OSError, LfsError) as error:
            if self._context.outage.is_new(str(error)):
                self._log.warn("Kafka clients are turned away: {error}", error=error)
            self._context.metrics.kafka_closed("broker_unreachable")
        except (CancelledError, ConnectingCancelledError):
            pass  # The client went away, or the process stops.
        else:
            self._context.outage.is_new("")
            self._broker = broker
            broker.join(self._client.stream)
            self._forwarding.begin(broker)
            self._sign_in_again.begin(
                lambda ask: self._context.upstream.identity.sign_in(ask, broker.address), seconds
            )
            self._tell(Event.CONNECTED)
            return broker
        self._tell(Event.NOT_CONNECTED)
        return None

    async def _serve(self, broker: BrokerStream) -> None:
        """The order of these steps decides what becomes of blobs: every answer that can still come is taken
        before the broker's connection is closed, and nothing is given up as unknown before the last one."""
        answers = Deferred.fromCoroutine(self._client.guarded(self._read_answers(broker)))
        await self._requests.begin(lambda: self._life.state is State.OPEN)
        self._tell(Event.READING_ENDED)
        if self._life.state is State.DRAINING:
            await self._condition.until(self._is_answered)
            self._tell(Event.ALL_ANSWERED)
        if self._life.state is State.CLIENT_GONE:
            await self._condition.until(self._is_settled, SETTLE_SECONDS)
            self._tell(Event.SETTLED)
        broker.close()
        await self._see_off(broker)
        await answers
        self._keep_alive.stop()
        self._tell(Event.BROKER_OVER)
        self._sign_in_again.stop()

    async def _read_answers(self, broker: BrokerStream) -> None:
        try:
            await self._replies.read(broker)
        finally:
            broker.abort()
            # What was answered is still delivered; what the client waits for besides does not come.
            self._tell(Event.BROKER_LOST)

    async def _see_off(self, stream: FrameStream) -> None:
        """Wait for a connection's end: its peer takes what was written, or takes none of it for too long."""
        late = self._context.reactor.callLater(CLOSE_SECONDS, stream.abort)
        await stream.over()
        if late.active():
            late.cancel()

    async def _see_off_client(self, stream: FrameStream) -> None:
        stream.finish()
        lingering = self._context.reactor.callLater(LINGER_SECONDS, stream.close)
        await self._see_off(stream)
        if lingering.active():
            lingering.cancel()

    def _client_lost(self) -> None:
        self._replies.client_lost()
        self._tell(Event.CLIENT_LOST)

    def _tell(self, event: Event) -> None:
        for action in self._life.happened(event):
            self._does[action]()
        self._changed()

    def _changed(self) -> None:
        self._condition.changed()
        self._held.changed()

    def _is_answered(self) -> bool:
        is_answered = self._replies.order.all_left and not self._works.any_left
        return self._life.state is not State.DRAINING or self._client.stream.closed or is_answered

    def _is_settled(self) -> bool:
        is_open = self._works.any_left or self._replies.order.decides_more
        return self._life.state is not State.CLIENT_GONE or not is_open

    # Its age

    @property
    def _may_close(self) -> bool:
        """Whether it can be closed for its age at all.

        A hole that is open keeps it: what the producer sends next may come over another connection, to a
        broker that takes it for the producer's first batch. A client that has not signed in is doing so.
        """
        sign_in = self._answering.sign_in
        is_signed_in = sign_in is None or sign_in.is_settled
        return self._life.state is State.OPEN and is_signed_in and not self.producing.holes

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being read or forwarded, and none unanswered."""
        return self._requests.is_between and self._replies.order.all_left and not self._works.any_left

    async def _hold(self) -> None:
        """Read no further until everything is answered, and close then; not for ever."""
        self._requests.hold()
        await self._held.until(lambda: not self._may_close or self._is_idle, HOLD_SECONDS)
        if self._may_close and self._is_idle:
            self._close_for_age()
        self._holding = None
        self._requests.let_on()

    def _close_for_age(self) -> None:
        self._close_unnoticed(AGED, "it is old (LFS_KAFKA_MAX_CONNECTION_AGE)")

    def _close_unnoticed(self, reason: str, why: str) -> None:
        """Close it at a moment at which its client expects nothing."""
        self._log.debug(
            "the connection of Kafka client {client_id} ({peer}) is closed: {why}",
            client_id=self._client.name,
            peer=self._client.stream.peer,
            why=why,
        )
        self._context.metrics.kafka_closed(reason)
        self._tell(Event.DRAIN)

    # What it does

    def _stop_connecting(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()

    def _abandon(self) -> None:
        self._forwarding.stop()
        self._works.cancel()
        self._replies.stop()

    def _abort(self) -> None:
        self._client.stream.abort()
        if self._broker is not None:
            self._broker.abort()

    def _probe(self) -> None:
        """Ask the broker something, so that it does not take this connection for an idle one."""
        if self._replies.order.all_came:
            asked = Deferred.fromCoroutine(self._forwarding.ask(PROBE))
            asked.addErrback(lambda failure: failure.trap(ConnectionGone))
