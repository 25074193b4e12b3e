"""Requests to one bucket, each tried again by itself while S3 is in trouble."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lfsproxy.checksums import Buffer
from lfsproxy.errors import LfsError, StoreRefused, StoreUnavailable
from lfsproxy.interfaces import IMetrics
from lfsproxy.log.trail import TRAIL
from lfsproxy.s3 import explain
from lfsproxy.s3.answers import MAX_ANSWER, Answer
from lfsproxy.s3.credentials import CredentialSource
from lfsproxy.s3.exchange import GIVEN_UP, Exchanges, Trouble
from lfsproxy.s3.signing import S3Location, sign
from lfsproxy.s3.spans import request_ended, request_span
from lfsproxy.tracing.spans import NO_SPAN

FIRST_DELAY = 0.1
LONGEST_DELAY = 3.0
"""Seconds before a request is sent again, at most: twice as long each time, of which chance takes a share.
Several tries so fit into LFS_S3_RETRY_TIMEOUT."""
STALE_TRIES = 4
"""Pooled connections that may turn out to be gone one after the other before that counts as S3's trouble."""


class S3Unavailable(StoreUnavailable):
    """S3 was in trouble for too long. ``doubtful``: one of the tries may have worked all the same."""

    def __init__(self, message: str, doubtful: bool, way_out: str = "") -> None:
        super().__init__(message, way_out=way_out)
        self.doubtful = doubtful


class S3Refused(StoreRefused):
    """S3 said no. ``doubtful``: a try before that one may have worked."""

    def __init__(self, message: str, doubtful: bool = False, way_out: str = "") -> None:
        super().__init__(message, way_out=way_out)
        self.doubtful = doubtful


@attrs.define(eq=False, repr=False)
class S3Requests:
    """Sends requests to one bucket.

    ``patience`` is how long, in seconds, trouble may last before a request fails (LFS_S3_RETRY_TIMEOUT). It
    counts from the last progress: one that progresses is never cut.
    """

    _exchanges: Exchanges
    location: S3Location
    _credentials: CredentialSource
    _clock: IReactorTime
    _random: Callable[[], float]
    _metrics: IMetrics
    _patience: float
    _has_answered: bool = attrs.field(default=False, init=False)

    async def request(
        self,
        operation: str,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Sequence[Buffer] = (),
        accept: Collection[int] = (),
        silence: float | None = None,
        patience: float | None = None,
        streamed: bool = False,
        most: int = MAX_ANSWER,
    ) -> Answer:
        """Send until S3 answers something other than trouble: a success, or a status in ``accept``.

        ``silence`` is how many seconds S3 may stay silent, ``patience`` replaces the client's; with
        ``streamed`` a success's body is not read yet, else it has at most ``most`` bytes. Raises
        StoreUnavailable when the trouble lasts, StoreRefused with S3's own words for any other answer.
        """
        patience, begun = self._patience if patience is None else patience, self._clock.seconds()
        deadline: float | None = None
        attempts = stale = 0
        doubtful = renewed = False
        trail, span = TRAIL.get(), NO_SPAN
        while True:
            attempts += 1
            started = self._clock.seconds()
            # Two thirds, so that after a dead connection there is time for another.
            stall = silence or patience * 2 / 3
            if deadline is not None and silence is None:
                stall = min(stall, max(deadline - started, 1.0))
            result, answered = "cancelled", None
            if trail.span.on:
                span = request_span(trail.span, self.location, operation, method, key, query, attempts)
            try:
                credentials = await self._credentials.current()
                signed = sign(self.location, credentials, method, key, query, headers)
                if streamed:
                    answer = await self._exchanges.open(signed, stall)
                else:
                    answer = await self._exchanges.send(signed, body, stall, most)
                answered = answer
                result = "store_error" if answer.is_error and answer.status not in accept else "ok"
                trail.answered(operation, key, answer.request_id, answer.is_error)
            except Trouble as trouble:
                result = "store_error"
                why, since = self._why(trouble), trouble.since
                doubtful = doubtful or trouble.sent
                if trouble.stale and stale < STALE_TRIES:
                    stale += 1
                    continue
            except LfsError as error:
                # There was nothing to sign it with.
                result = "store_error"
                if not isinstance(error, StoreUnavailable):
                    raise
                why, since = explain.Explained(str(error)), begun
            else:
                self._has_answered = True
                if not renewed and answer.may_refuse_credentials:
                    renewed = True
                    if await self._credentials.renewed(credentials):
                        self._metrics.s3_retry(operation)
                        continue
                why, since = explain.refused(self.location, answer), self._clock.seconds()
                if not answer.is_retriable:
                    answer = attrs.evolve(answer, attempts=attempts, doubtful=doubtful)
                    if answer.is_error and answer.status not in accept:
                        raise self._refusal(operation, answer, key)
                    return answer
                doubtful = doubtful or answer.is_doubtful
            finally:
                self._metrics.s3_operation(operation, result, self._clock.seconds() - started)
                request_ended(span, answered, result)
            deadline = since + patience if deadline is None else deadline
            tried = attempts - stale
            delay = self._random() * min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(tried, 10))
            if self._clock.seconds() + delay >= deadline:
                raise S3Unavailable(f"{why} ({self._done(operation, key)})", doubtful, why.way_out)
            self._metrics.s3_retry(operation)
            if delay:
                try:
                    await deferLater(self._clock, delay)
                except CancelledError:
                    raise CancelledError(GIVEN_UP) from None

    def count_retry(self, operation: str) -> None:
        """Count a request that a caller of ours sends again."""
        self._metrics.s3_retry(operation)

    def _why(self, trouble: Trouble) -> explain.Explained:
        if not trouble.causes:
            return explain.silent(self.location)
        return explain.no_answer(self.location, trouble.causes, self._has_answered)

    def _done(self, operation: str, key: str) -> str:
        """What was asked, and of what."""
        place = "/".join(part for part in (self.location.bucket, key) if part)
        return f"{operation.replace('_', ' ')} {place}"

    def _refusal(self, operation: str, answer: Answer, key: str) -> S3Refused:
        said = explain.refused(self.location, answer, operation)
        return S3Refused(f"{said} ({self._done(operation, key)})", answer.doubtful, said.way_out)
