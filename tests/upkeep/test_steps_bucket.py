"""What a check asks of S3, and that it leaves nothing behind."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError, StoreRefused
from lfsproxy.settings import Settings
from lfsproxy.upkeep.steps.bucket import StoreSteps
from lfsproxy.upkeep.steps.chain import Step
from tests.upkeep.steps_rig import StoreDouble


class StoreStepsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = StoreDouble()

    def begin(self) -> Deferred[None]:
        self.steps = StoreSteps(self.clock, Settings(), lambda: self.store, lambda step: None)
        return Deferred.fromCoroutine(self.steps.run())

    def check(self) -> dict[str, Step]:
        self.successResultOf(self.begin())
        return {step.name.removeprefix("S3: "): step for chain in self.steps.chains for step in chain.steps}

    def test_everything_is_tried_and_then_removed(self) -> None:
        self.store.uses_tls = True
        found = self.check()
        self.assertEqual({step.ok for step in found.values()}, {True})
        asked = [call[0] for call in self.store.calls]
        self.assertEqual(
            asked,
            [
                *("resolve", "connect", "handshake", "credentials", "clock", "bucket"),
                *("put", "head", "ranged_get", "conditional", "list_objects"),
                *("multipart", "abort", "delete", "remove", "close"),
            ],
        )
        self.assertEqual(found["credentials"].note, "from the environment")
        self.assertEqual(found["put"].note, "with a CRC-32C")

    def test_what_is_missing_and_optional_is_told(self) -> None:
        for name in ("head", "conditional", "multipart"):
            self.store.acts[name] = f"no {name}"
        found = self.check()
        told = [step.note for step in found.values() if step.warning]
        self.assertEqual(told, ["no head", "no conditional", "no multipart"])
        self.assertEqual({step.ok for step in found.values()}, {True})

    def test_a_clock_that_goes_wrong_is_told_before_s3_refuses(self) -> None:
        for ahead, said in (
            (59.0, ""),
            (-59.0, ""),
            (61.0, "this machine's clock is 61 s ahead of S3's, which refuses requests from 900 s on"),
            (-120.0, "this machine's clock is 120 s behind S3's, which refuses requests from 900 s on"),
        ):
            self.store.acts["clock"] = ahead
            step = self.check()["clock"]
            self.assertEqual((step.ok, step.note, step.warning), (True, said, bool(said)))

    def test_a_store_that_does_not_say_its_time(self) -> None:
        self.store.acts["clock"] = None
        self.assertFalse(self.check()["clock"].warning)

    def test_a_bucket_that_is_not_there_ends_it(self) -> None:
        self.store.acts["bucket"] = StoreRefused("no bucket")
        found = self.check()
        self.assertEqual(found["bucket"].wrong, "no bucket")
        self.assertEqual({found[name].ok for name in ("put", "HEAD", "multipart upload", "delete")}, {None})
        self.assertEqual(self.store.count("put"), 0)

    def test_what_works_without_the_object_is_tried_without_it(self) -> None:
        self.store.acts["put"] = StoreRefused("read-only")
        found = self.check()
        self.assertEqual(
            (found["HEAD"].ok, found["delete"].ok, found["multipart upload"].ok), (None, None, True)
        )

    def test_after_a_failure_it_is_removed(self) -> None:
        for name in ("head", "multipart", "abort", "delete"):
            self.store = StoreDouble({name: StoreRefused("no")})
            self.check()
            self.assertEqual(self.store.calls[-2:], [("remove",), ("close",)])

    def test_after_an_interrupt_it_is_removed_before_anything_ends(self) -> None:
        removed: Deferred[None] = Deferred()
        self.store.acts |= {"ranged_get": Deferred(), "remove": removed}
        checking = self.begin()
        checking.cancel()
        self.assertNoResult(checking)
        self.assertEqual(self.store.calls[-1], ("remove",))
        removed.callback(None)
        self.failureResultOf(checking, CancelledError)
        self.assertEqual(self.store.calls[-1], ("close",))

    def test_an_authority_that_cannot_be_read_ends_it(self) -> None:
        self.store.uses_tls = True

        def make() -> StoreDouble:
            raise SettingError("LFS_S3_CA is 'x': not usable as PEM certificates")

        steps = StoreSteps(self.clock, Settings(), make, lambda step: None)
        self.successResultOf(Deferred.fromCoroutine(steps.run()))
        [[step, *others]] = [chain.steps for chain in steps.chains]
        self.assertEqual((step.name, step.ok), ("S3: settings", False))
        self.assertEqual({other.note for other in others}, {"skipped because settings failed"})
        self.assertEqual(
            [other.name for other in others], [f"S3: {name}" for name in self.check() if name != "settings"]
        )

    def test_a_bug_of_the_end_does_not_hide_the_steps(self) -> None:
        self.store.acts |= {"head": TypeError("a mistake"), "remove": ValueError("another")}
        found = self.check()
        wrong = {name: step.wrong for name, step in found.items() if step.ok is False}
        self.assertEqual(list(wrong), ["HEAD", "removal of what was written"])
        self.assertIn("this is a bug in lfsproxy: a mistake", wrong["HEAD"])
        self.assertEqual(found["delete"].ok, True)
        self.assertEqual(self.store.calls[-1], ("close",))
