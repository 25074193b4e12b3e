"""One upload over HTTP: from the request's content through a claim to a published record.

    reading options ─▶ asking Kafka for a partition ─▶ waiting for memory ─▶ storing ─▶ publishing ─▶ done
          └───────────────────┴────── stopped (client gone, stalled) ─────────┘

Until publishing begins a stop cancels whatever is waited for, and nothing is left or published. Publishing
itself is carried through whatever the client does.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from lfsproxy.budget import Lease, MemoryBudget
from lfsproxy.claimcheck import SURELY_NOT_PUBLISHED, Claim, ClaimCheck, Payload
from lfsproxy.envelope import Envelope
from lfsproxy.errors import ClientGone, LfsError, OutcomeUnknown
from lfsproxy.interfaces import Header, IEnvelopePublisher, Published
from lfsproxy.log.uploads import UploadEnd, log_upload
from lfsproxy.logs import Logger
from lfsproxy.web.body import RequestBody
from lfsproxy.web.content import ContentHead, UploadContent
from lfsproxy.web.feeding import fed
from lfsproxy.web.options import FILENAME_HEADER
from lfsproxy.web.problems import problem_of


@attrs.frozen
class Ingested:
    """A published upload."""

    record: Published
    envelope: Envelope


class Ingest:
    """One upload to ``topic``. It has to be given a topic name that Kafka allows."""

    _log = Logger()

    def __init__(
        self,
        claims: ClaimCheck,
        publisher: IEnvelopePublisher,
        budget: MemoryBudget,
        topic: str,
        body: RequestBody,
        content: UploadContent,
    ) -> None:
        self._claims = claims
        self._publisher = publisher
        self._budget = budget
        self._topic = topic
        self._body = body
        self._content = content
        self._stoppable = True
        self._stopped: LfsError | None = None
        self._task: Deferred[Ingested] | None = None
        self._started = claims.clock.seconds()
        self._begun = False

    def start(self) -> Deferred[Ingested]:
        """Begin. The Deferred fires when all is done, cleaning up included; ``stop`` ends it earlier.

        Fails with an LfsError, always.
        """
        self._task = ensureDeferred(self._run())
        return self._task

    def stop(self, error: LfsError) -> None:
        """End the upload with ``error``, unless publishing or cleaning up has begun."""
        if self._stoppable and self._task is not None:
            self._stoppable = False
            self._stopped = error
            self._task.cancel()

    async def _run(self) -> Ingested:
        try:
            return await self._receive()
        except Exception as error:
            reason = self._error_of(error)
            if not self._begun:
                seconds = self._claims.clock.seconds() - self._started
                log_upload(
                    UploadEnd(
                        door="http",
                        topic=self._topic,
                        seconds=seconds,
                        result=reason.result,
                        reason=str(reason),
                    )
                )
            raise reason from error

    def _error_of(self, error: Exception) -> LfsError:
        """Why the upload ended: a stop's reason goes before what the stop made fail."""
        if self._stopped is not None:
            return self._stopped
        if isinstance(error, CancelledError):
            return ClientGone("the upload was cancelled")
        return problem_of(error)

    async def _receive(self) -> Ingested:
        head = await self._content.head()
        partition, hint = await self._place(head)
        lease = await self._budget.acquire(self._claims.store.first_part(self._body.length))
        try:
            # From here on the claim says how it ended.
            self._begun = True
            claim = self._claims.begin(
                Payload(
                    path="http",
                    topic=self._topic,
                    partition=partition,
                    offset_hint=hint,
                    length=head.length,
                    content_type=head.content_type,
                    algorithm=head.options.checksum_algo,
                    expected=head.options.checksum,
                ),
                lease,
            )
            envelope = await self._store(claim, lease)
            return Ingested(await self._publish(claim, head, partition, envelope), envelope)
        finally:
            lease.release()

    async def _place(self, head: ContentHead) -> tuple[int, int]:
        """The record's partition, and a hint of its offset there."""
        partition = await self._publisher.choose_partition(
            self._topic, head.options.key, head.options.partition
        )
        try:
            return partition, await self._publisher.next_offset(self._topic, partition)
        except LfsError as error:
            self._log.debug("no offset hint for {topic}: {error}", topic=self._topic, error=error)
            return partition, 0

    async def _store(self, claim: Claim, lease: Lease) -> Envelope:
        try:
            with fed(lease, self._body, self.stop) as busy:
                while (data := await self._content.next()) is not None:
                    stored = claim.write(data)
                    if stored is not None:
                        with busy():
                            await stored
            envelope = await claim.finish()
            if self._stopped is not None:
                raise self._stopped
        except Exception as error:
            self._stoppable = False
            reason = self._error_of(error)
            await claim.abort(reason)
            raise reason from error
        self._stoppable = False
        return envelope

    async def _publish(
        self, claim: Claim, head: ContentHead, partition: int, envelope: Envelope
    ) -> Published:
        options = head.options
        headers: list[Header] = list(options.headers)
        if head.filename is not None:
            headers.append((FILENAME_HEADER, head.filename.encode("utf-8")))
        started = self._claims.clock.seconds()
        try:
            record = await self._publisher.publish(
                self._topic, partition, options.key, envelope.to_bytes(), headers, options.timestamp
            )
        except SURELY_NOT_PUBLISHED as error:
            await claim.abort(error)
            raise
        except Exception as error:
            why = problem_of(error)
            claim.unknown(str(why))
            raise OutcomeUnknown(
                f"{why}; whether it was published shows in {self._topic}, partition {partition}: "
                f"look for the s3_key {claim.key} before sending again"
            ) from error
        self._claims.metrics.publish(self._claims.clock.seconds() - started)
        claim.published(record.offset)
        return record
