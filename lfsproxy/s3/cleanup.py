"""Removes what must not stay in S3: at once where S3 answers, else in the background for a while.

What could not be removed at once is logged with its key, because this process may end before S3 is back. It
is counted as an orphan when it is given up: after a while, where S3 says no, or when the store is closed.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from lfsproxy.errors import LfsError, StoreUnavailable
from lfsproxy.interfaces import IMetrics
from lfsproxy.logs import Logger
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.index import list_uploads
from lfsproxy.words import error_text

ANSWER_SECONDS = 4.0
"""How long one request of a clean-up may be in trouble: somebody may wait for the first try."""

ABORTS = 5
"""How often an upload is aborted whose parts may still arrive, until S3 says that it is gone."""
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
"""Seconds between two tries in the background, at most: twice as long each time."""
GIVE_UP_SECONDS = 600.0
"""How long is tried in the background: longer than a store restarts. After that gc has to look for it."""
MAX_JOBS = 1000
"""Removals in the background at once: an outage must not fill the memory with them."""
LANDING_SECONDS = 10.0
"""After this time an object whose PUT was given up is deleted once more: S3 may still be at work on the PUT
when it answers the first DELETE."""


@attrs.frozen
class Leftover:
    """What may be in S3 under ``key``: a multipart upload, more of them whose ids were never learnt
    (``unknown_uploads``), and the object itself. ``cut_parts``: a part may still arrive."""

    key: str
    upload_id: str | None = None
    cut_parts: bool = False
    unknown_uploads: bool = False
    object: bool = False


class Cleanup:
    """Removes leftovers. ``random`` gives numbers from 0 to 1, for the jitter of the delays."""

    _log = Logger()

    def __init__(
        self, client: S3Client, clock: IReactorTime, random: Callable[[], float], metrics: IMetrics
    ) -> None:
        self._client = client
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._jobs: set[Deferred[None]] = set()

    async def remove(self, leftover: Leftover) -> None:
        """Remove it, now or in the background; where neither works it is counted and logged. Never raises."""
        try:
            await self._try(leftover)
        except StoreUnavailable as error:
            self._warn("could not yet remove", leftover.key, str(error))
            self.remove_later(leftover, FIRST_DELAY, again=leftover.object)
        except (LfsError, CancelledError) as error:
            self._count(leftover.key, error_text(error))
        else:
            if leftover.object:
                self._remove_again(leftover.key)

    def remove_later(
        self, leftover: Leftover, delay: float = 0.0, counted: bool = False, again: bool = False
    ) -> None:
        """Remove it in the background, for up to GIVE_UP_SECONDS. ``delay`` is in seconds; ``counted``: that
        it may stay was counted already; ``again``: its object may land behind its deletion."""
        if len(self._jobs) >= MAX_JOBS:
            if not counted:
                self._count(leftover.key, f"{MAX_JOBS} others are being removed")
            return
        job = Deferred.fromCoroutine(self._keep_trying(leftover, delay, again))
        self._jobs.add(job)
        job.addErrback(self._failed, leftover.key, counted)
        job.addBoth(lambda _: self._jobs.discard(job))

    def close(self) -> None:
        """Stop trying, and log what is left."""
        for job in list(self._jobs):
            job.cancel()

    def _count(self, key: str, why: str) -> None:
        self._metrics.orphan("abort_failed")
        self._warn("could not remove", key, why)

    def _warn(self, what: str, key: str, why: str) -> None:
        self._log.warn(
            "{what} what an upload left at {bucket}/{key}: {why}",
            what=what,
            bucket=self._client.location.bucket,
            key=key,
            why=why,
        )

    def _failed(self, failure: Failure, key: str, counted: bool) -> None:
        why = "the store was closed" if failure.check(CancelledError) else error_text(failure.value)
        if not counted:
            self._count(key, why)
        elif failure.check(CancelledError):
            self._log.info("the proxy stopped before {key} was deleted once more, to be sure", key=key)
        else:
            self._log.warn("gave up removing {key}: {why}", key=key, why=why)

    def _remove_again(self, key: str) -> None:
        self.remove_later(Leftover(key, object=True), LANDING_SECONDS, counted=True)

    async def _keep_trying(self, leftover: Leftover, delay: float, again: bool) -> None:
        end = self._clock.seconds() + GIVE_UP_SECONDS
        while True:
            await deferLater(self._clock, delay * (0.5 + self._random() / 2))
            try:
                await self._try(leftover)
            except StoreUnavailable:
                delay = min(LONGEST_DELAY, max(FIRST_DELAY, delay * 2))
                if self._clock.seconds() + delay > end:
                    raise
            else:
                self._log.info("removed what was left at {key}", key=leftover.key)
                if again:
                    self._remove_again(leftover.key)
                return

    async def _try(self, leftover: Leftover) -> None:
        uploads = [leftover.upload_id] if leftover.upload_id else []
        if leftover.unknown_uploads:
            async for page in list_uploads(self._client, leftover.key, patience=ANSWER_SECONDS):
                uploads += [one.upload_id for one in page if one.key == leftover.key]
        for upload_id in uploads:
            # A part on its way can land behind an abort: then only NoSuchUpload says that all is gone.
            for _ in range(ABORTS if leftover.cut_parts else 1):
                if not await self._client.abort_multipart_upload(leftover.key, upload_id, ANSWER_SECONDS):
                    break
        if leftover.object:
            await self._client.delete_object(leftover.key, ANSWER_SECONDS)
