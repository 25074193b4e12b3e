"""What answers mean: every code, after every history."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.outcome import MOST_RENEWALS, OTHER_TRIES, Next, failed, judge, named, says, spoils_id
from lfsproxy.codes import SURELY_NOT_APPENDED, KafkaCode
from lfsproxy.errors import (
    BrokerInvalid,
    BrokerRefused,
    BrokerTooLarge,
    NotAuthorised,
    OutcomeUnknown,
)
from lfsproxy.wire.answers import PartitionAnswer

CODES: list[int | None] = [None, *KafkaCode, 999]
UNSURE: list[int | None] = [code for code in CODES if code not in SURELY_NOT_APPENDED]


class JudgeTests(SynchronousTestCase):
    def judge(
        self, *answers: int | None, offset: int = -1, idempotent: bool = True, records: int = 1
    ) -> Next:
        return judge(answers, offset, idempotent, records, 0)

    def test_success(self) -> None:
        for before in CODES:
            self.assertIs(self.judge(before, 0, offset=5), Next.DONE)
            self.assertIs(self.judge(before, 0), Next.FIND)

    def test_a_duplicate_is_in_the_log(self) -> None:
        self.assertIs(self.judge(None, 46), Next.FIND)
        self.assertIs(self.judge(46, idempotent=False), Next.END)

    def test_without_producer_ids_nothing_is_sent_twice(self) -> None:
        for code in CODES:
            if code != 0:
                self.assertIs(self.judge(code, idempotent=False), Next.END)

    def test_what_passes_is_tried_again(self) -> None:
        for code in (None, 3, 5, 6, 7, 8, 9, 13, 19, 20, 56, 74, 75, 89):
            for before in CODES:
                self.assertIs(self.judge(before, code), Next.AGAIN, (before, code))

    def test_a_new_id_only_for_what_is_surely_not_in_the_log(self) -> None:
        for code in (45, 47, 49, 59, 90):
            self.assertIs(self.judge(code), Next.RENEW)
            self.assertIs(self.judge(19, code), Next.RENEW)
            for before in UNSURE:
                self.assertIs(self.judge(before, code), Next.END)
            self.assertIs(judge([code], -1, True, 1, MOST_RENEWALS), Next.END)

    def test_a_batch_is_split_only_where_one_record_may_be_why(self) -> None:
        for code in (10, 18, 32, 87):
            for idempotent in (True, False):
                self.assertIs(self.judge(code, records=2, idempotent=idempotent), Next.SPLIT)
            self.assertIs(self.judge(code), Next.END)
            self.assertIsNot(self.judge(None, code, records=2), Next.SPLIT)

    def test_other_codes_are_tried_a_few_times(self) -> None:
        for code in (-1, 2, 999):
            self.assertIs(self.judge(code), Next.AGAIN)
            self.assertIs(self.judge(*[code] * OTHER_TRIES), Next.END)

    def test_a_refusal_ends_it(self) -> None:
        for code in (17, 29, 31, 35, 43, 53, 76):
            self.assertIs(self.judge(code), Next.END)

    def test_every_history_without_a_success_ends_or_goes_on(self) -> None:
        for answers in product([code for code in CODES if code not in (0, 46)], repeat=2):
            found = self.judge(*answers, records=2)
            self.assertNotIn(found, (Next.DONE, Next.FIND))
            if found in (Next.RENEW, Next.SPLIT):
                self.assertTrue(set(answers) <= SURELY_NOT_APPENDED)


class FailedTests(SynchronousTestCase):
    def test_a_sure_refusal_has_its_kind(self) -> None:
        for code, kind in (
            (10, BrokerTooLarge),
            (29, NotAuthorised),
            (87, BrokerInvalid),
            (19, BrokerRefused),
        ):
            error = failed([code], "why", "demo")
            self.assertIs(type(error), kind)
            self.assertIn("why", str(error))

    def test_one_unsure_answer_is_enough_for_an_unknown_outcome(self) -> None:
        for code in UNSURE:
            self.assertIsInstance(failed([code, 10], "why", "demo"), OutcomeUnknown)
            self.assertIsInstance(failed([10, code], "why", "demo"), OutcomeUnknown)

    def test_the_id_is_given_up_where_the_next_batch_could_be_taken_for_this_one(self) -> None:
        for code in UNSURE:
            self.assertTrue(spoils_id([code]))
        self.assertFalse(spoils_id([10]))
        self.assertTrue(spoils_id([45]))

    def test_a_broker_s_own_words_come_first(self) -> None:
        self.assertEqual(named(10, "words"), "MESSAGE_TOO_LARGE (10): words")
        self.assertIn("maximum message size", named(10))
        answer = PartitionAnswer("t", 0, 87, record_errors=[(0, None), (1, "no key")], error_message="all")
        self.assertEqual(says(answer), "INVALID_RECORD (87): no key")
        self.assertEqual(says(PartitionAnswer("t", 0, 87, error_message="all")), "INVALID_RECORD (87): all")
        self.assertIn("999", named(999))
