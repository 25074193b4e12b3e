"""What became of a record that could not be published: surely not in the log, or not known.

The verdict rests on what was seen on the wire (each time the record left, and how that was answered), not on
the exception that kafka-python ends with: it retries out of sight, and its exception tells of the last try.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka import errors as kafka_errors

from lfsproxy.broker.signing import SignInWithheld
from lfsproxy.broker.words import describe
from lfsproxy.codes import SURELY_NOT_APPENDED, KafkaCode
from lfsproxy.errors import (
    BrokerInvalid,
    BrokerRefused,
    BrokerTooLarge,
    BrokerUnavailable,
    LfsError,
    NotAuthorised,
    OutcomeUnknown,
    SignInRefused,
    UnknownTopic,
)

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
_NOT_SIGNED_IN = frozenset(
    {
        KafkaCode.UNSUPPORTED_SASL_MECHANISM,
        KafkaCode.ILLEGAL_SASL_STATE,
        KafkaCode.SASL_AUTHENTICATION_FAILED,
    }
)
"""The proxy's own sign-in is at fault, not the client."""


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


def not_answered(error: BaseException) -> LfsError:
    """The error for a question to the brokers that has no answer."""
    refused = _sign_in_refused(error)
    if refused is not None:
        return refused
    if isinstance(error, kafka_errors.BrokerResponseError) and error.errno in _NOT_AUTHORISED:
        return NotAuthorised(error.errno, f"Kafka does not authorise the proxy: {describe(error)}")
    return BrokerUnavailable(f"Kafka is unavailable: {describe(error)}")


def not_sent(error: BaseException, topic: str) -> LfsError:
    """The error for a record that never left, by what kept it from leaving."""
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        return UnknownTopic(f"the topic {topic} does not exist")
    refused = _sign_in_refused(error)
    if refused is not None:
        return refused
    if isinstance(error, kafka_errors.BrokerResponseError):
        code = error.errno
        if code in _TOO_LARGE or code in _NOT_AUTHORISED:
            return refusal(code, topic, describe(error))
    return BrokerUnavailable(f"Kafka is unavailable, nothing was sent: {describe(error)}")


def _sign_in_refused(error: BaseException) -> SignInRefused | None:
    if isinstance(error, SignInWithheld):
        return SignInRefused(str(error.args[0]))
    if isinstance(error, kafka_errors.BrokerResponseError) and error.errno in _NOT_SIGNED_IN:
        return SignInRefused(f"Kafka refuses the proxy's sign-in: {describe(error)}")
    return None


def failed(answers: Sequence[int | None], error: BaseException, topic: str) -> LfsError:
    """The error for a record whose publishing failed with ``error``.

    ``answers`` has one entry per time that the record left for a broker: the code of the answer, or None
    where no answer came.
    """
    if not answers:
        return not_sent(error, topic)
    if all(code in SURELY_NOT_APPENDED for code in answers):
        last = answers[-1]
        assert last is not None
        return refusal(last, topic, describe(error))
    return OutcomeUnknown(
        f"the record for topic {topic} was sent, and whether it is in the log is not known: {describe(error)}"
    )
