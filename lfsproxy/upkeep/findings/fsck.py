"""One whole look: planned or taken up from its file, walked, and its state kept there on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime

from lfsproxy.following import Places
from lfsproxy.interfaces import ILogReading, IStore
from lfsproxy.upkeep.findings.blobs import Blobs
from lfsproxy.upkeep.findings.found import Finding
from lfsproxy.upkeep.findings.plan import Planner, Wanted
from lfsproxy.upkeep.findings.positions import State, load, remove, save
from lfsproxy.upkeep.findings.walk import Walk
from lfsproxy.wire.walk import Limits

SAVE_SECONDS: Final = 5.0
"""Between two writes of the file of positions."""


@attrs.frozen
class Watcher:
    """Who is told meanwhile: of each finding, of what else a person should know, how many offsets there are
    to pass, and of those that were passed."""

    report: Callable[[Finding], None]
    note: Callable[[str], None]
    begin: Callable[[int], None]
    moved: Callable[[int], None]


@attrs.define
class Fsck:
    """``options`` say what is looked for, as ``wanted``, ``followed`` and ``verify`` were made from.

    ``unread`` are the topics and partitions that could not be read to their end, of this run.
    """

    clock: IReactorTime
    reading: ILogReading
    store: IStore
    limits: Limits
    followed: Places
    wanted: Wanted
    options: Mapping[str, Any]
    verify: bool
    resume: Path | None
    watcher: Watcher
    unread: list[Finding] = attrs.Factory(list)
    _saved: float = 0.0

    async def run(self) -> State:
        """Raises SettingError where nothing fits what is wanted, and LfsError where S3 or Kafka is away.

        However it ends, the file of positions is up to date; it is removed when all was read to its end.
        """
        state = self._load()
        await self.store.blobs.check()
        planner = Planner(self.clock, self.reading, self.wanted, self._report)
        if state is None:
            state = await planner.plan(self.options)
        else:
            await planner.renew(state, self.watcher.note)
        self._save(state)
        self.watcher.begin(sum(place.end - place.next for place in state.left))
        try:
            await self._walk(state)
        except Exception:
            self._save(state)
            if self.resume is not None:
                self.watcher.note(f"the same command goes on from here: {self.resume} has how far it came")
            raise
        self._save(state)
        if self.resume is not None and not self.unread:
            remove(self.resume)
        return state

    async def _walk(self, state: State) -> None:
        blobs = Blobs(self.clock, self.store.source, self.store.blobs, self.verify)

        def moved(count: int) -> None:
            self.watcher.moved(count)
            if self.clock.seconds() - self._saved >= SAVE_SECONDS:
                self._save(state)

        walk = Walk(
            self.reading,
            blobs,
            self.followed,
            self.limits,
            state,
            self._report,
            moved,
            self.watcher.note,
            self.verify,
        )
        await walk.run()

    def _report(self, finding: Finding) -> None:
        if not finding.is_of_record:
            self.unread.append(finding)
        self.watcher.report(finding)

    def _load(self) -> State | None:
        return None if self.resume is None else load(self.resume, self.options)

    def _save(self, state: State) -> None:
        if self.resume is not None:
            save(self.resume, state)
            self._saved = self.clock.seconds()
