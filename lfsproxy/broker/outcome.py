"""What became of a batch that was sent: what its answers so far mean, and what to do next.

The verdict rests on every time that the batch left for a broker: the code that came back, or None where no
answer came. Only a broker that knows idempotent producers can be sent a batch again without writing it twice:
it drops a repeated sequence, and answers as it did, or should have, the first time.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from kafka.errors import for_code

from lfsproxy.codes import SURELY_NOT_APPENDED, KafkaCode
from lfsproxy.errors import (
    BrokerInvalid,
    BrokerRefused,
    BrokerTooLarge,
    LfsError,
    NotAuthorised,
    OutcomeUnknown,
)
from lfsproxy.wire.answers import PartitionAnswer

MOST_RENEWALS: Final = 3
"""How often a record that is surely not in the log is sent with a new producer id."""
OTHER_TRIES: Final = 3
"""How often a batch is sent in all where a code does not say whether that helps."""

_TOO_LARGE = frozenset({KafkaCode.MESSAGE_TOO_LARGE, KafkaCode.RECORD_LIST_TOO_LARGE})
_NOT_AUTHORISED = frozenset(
    {
        KafkaCode.TOPIC_AUTHORIZATION_FAILED,
        KafkaCode.GROUP_AUTHORIZATION_FAILED,
        KafkaCode.CLUSTER_AUTHORIZATION_FAILED,
        KafkaCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_INVALID = frozenset({KafkaCode.INVALID_TIMESTAMP, KafkaCode.INVALID_RECORD})
_OF_A_RECORD = _TOO_LARGE | _INVALID
"""One record may be at fault, and the others of its batch not."""
_OF_THE_ID = frozenset(
    {
        KafkaCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaCode.INVALID_PRODUCER_EPOCH,
        KafkaCode.INVALID_PRODUCER_ID_MAPPING,
        KafkaCode.UNKNOWN_PRODUCER_ID,
        KafkaCode.PRODUCER_FENCED,
    }
)
"""The broker knows another past of this producer id than we do."""
_PASSING = frozenset(
    {
        KafkaCode.UNKNOWN_TOPIC_OR_PARTITION,
        KafkaCode.LEADER_NOT_AVAILABLE,
        KafkaCode.NOT_LEADER_OR_FOLLOWER,
        KafkaCode.REQUEST_TIMED_OUT,
        KafkaCode.BROKER_NOT_AVAILABLE,
        KafkaCode.REPLICA_NOT_AVAILABLE,
        KafkaCode.NETWORK_EXCEPTION,
        KafkaCode.NOT_ENOUGH_REPLICAS,
        KafkaCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaCode.KAFKA_STORAGE_ERROR,
        KafkaCode.FENCED_LEADER_EPOCH,
        KafkaCode.UNKNOWN_LEADER_EPOCH,
        KafkaCode.THROTTLING_QUOTA_EXCEEDED,
    }
)
"""What is over in a while, or with another leader."""

Answers = Sequence[int | None]
"""One entry per time that a batch left for a broker: the error code of the answer, None where none came."""


class Next(Enum):
    """What to do with a batch after an answer, or after the loss of one."""

    DONE = auto()
    """It is in the log, at the offset that the answer has."""
    FIND = auto()
    """It is in the log, and the offset is not known."""
    AGAIN = auto()
    """Send it again, as it is."""
    RENEW = auto()
    """It is surely not in the log: send its records with a new producer id."""
    SPLIT = auto()
    """It is surely not in the log, and one of its records may be why: send each by itself."""
    END = auto()
    """Nothing more can be found out: ``failed`` says what is known."""


def judge(answers: Answers, offset: int, idempotent: bool, records: int, renewals: int) -> Next:
    """What to do after the last of ``answers``, which has ``offset`` (-1: none).

    The batch has so many ``records``, which were given a new producer id ``renewals`` times.
    """
    code, sure = answers[-1], surely_not_appended(answers)
    if code == KafkaCode.NONE:
        return Next.DONE if offset >= 0 else Next.FIND
    if code == KafkaCode.DUPLICATE_SEQUENCE_NUMBER and idempotent:
        return Next.FIND
    if sure and code in _OF_A_RECORD and records > 1:
        return Next.SPLIT
    if not idempotent:
        return Next.END
    if code in _OF_THE_ID:
        return Next.RENEW if sure and renewals < MOST_RENEWALS else Next.END
    if code is None or code in _PASSING:
        return Next.AGAIN
    if sure and code != KafkaCode.CORRUPT_MESSAGE:
        return Next.END
    return Next.AGAIN if len(answers) < OTHER_TRIES else Next.END


def surely_not_appended(answers: Answers) -> bool:
    """Whether the batch is certainly not in the log: every time that it left was answered so."""
    return all(code in SURELY_NOT_APPENDED for code in answers)


def spoils_id(answers: Answers) -> bool:
    """Whether a batch that ends with these leaves a producer id that cannot be used any more: the next batch
    could be taken for this one, or the broker does not take any."""
    return not surely_not_appended(answers) or answers[-1] in _OF_THE_ID


def failed(answers: Answers, why: str, topic: str) -> LfsError:
    """The error for a batch that has left, and that ``judge`` ends; ``why`` is what was said last."""
    last = answers[-1]
    if last is not None and surely_not_appended(answers):
        return refusal(last, topic, why)
    return OutcomeUnknown(
        f"the record for topic {topic} was sent, and whether it is in the log is not known: {why}"
    )


def refusal(code: int, topic: str, message: str) -> BrokerRefused:
    """The error for an answer code after which the record is surely not in the log."""
    text = f"Kafka refuses the record for topic {topic}: {message}"
    if code in _TOO_LARGE:
        return BrokerTooLarge(code, text)
    if code in _NOT_AUTHORISED:
        return NotAuthorised(code, text)
    if code in _INVALID:
        return BrokerInvalid(code, text)
    return BrokerRefused(code, text)


def says(answer: PartitionAnswer) -> str:
    """What a broker says of a batch: its own words where it has some, behind its own name for the error."""
    words = [*(message for _, message in answer.record_errors if message), answer.error_message or ""]
    return named(answer.error_code, words[0] or None)


def named(code: int, words: str | None = None) -> str:
    """A code by Kafka's name, with what a broker says of it, or else what Kafka's documentation does."""
    known = for_code(code)
    text = words or known.description
    name = f"{KafkaCode(code).name if code in KafkaCode.__members__.values() else known.message} ({code})"
    return f"{name}: {text}" if text else name
