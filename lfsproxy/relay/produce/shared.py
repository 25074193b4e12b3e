"""What all Produce requests of the process share: the two doors' parts, and the places for rare work."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.interfaces import IMetrics
from lfsproxy.kafka.stream import uncancelled
from lfsproxy.logs import Logger
from lfsproxy.names import is_internal
from lfsproxy.relay.scanning import Scans
from lfsproxy.relay.turns import Turns
from lfsproxy.settings import Settings
from lfsproxy.wakeups import Semaphore
from lfsproxy.wire.inflate import Inflater

TOLD_AT_ONCE: Final = 128
"""Records of a batch whose end is counted and logged in one turn of the reactor: some milliseconds."""

T = TypeVar("T")

_log = Logger()


@attrs.frozen(eq=False)
class Shared:
    """The settings and the process-wide parts.

    ``inflating`` is the one place for a compressed batch that needs more memory than its lease has and that
    the budget cannot give at once: see lfsproxy.relay.produce.offload. ``scans`` runs first passes, two at
    a time. ``inflater`` is for small batches, in the reactor's thread.
    """

    reactor: IReactorTime
    settings: Settings
    claims: ClaimCheck
    budget: MemoryBudget
    metrics: IMetrics
    inflating: Semaphore = attrs.field(init=False)
    inflater: Inflater = attrs.field(init=False)
    scans: Scans = attrs.field(default=attrs.Factory(lambda self: Scans(self.reactor), takes_self=True))
    _clean_ups: set[Deferred[None]] = attrs.field(factory=set, init=False)

    @inflating.default
    def _one_place(self) -> Semaphore:
        return Semaphore(self.reactor, 1)

    @inflater.default
    def _of_this_process(self) -> Inflater:
        return Inflater(self.settings.max_decompressed_size)

    @property
    def hold_limit(self) -> int:
        """The largest Produce request, in bytes, that is held while its records are looked into."""
        return self.settings.s3_part_size + self.settings.max_passthrough_size

    def looks_into(self, topic: str) -> bool:
        """Whether LFS records of this topic are offloaded (LFS_TOPICS)."""
        return any(fnmatchcase(topic, glob) for glob in self.settings.topics)

    def threshold(self, topic: str) -> int:
        """Bytes from which a value of this topic is offloaded without a header, 0 for never: what Kafka and
        its tools keep for themselves (__consumer_offsets, __transaction_state) is read by programs that know
        nothing of envelopes."""
        return 0 if is_internal(topic) else self.settings.offload_threshold

    # What nobody waits for

    def tell(self, each: Sequence[T], told: Callable[[T], None]) -> None:
        """Call ``told`` with each: of very many with a few now, with the others in turns of the reactor."""
        for one in each[:TOLD_AT_ONCE]:
            told(one)
        if len(each) > TOLD_AT_ONCE:
            self.clean_up(self._tell_rest(each, told))

    async def _tell_rest(self, each: Sequence[T], told: Callable[[T], None]) -> None:
        turns = Turns(self.reactor, TOLD_AT_ONCE)
        await turns.let_others_run()
        for one in each[TOLD_AT_ONCE:]:
            told(one)
            await turns.step()

    def clean_up(self, steps: Coroutine[Any, Any, None]) -> None:
        """Run clean-up that nobody waits for, except a stop of the process."""
        running = Deferred.fromCoroutine(steps)
        self._clean_ups.add(running)

        def done(_: object) -> None:
            self._clean_ups.discard(running)

        running.addErrback(lambda failure: _log.failure("a clean-up failed", failure=failure))
        running.addBoth(done)

    @property
    def clean_ups(self) -> int:
        """How many clean-ups go on."""
        return len(self._clean_ups)

    async def cleaned_up(self, seconds: float) -> None:
        """Wait until every clean-up has ended, ``seconds`` at most."""
        if self._clean_ups:
            waiting = gatherResults([uncancelled(each) for each in self._clean_ups], consumeErrors=True)
            waiting.addTimeout(seconds, self.reactor, lambda *_: None)
            await waiting
