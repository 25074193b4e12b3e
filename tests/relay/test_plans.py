"""Memory for what is planned of one request."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.relay.produce.plans import USUAL_PLANS, Plans

LIMIT = 1 << 24


class PlansTests(SynchronousTestCase):
    def test_usually_there_is_as_much_as_the_request_and_a_little(self) -> None:
        self.assertEqual(Plans(1000, LIMIT).room(is_usual=True), 1000 + USUAL_PLANS)

    def test_a_large_request_has_no_more_than_may_be_held(self) -> None:
        self.assertEqual(Plans(1 << 30, LIMIT).room(is_usual=True), LIMIT + USUAL_PLANS)

    def test_who_waits_for_its_turn_may_have_as_much_as_may_be_held(self) -> None:
        self.assertEqual(Plans(1000, LIMIT).room(is_usual=False), LIMIT)

    def test_what_one_batch_uses_the_next_has_not(self) -> None:
        plans = Plans(1000, LIMIT)
        plans.used += 600
        self.assertEqual(plans.room(is_usual=True), 400 + USUAL_PLANS)
        self.assertEqual(plans.room(is_usual=False), LIMIT - 600)

    def test_a_batch_that_needs_more_ends_the_room_of_its_kind_only(self) -> None:
        plans = Plans(1000, LIMIT)
        plans.have_no_more_room(is_usual=True)
        self.assertEqual((plans.room(is_usual=True), plans.room(is_usual=False)), (0, LIMIT))
        plans.have_no_more_room(is_usual=False)
        self.assertEqual(plans.room(is_usual=False), 0)
