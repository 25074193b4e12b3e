"""Requests that are at work side by side do not make Python look at all objects again and again."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cycles import OBJECTS, collect_seldom
from lfsproxy.log.file import Log
from lfsproxy.settings import Settings
from lfsproxy.tap import Process
from lfsproxy.workers.boot import Boot
from lfsproxy.workers.worker import Worker

MANY = 200_000
"""Objects of a thousand requests, about."""


class CollectSeldomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(700, 10, 10)
        self.looks = 0

    def look(self, phase: str, info: Mapping[str, int]) -> None:
        self.looks += phase == "start"

    def make_many(self) -> list[list[object]]:
        """Objects that stay alive side by side."""
        gc.callbacks.append(self.look)
        self.addCleanup(gc.callbacks.remove, self.look)
        return [[] for _ in range(MANY)]

    def test_objects_that_stay_alive_are_looked_at_seldom(self) -> None:
        collect_seldom()
        self.make_many()
        self.assertLessEqual(self.looks, MANY // OBJECTS + 1)

    def test_by_default_it_is_ten_times_as_often(self) -> None:
        self.make_many()
        self.assertGreaterEqual(self.looks, 10 * (MANY // OBJECTS))

    def test_cycles_are_still_found(self) -> None:
        collect_seldom()
        gc.collect()
        gc.callbacks.append(self.collected)
        self.addCleanup(gc.callbacks.remove, self.collected)
        self.found = 0
        for _ in range(3 * OBJECTS):
            cycle: list[object] = []
            cycle.append(cycle)
        self.assertGreaterEqual(self.found, OBJECTS)

    def collected(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "stop":
            self.found += info["collected"]


class StartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(700, 10, 10)

    def test_the_one_process_of_the_proxy(self) -> None:
        process = Process(cast(Any, MemoryReactorClock()), cast(Any, Service()))
        process.startService()
        self.assertEqual(gc.get_threshold()[0], OBJECTS)

    def test_each_worker(self) -> None:
        worker = Worker(None, Boot(0, 2, Settings(), self.mktemp()), Log("info", lambda event: None))  # type: ignore[arg-type]
        worker._control.transport = StringTransport()
        worker._start()
        # Its folder is missing; that ends it.
        self.flushLoggedErrors(FileNotFoundError)
        self.assertEqual(gc.get_threshold()[0], OBJECTS)
