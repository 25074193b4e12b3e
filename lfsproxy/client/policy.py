"""What a reader allows, what it makes of a missing blob, and what it tells its hook: without I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs

from lfsproxy.client.recognise import check_size
from lfsproxy.client.results import OnMissing, RecordCoordinates, Resolution
from lfsproxy.envelope import Envelope, check_place
from lfsproxy.errors import BlobMissing, LfsError

_log = logging.getLogger("lfsproxy.client.reader")


@attrs.frozen
class Policy:
    """A reader's arguments that say so. With ``checks_place`` an envelope's bucket and key have to fit."""

    buckets: frozenset[str]
    prefixes: tuple[str, ...]
    max_size: int | None
    on_missing: OnMissing
    on_resolve: Callable[[Resolution], object] | None
    checks_place: bool

    def check(self, envelope: Envelope, whole: bool) -> None:
        """Raise TooLarge, or EnvelopeNotAllowed. ``whole``: the blob is to be held."""
        check_size(envelope, self.max_size, whole)
        if self.checks_place:
            check_place(envelope, self.buckets, self.prefixes)

    def in_place_of(self, given: bytes | None, missing: BlobMissing) -> bytes | None:
        """What the value ``given`` becomes where its blob is missing. Raises ``missing`` if it is to."""
        if self.on_missing == "raise":
            raise missing
        return given if self.on_missing == "envelope" else None

    def report(self, resolution: Resolution) -> None:
        """Tell the hook."""
        if self.on_resolve is not None:
            try:
                self.on_resolve(resolution)
            except Exception:
                _log.exception("the on_resolve hook has failed")


class Reading:
    """One envelope's read, from now until ``ended`` tells the hook of it, once."""

    def __init__(
        self,
        policy: Policy,
        clock: Callable[[], float],
        envelope: Envelope,
        record: RecordCoordinates | None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._started = clock()
        self._envelope = envelope
        self._record = record
        self._is_over = False

    def ended(
        self, size: int, tries: int, verified: bool, error: LfsError | None, given_up: str | None
    ) -> None:
        """``given_up`` is how its caller has ended it, if so. Neither verified nor an error: closed. Only the
        first call counts."""
        if self._is_over:
            return
        self._is_over = True
        if given_up and not verified:
            result, error = given_up, None
        else:
            result = "ok" if verified else "closed" if error is None else error.problem
        seconds = self._clock() - self._started
        self._policy.report(Resolution(self._envelope, result, size, seconds, tries, error, self._record))
