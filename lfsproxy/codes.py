"""Kafka's error codes by name, and which of them say that a batch is certainly not in the log.

The names are Kafka's own (https://kafka.apache.org/protocol#protocol_error_codes). A broker may answer with
codes that are not listed here: they stay numbers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class KafkaCode(IntEnum):
    """The codes that the proxy answers with, or decides by."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    NETWORK_EXCEPTION = 13
    INVALID_TOPIC = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    INVALID_REQUIRED_ACKS = 21
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    KAFKA_STORAGE_ERROR = 56
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    FETCH_SESSION_ID_NOT_FOUND = 70
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    INVALID_RECORD = 87
    THROTTLING_QUOTA_EXCEEDED = 89
    PRODUCER_FENCED = 90


SURELY_NOT_APPENDED: Final = frozenset(
    {
        KafkaCode.CORRUPT_MESSAGE,
        KafkaCode.MESSAGE_TOO_LARGE,
        KafkaCode.INVALID_TOPIC,
        KafkaCode.RECORD_LIST_TOO_LARGE,
        KafkaCode.NOT_ENOUGH_REPLICAS,
        KafkaCode.INVALID_REQUIRED_ACKS,
        KafkaCode.TOPIC_AUTHORIZATION_FAILED,
        KafkaCode.CLUSTER_AUTHORIZATION_FAILED,
        KafkaCode.INVALID_TIMESTAMP,
        KafkaCode.UNSUPPORTED_VERSION,
        KafkaCode.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaCode.INVALID_PRODUCER_EPOCH,
        KafkaCode.INVALID_TXN_STATE,
        KafkaCode.INVALID_PRODUCER_ID_MAPPING,
        KafkaCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaCode.UNKNOWN_PRODUCER_ID,
        KafkaCode.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaCode.INVALID_RECORD,
        KafkaCode.PRODUCER_FENCED,
    }
)
"""Codes of a Produce answer after which the batch is certainly not in the log: its blob may be deleted.

Every other code can follow an append, or answers a retry whose first attempt was appended: the blob stays.
"""
