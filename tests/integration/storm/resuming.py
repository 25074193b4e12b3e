"""tus clients of a storm: many uploads, and what could not be ended in the storm is ended behind it."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import attrs

from tests.integration.proxy import ProxyProcess
from tests.integration.storm.notes import KIB, MIB, Door, Journal, Publishes, payload
from tests.integration.storm.uploads import LONG, Plan, Upload

SIZES = (30 * KIB, 30 * KIB, 30 * KIB, MIB, 8 * MIB, 17 * MIB)
"""The last two have parts, of LFS_S3_PART_SIZE."""
PLANS = (Plan.PUBLISH,) * 6 + (
    Plan.PUBLISH_AT_ONCE,
    Plan.DELETE_MIDWAY,
    Plan.DELETE_AT_ONCE,
    Plan.DELETE_AFTER,
)
PATIENCE = 15
"""Seconds for which an upload is tried before it is left for later."""
AT_ONCE = 16


@attrs.define(eq=False)
class TusClient:
    """One upload after the other until ``over``; ``later`` are those that have not come to an end."""

    name: str
    proxies: Sequence[ProxyProcess]
    journal: Journal
    random: Random
    over: threading.Event
    publishes: Publishes
    later: list[Upload] = attrs.field(factory=list)

    def run(self) -> None:
        """Blocks."""
        for number in itertools.count():
            upload = self._new(f"{self.name}-{number}")
            deadline = time.monotonic() + PATIENCE
            upload.go_on(lambda end=deadline: self.over.is_set() or time.monotonic() > end)  # type: ignore[misc]
            if not upload.done and upload.path:
                self.later.append(upload)
            if self.over.is_set():
                break

    def _new(self, key: str) -> Upload:
        size, plan = self.random.choice(SIZES), self.random.choice(PLANS)
        digest = hashlib.sha256(payload(key, size)).hexdigest()
        note = self.journal.note(Door.TUS, Door.TUS.value, key, digest, size)
        replica = self.random.randrange(len(self.proxies))
        return Upload(note, plan, self.proxies, self.journal, self.random, self.publishes, replica=replica)


def settle(uploads: Iterable[Upload], seconds: float) -> list[Upload]:
    """Go on with all of them, now that every server stays; those that have come to no end in this time."""
    waiting = list(uploads)
    deadline = time.monotonic() + seconds

    def go_on(upload: Upload) -> None:
        upload.timeout = min(LONG, seconds)
        upload.go_on(lambda: time.monotonic() > deadline)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(go_on, waiting))
    return [upload for upload in waiting if not upload.done]
