"""What a failed publish is called, by what was seen on the wire."""

from __future__ import annotations

from kafka import errors as kafka_errors
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.outcome import failed, not_answered
from lfsproxy.codes import SURELY_NOT_APPENDED
from lfsproxy.errors import (
    BrokerInvalid,
    BrokerRefused,
    BrokerTooLarge,
    BrokerUnavailable,
    NotAuthorised,
    OutcomeUnknown,
    SignInRefused,
    UnknownTopic,
)

TIMEOUT = kafka_errors.KafkaTimeoutError("expired")


class FailedTests(SynchronousTestCase):
    def test_a_record_that_never_left_may_be_sent_again(self) -> None:
        self.assertIs(type(failed([], TIMEOUT, "demo")), BrokerUnavailable)

    def test_a_record_that_never_left_for_an_unknown_topic(self) -> None:
        error = kafka_errors.UnknownTopicOrPartitionError("demo")
        self.assertIs(type(failed([], error, "demo")), UnknownTopic)

    def test_a_record_too_large_for_the_producer_never_leaves(self) -> None:
        self.assertIs(type(failed([], kafka_errors.MessageSizeTooLargeError(), "demo")), BrokerTooLarge)

    def test_an_identity_that_may_not_produce(self) -> None:
        error = kafka_errors.ClusterAuthorizationFailedError()
        self.assertIs(type(failed([], error, "demo")), NotAuthorised)

    def test_no_answer_leaves_the_outcome_unknown(self) -> None:
        self.assertIs(type(failed([None], TIMEOUT, "demo")), OutcomeUnknown)

    def test_every_code_that_surely_follows_no_append_is_a_refusal(self) -> None:
        for code in SURELY_NOT_APPENDED:
            verdict = failed([code], TIMEOUT, "demo")
            self.assertIsInstance(verdict, BrokerRefused)
            assert isinstance(verdict, BrokerRefused)
            self.assertEqual(verdict.code, code)

    def test_every_other_code_leaves_the_outcome_unknown(self) -> None:
        for code in set(range(-1, 130)) - SURELY_NOT_APPENDED:
            self.assertIs(type(failed([code], TIMEOUT, "demo")), OutcomeUnknown, code)

    def test_a_refusal_after_a_lost_answer_says_nothing_about_the_first_try(self) -> None:
        self.assertIs(type(failed([None, 87], TIMEOUT, "demo")), OutcomeUnknown)

    def test_a_refusal_after_refusals_is_a_refusal(self) -> None:
        self.assertIsInstance(failed([19, 19], TIMEOUT, "demo"), BrokerRefused)

    def test_kinds_of_refusal(self) -> None:
        self.assertIs(type(failed([10], TIMEOUT, "demo")), BrokerTooLarge)
        self.assertIs(type(failed([18], TIMEOUT, "demo")), BrokerTooLarge)
        self.assertIs(type(failed([29], TIMEOUT, "demo")), NotAuthorised)
        self.assertIs(type(failed([19], TIMEOUT, "demo")), BrokerRefused)

    def test_a_record_that_only_the_broker_refuses_is_the_clients_fault(self) -> None:
        for code in (32, 87):
            verdict = failed([code], TIMEOUT, "demo")
            self.assertIs(type(verdict), BrokerInvalid)
            self.assertEqual((verdict.http_status, verdict.result), (400, "client_error"))

    def test_the_message_names_the_topic_and_the_brokers_words(self) -> None:
        error = kafka_errors.InvalidRecordError("Compacted topic cannot accept message without key")
        text = str(failed([87], error, "demo"))
        self.assertIn("demo", text)
        self.assertIn("INVALID_RECORD (87): Compacted topic cannot accept message without key", text)


class NotAnsweredTests(SynchronousTestCase):
    def test_a_question_says_nothing_of_sending(self) -> None:
        for error in (TIMEOUT, kafka_errors.UnknownTopicOrPartitionError()):
            verdict = not_answered(error)
            self.assertIs(type(verdict), BrokerUnavailable)
            self.assertIn("Kafka is unavailable: ", str(verdict))
            self.assertNotIn("sent", str(verdict))

    def test_an_identity_that_may_not_ask(self) -> None:
        verdict = not_answered(kafka_errors.ClusterAuthorizationFailedError())
        self.assertIs(type(verdict), NotAuthorised)
        self.assertNotIn("record", str(verdict))
        self.assertIs(type(not_answered(kafka_errors.SaslAuthenticationFailedError())), SignInRefused)
