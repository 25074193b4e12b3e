"""Kafka's error codes have Kafka's names."""

from __future__ import annotations

from kafka import errors
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.codes import SURELY_NOT_APPENDED, KafkaCode

OTHER_NAMES = {
    "UNKNOWN": "UNKNOWN_SERVER_ERROR",
    "MESSAGE_SIZE_TOO_LARGE": "MESSAGE_TOO_LARGE",
    "NOT_LEADER_FOR_PARTITION": "NOT_LEADER_OR_FOLLOWER",
}
"""Those of kafka-python that differ from Kafka's."""


class CodeTests(SynchronousTestCase):
    def test_names_are_those_of_kafka_python(self) -> None:
        for code in KafkaCode:
            if code is not KafkaCode.NONE:
                name = errors.for_code(int(code)).message
                self.assertEqual(code.name, OTHER_NAMES.get(name, name))

    def test_codes_that_certainly_follow_no_append(self) -> None:
        self.assertEqual(
            {int(code) for code in SURELY_NOT_APPENDED},
            {2, 10, 17, 18, 19, 21, 29, 31, 32, 35, 43, 45, 47, 48, 49, 53, 59, 76, 87, 90},
        )
