"""What the tests of the Kafka door share: looking again until something is so, and what must not stay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.integration.clients.python import read_topic
from tests.integration.clients.records import Record
from tests.integration.http_door import keys_below
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import Stack, in_thread

T = TypeVar("T")

POLL = 0.1
SECONDS = 30


def wait_for(look: Callable[[], T], is_right: Callable[[T], bool] = bool, seconds: float = SECONDS) -> T:
    """Look again until what is seen is right; returns that. Blocks. Raises AssertionError in the end."""
    deadline = time.monotonic() + seconds
    while not is_right(seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {seen!r:.2000} after {seconds} s")
        time.sleep(POLL)
    return seen


async def at_once(*functions: Callable[[], T]) -> list[T]:
    """Run blocking functions beside each other; their results in order. Waits for all, also if one fails."""
    running: list[Deferred[T]] = [in_thread(function) for function in functions]
    for each in running:
        await _ended(each)
    return list(await gatherResults(running))


def _ended(deferred: Deferred[Any]) -> Deferred[None]:
    over: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        over.callback(None)
        return result

    deferred.addBoth(pass_on)
    return over


class KafkaDoorTestCase(TestCase):
    """Tests with real clients through a proxy process; ``servers`` and ``proxy`` are set by ``setUp``."""

    timeout = 120
    servers: Stack
    proxy: ProxyProcess

    def values(self, topic: str) -> list[bytes | None]:
        """Every record's value, read from Kafka itself. Blocks."""
        return [record.value for record in self.records(topic)]

    def records(self, topic: str, isolation: str = "read_uncommitted") -> Sequence[Record]:
        """Every record, read from Kafka itself, also those of aborted transactions. Blocks."""
        return read_topic(self.servers.kafka.bootstrap, topic, isolation=isolation)

    async def assert_nothing_left(self, topic: str) -> None:
        """No object and no unfinished upload of the topic is in S3, or soon is not any more."""
        await in_thread(wait_for, lambda: keys_below(self.servers, topic), lambda keys: not keys)
