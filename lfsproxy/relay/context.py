"""What every session of the relay shares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.interfaces import IMetrics
from lfsproxy.logs import Logger
from lfsproxy.relay.brokers import BrokerDirectory
from lfsproxy.relay.produce.scanning import Scans
from lfsproxy.relay.upstream import Upstream
from lfsproxy.settings import Settings
from lfsproxy.wakeups import Semaphore
from lfsproxy.wire.sasl import SASL_AUTHENTICATE, SASL_HANDSHAKE

TOLD_AT_ONCE = 128
"""Records of a batch whose end is counted and logged in one turn of the reactor: some milliseconds."""

T = TypeVar("T")

_log = Logger()


@attrs.define
class SaidOnce:
    """So that what is true of many connections is logged once, until it changes."""

    _said: str = ""

    def is_new(self, text: str) -> bool:
        """Whether ``text`` differs from what was last told."""
        said, self._said = self._said, text
        return said != text


@attrs.frozen(eq=False)
class RelayContext:
    """The settings and the process-wide parts.

    ``inflating`` is the one place for a compressed batch that needs more memory than its lease has and that
    the budget cannot give at once: see lfsproxy.relay.produce.held. ``scans`` runs first passes, two at
    a time.
    """

    reactor: IReactorTime
    settings: Settings
    claims: ClaimCheck
    budget: MemoryBudget
    metrics: IMetrics
    directory: BrokerDirectory
    upstream: Upstream
    outage: SaidOnce = attrs.field(factory=lambda: SaidOnce())
    inflating: Semaphore = attrs.field(init=False)
    scans: Scans = attrs.field(default=attrs.Factory(lambda self: Scans(self.reactor), takes_self=True))
    clean_ups: set[Deferred[None]] = attrs.field(factory=set)

    @inflating.default
    def _one_place(self) -> Semaphore:
        return Semaphore(self.reactor, 1)

    @property
    def hold_limit(self) -> int:
        """The largest Produce request, in bytes, that is held while its records are looked into."""
        return self.settings.s3_part_size + self.settings.max_passthrough_size

    @property
    def clients_sign_in(self) -> bool:
        """Whether clients have to sign in with the brokers themselves, through the relay."""
        return self.settings.uses_sasl and self.settings.kafka_client_identity == "relay"

    @property
    def hidden_apis(self) -> Collection[int]:
        """APIs that clients are not offered: signing in, where the proxy does that."""
        if self.settings.uses_sasl and self.settings.kafka_client_identity == "proxy":
            return (SASL_HANDSHAKE, SASL_AUTHENTICATE)
        return ()

    def looks_into(self, topic: str) -> bool:
        """Whether LFS records of this topic are offloaded (LFS_TOPICS)."""
        return any(fnmatchcase(topic, glob) for glob in self.settings.topics)

    def tell(self, each: Sequence[T], told: Callable[[T], None]) -> None:
        """Call ``told`` with each: of very many with a few now, with the others in turns of the reactor."""
        for one in each[:TOLD_AT_ONCE]:
            told(one)
        if len(each) > TOLD_AT_ONCE:
            self.clean_up(self._tell_rest(each, told))

    async def _tell_rest(self, each: Sequence[T], told: Callable[[T], None]) -> None:
        for start in range(TOLD_AT_ONCE, len(each), TOLD_AT_ONCE):
            await deferLater(cast(Any, self.reactor), 0)
            for one in each[start : start + TOLD_AT_ONCE]:
                told(one)

    def clean_up(self, steps: Coroutine[Any, Any, None]) -> None:
        """Run clean-up that nobody waits for, except a stop of the process."""
        running = Deferred.fromCoroutine(steps)
        self.clean_ups.add(running)

        def done(_: object) -> None:
            self.clean_ups.discard(running)

        running.addErrback(lambda failure: _log.failure("a clean-up failed", failure=failure))
        running.addBoth(done)
