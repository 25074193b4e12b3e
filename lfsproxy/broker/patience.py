"""How long a question to the cluster is waited for: METADATA_SECONDS, and a large answer as long as it
comes."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.broker.seconds import METADATA_SECONDS, RETRY_SECONDS


@attrs.define
class Why:
    """The last trouble of a question that is asked again. ``may_be_long``: its answer is waited for while
    its connection is not silent; ``is_late``: the question was given up."""

    text: str = ""
    may_be_long: bool = False
    is_late: bool = False


class Patience:
    """Cancels ``work`` after METADATA_SECONDS, or later when no answer is waited for that may be long."""

    def __init__(self, clock: IReactorTime, why: Why, work: Deferred[Any]) -> None:
        self._clock = clock
        self._why = why
        self._work = work
        self._look_at = clock.callLater(METADATA_SECONDS, self._look)

    def _look(self) -> None:
        if self._why.may_be_long:
            self._look_at = self._clock.callLater(RETRY_SECONDS, self._look)
        else:
            self._why.is_late = True
            self._work.cancel()

    def stop(self) -> None:
        if self._look_at.active():
            self._look_at.cancel()
