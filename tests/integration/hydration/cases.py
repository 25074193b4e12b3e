"""What the tests of hydration share: the random logs of the run, and where they are read.

LFS_TEST_HYDRATION_SEEDS has the seeds, with commas in between; one where it is not set.
"""

from __future__ import annotations

import os
from typing import Final

from twisted.trial.unittest import TestCase

from tests.integration.hydration.logs import written_log
from tests.integration.hydration.model import Log
from tests.integration.proxy import shared_proxy
from tests.integration.stack import stack

CHOSEN: Final = os.environ.get("LFS_TEST_HYDRATION_SEEDS", "")
SEEDS: Final = [int(seed) for seed in (CHOSEN or "3").split(",")]

_logs: dict[int, Log] = {}


async def log_of(seed: int) -> Log:
    """The log of a seed, written by whoever asks first."""
    if seed not in _logs:
        _logs[seed] = await written_log(await stack(), seed)
    return _logs[seed]


class LogTestCase(TestCase):
    """Tests that read the logs at ``bootstrap``: the broker itself, unless a subclass says otherwise."""

    timeout = 600
    hydrated = False

    async def bootstrap(self) -> str:
        """Where the clients begin."""
        return (await stack()).kafka.bootstrap


class Relayed:
    """Through a proxy that hydrates nothing."""

    hydrated = False

    async def bootstrap(self) -> str:
        return (await shared_proxy()).bootstrap


class Hydrated:
    """Through a proxy that hydrates every topic."""

    hydrated = True

    async def bootstrap(self) -> str:
        return (await shared_proxy(LFS_HYDRATE_TOPICS="*")).bootstrap
