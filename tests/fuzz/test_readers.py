"""Whatever bytes come, the readers of the wire give events or an LfsError, in bounded work and memory."""

from __future__ import annotations

import random
import resource

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import corpus
from tests.fuzz.mutations import Mutator
from tests.fuzz.targets import TARGETS, Target, outcome

CASES = 4_000
SEED = 20
MOST_GROWTH = 64 * 1024  # KiB


class FuzzTests(SynchronousTestCase):
    def fuzz(self, name: str) -> None:
        (target,) = [each for each in TARGETS if each.name == name]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        inputs = Mutator(random.Random(f"{SEED} {name}"), list(target.seeds()))
        outcomes = {self.checked(target, inputs.next()) for _ in range(CASES)}
        self.assertGreater(len(outcomes), 1)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self.assertLess(grown, MOST_GROWTH)

    def checked(self, target: Target, data: bytes) -> str:
        try:
            return outcome(target, data)
        except Exception as error:
            raise AssertionError(f"{target.name} with {data.hex()}: {error!r}") from error

    def test_seeds_are_read(self) -> None:
        for target in TARGETS:
            for data in target.seeds():
                self.assertNotIn("Error", self.checked(target, data), target.name)

    def test_the_corpus(self) -> None:
        for target in TARGETS:
            inputs = corpus.load(target.name)
            self.assertGreater(len(inputs), 2, target.name)
            for data in inputs:
                self.checked(target, bytes.fromhex(data))


def _add(target: Target) -> None:
    def test(self: FuzzTests) -> None:
        self.fuzz(target.name)

    setattr(FuzzTests, f"test_{target.name.replace('-', '_')}", test)


for _target in TARGETS:
    _add(_target)
