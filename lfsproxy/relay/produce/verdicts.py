"""What the broker's answers say about a request's batches, and the client's answer made of them. No I/O.

A request goes to the broker whole, or in several requests in order. Each answer decides about the batches
that were sent with it::

    error code                             the batch is        its blobs
    0                                      PUBLISHED           stay
    one of codes.SURELY_NOT_APPENDED      ABANDONED           are deleted
    any other, or none for its partition   UNKNOWN             stay, counted as orphans

The client's answer is due when every batch was submitted and every request was answered: the broker's
verdicts merged with the proxy's own refusals, in the order of the client's request.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs

from lfsproxy.codes import SURELY_NOT_APPENDED, KafkaCode
from lfsproxy.errors import LfsError
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.wire.answers import Advertise, PartitionAnswer, ProduceResponse, merge_answers


class Fate(Enum):
    """What became of a batch that the broker has got."""

    PUBLISHED = "published"
    ABANDONED = "abandoned"
    UNKNOWN = "unknown"


@attrs.frozen
class Decided:
    """A batch whose fate the broker's answer told. ``code`` is None where it says nothing of its partition;
    ``base_offset`` is that of its first record, -1 where it is not known."""

    batch: Batch
    fate: Fate
    code: int | None = None
    base_offset: int = -1

    @property
    def why(self) -> str:
        """The answer in words, for the log."""
        if self.code is None:
            return "the broker's answer does not name its partition"
        return f"the broker answered {self.code}"


class Verdicts:
    """All verdicts about one request of the client. The last ``submitted`` or ``answered`` makes its answer
    due, which ``take_answer`` gives once."""

    def __init__(self, api_version: int, correlation_id: int) -> None:
        self._version = api_version
        self._correlation_id = correlation_id
        self._submitted: list[Batch] = []
        self._answers: list[ProduceResponse] = []
        self._sent = 0
        self._due = False

    def submitted(self, batches: Sequence[Batch], *, is_sent: bool, is_last: bool) -> None:
        """These batches are decided, in the client's order: the refused ones have their ``error``.

        ``is_sent``: the broker is to answer about the others. ``is_last``: there are no more batches.
        """
        self._submitted += batches
        self._sent += is_sent
        self._due = is_last

    def answered(self, sent: Sequence[Batch], body: bytes) -> list[Decided]:
        """What the broker's answer, from behind its correlation id on, says of the batches that were sent.

        Raises FramingError where it does not decode.
        """
        answer = ProduceResponse.decode(self._version, body)
        places = {(each.topic, each.partition): each for each in answer.partitions}
        self._answers.append(answer)
        return [_decided(batch, places.pop((batch.topic, batch.partition), None)) for batch in sent]

    @property
    def is_due(self) -> bool:
        """Whether everything is decided and the client has no answer yet."""
        return self._due and len(self._answers) == self._sent

    def take_answer(self, advertise: Advertise) -> bytes | None:
        """The client's answer, a whole frame; None while it is not due, and once it was taken."""
        if not self.is_due:
            return None
        self._due = False
        return self._merged().advertised(advertise).encode(self._version, self._correlation_id)

    def _merged(self) -> ProduceResponse:
        # By partition, each told about once; where some of its records were sent and others refused: refused,
        # by the first refusal, from which others follow.
        refused = {
            (batch.topic, batch.partition): _refusal(batch, batch.error)
            for batch in reversed(self._submitted)
            if batch.error is not None
        }
        if len(self._answers) == 1 and not refused:
            return self._answers[0]
        answers = [
            attrs.evolve(
                answer,
                partitions=[
                    each for each in answer.partitions if (each.topic, each.partition) not in refused
                ],
            )
            for answer in self._answers
        ]
        order = [(batch.topic, batch.partition) for batch in self._submitted]
        return merge_answers([*answers, ProduceResponse(list(refused.values()))], order)


def _decided(batch: Batch, answer: PartitionAnswer | None) -> Decided:
    if answer is None:
        return Decided(batch, Fate.UNKNOWN)
    code = answer.error_code
    if code == KafkaCode.NONE:
        return Decided(batch, Fate.PUBLISHED, code, answer.base_offset)
    fate = Fate.ABANDONED if code in SURELY_NOT_APPENDED else Fate.UNKNOWN
    return Decided(batch, fate, code)


def _refusal(batch: Batch, error: LfsError) -> PartitionAnswer:
    """The proxy's own verdict. Only an invalid record is named: clients take each one named for that."""
    record_errors = []
    if batch.bad_record is not None and error.kafka_code == KafkaCode.INVALID_RECORD:
        record_errors.append((batch.bad_record, str(error)))
    return PartitionAnswer(
        batch.topic,
        batch.partition,
        error_code=error.kafka_code,
        record_errors=record_errors,
        error_message=batch.why,
    )
