"""Steps of a check: what is tried, what is skipped, and what is told of each."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.upkeep.steps.chain import AlreadyTold, Chain, Found, Step, done, told
from lfsproxy.upkeep.steps.sidebyside import side_by_side


async def fails() -> None:
    raise BrokerUnavailable("it is away")


async def works() -> None:
    """And has nothing to say."""


class ChainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Step] = []
        self.chain = Chain(self.clock, "S3", self.told.append)

    def step(self, name: str, tried: Any, **options: Any) -> Any:
        return self.successResultOf(
            Deferred.fromCoroutine(self.chain.step(name, tried, options.pop("do", "do something"), **options))
        )

    def test_what_was_found_is_told_and_given_back(self) -> None:
        async def tried() -> Found[int]:
            return Found(7, "it is seven", warning=True)

        self.assertEqual(self.step("number", tried), 7)
        self.assertEqual(self.told, [Step("S3: number", True, 0.0, "it is seven", True)])
        self.assertEqual(self.chain.steps, self.told)

    def test_a_failure_says_what_is_wrong_and_what_to_do(self) -> None:
        self.assertIsNone(self.step("bucket", done(fails)))
        self.assertEqual(self.told, [Step("S3: bucket", False, wrong="it is away", do="do something")])

    def test_an_error_that_knows_the_way_out_says_it_once(self) -> None:
        async def refused() -> None:
            raise BrokerUnavailable("it is a controller: name a broker", way_out="name a broker")

        self.step("bucket", done(refused))
        self.assertEqual((self.told[0].wrong, self.told[0].do), ("it is a controller", "name a broker"))

    def test_what_is_behind_a_failure_is_not_tried(self) -> None:
        self.step("bucket", done(fails))
        self.step("put", done(self.fail))
        self.step("delete", done(self.fail))
        self.assertTrue(self.chain.is_broken)
        self.assertEqual(
            self.told[1:],
            [Step(f"S3: {name}", None, note="skipped because bucket failed") for name in ("put", "delete")],
        )

    def test_what_does_not_need_a_failed_step_is_tried(self) -> None:
        self.step("put", done(fails), vital=False)
        self.step("HEAD", done(self.fail), needs=["put"])
        self.step("multipart", done(works))
        self.assertEqual([step.ok for step in self.told], [False, None, True])
        self.assertEqual(self.told[1].note, "skipped because put failed")

    def test_a_step_that_hangs_fails_in_its_time(self) -> None:
        hung: Deferred[Found[None]] = Deferred()

        async def tried() -> Found[None]:
            return await hung

        trying = Deferred.fromCoroutine(self.chain.step("put", tried, "look", seconds=3))
        self.clock.advance(2.9)
        self.assertNoResult(trying)
        self.clock.advance(0.2)
        self.successResultOf(trying)
        [step] = self.told
        self.assertEqual((step.ok, step.wrong, step.do), (False, "there was no answer within 3 s", "look"))
        self.assertAlmostEqual(step.seconds, 3.1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_interrupt_is_no_outcome_of_a_step(self) -> None:
        trying = Deferred.fromCoroutine(self.chain.step("put", lambda: wait(Deferred()), "look"))
        trying.cancel()
        self.failureResultOf(trying, CancelledError)
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))

    def test_a_bug_is_the_failure_of_its_step_alone(self) -> None:
        async def tried() -> None:
            raise TypeError("a mistake in the code")

        self.step("put", done(tried), vital=False)
        self.step("delete", done(works))
        bug, other = self.told
        self.assertEqual(bug.wrong, "this is a bug in lfsproxy: a mistake in the code (TypeError)")
        self.assertEqual(bug.do, "LFS_LOG_LEVEL=debug, or --debug before the command, shows where")
        self.assertIsInstance(bug.bug, TypeError)
        self.assertEqual((bug.ok, other.ok), (False, True))

    def test_what_another_step_has_told_is_not_told_again(self) -> None:
        async def tried() -> None:
            raise AlreadyTold("settings: files")

        self.step("settings", done(tried))
        self.step("put", done(self.fail))
        self.assertEqual([step.ok for step in self.told], [None, None])
        self.assertEqual({step.note for step in self.told}, {"skipped because settings: files failed"})

    def test_what_is_done_behind_all_is_told_where_it_fails(self) -> None:
        self.step("bucket", done(fails))
        self.successResultOf(Deferred.fromCoroutine(self.chain.behind("end", works)))
        self.successResultOf(Deferred.fromCoroutine(self.chain.behind("end", fails)))
        self.assertEqual([(step.name, step.wrong) for step in self.told[1:]], [("S3: end", "it is away")])
        ending = Deferred.fromCoroutine(self.chain.behind("end", lambda: wait(Deferred())))
        ending.cancel()
        self.failureResultOf(ending, CancelledError)

    def test_an_ability_that_is_missing_is_ok_but_told(self) -> None:
        async def missing() -> str:
            return "uploads are off"

        async def there() -> str:
            return ""

        self.step("conditional put", told(missing))
        self.step("multipart", told(there))
        self.assertEqual([(step.ok, step.warning) for step in self.told], [(True, True), (True, False)])

    def test_a_chain_can_be_given_up(self) -> None:
        self.chain.skip("metadata", "no broker could be asked")
        self.step("produce", done(self.fail))
        notes = [step.note for step in self.told]
        self.assertEqual(notes, ["skipped: no broker could be asked", "skipped because metadata failed"])


async def wait(for_what: Deferred[Any]) -> Any:
    return await for_what


class SideBySideTests(SynchronousTestCase):
    def test_all_run_at_once_and_all_are_waited_for(self) -> None:
        first, second = Deferred[None](), Deferred[None]()
        running = Deferred.fromCoroutine(side_by_side([wait(first), wait(second)]))
        second.callback(None)
        self.assertNoResult(running)
        first.callback(None)
        self.successResultOf(running)

    def test_an_interrupt_waits_until_each_has_cleaned_up(self) -> None:
        cleaned: Deferred[None] = Deferred()
        hung: Deferred[None] = Deferred()

        async def cleans() -> None:
            try:
                await Deferred()
            finally:
                await cleaned

        running = Deferred.fromCoroutine(side_by_side([wait(hung), cleans()]))
        running.cancel()
        self.assertNoResult(running)
        cleaned.callback(None)
        self.failureResultOf(running, CancelledError)

    def test_a_failure_does_not_end_the_others(self) -> None:
        second: Deferred[None] = Deferred()
        running = Deferred.fromCoroutine(side_by_side([fails(), wait(second)]))
        self.assertNoResult(running)
        second.callback(None)
        self.failureResultOf(running, BrokerUnavailable)
