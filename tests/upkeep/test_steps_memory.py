"""The memory that the settings may need, and the one that a control group gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from examples.operate import sizing
from lfsproxy.settings import Settings
from lfsproxy.upkeep.steps.memory import MIB, memory_limit, memory_needed

VERSION_1_NONE = 9223372036854771712


class NeededTests(SynchronousTestCase):
    def test_it_is_what_the_page_adds_up(self) -> None:
        each: tuple[dict[str, Any], ...] = (
            {},
            {"workers": 2, "upload_memory": 256 * MIB},
            {"max_passthrough_size": MIB},
            {"s3_part_size": 32 * MIB, "max_passthrough_size": 32 * MIB, "upload_memory": 999 * MIB},
        )
        for given in each:
            shown = sum(sizing.terms(**{**sizing.inputs, **given}).values())
            self.assertEqual(memory_needed(Settings(**given)), shown, given)


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp())

    def limit(self, *files: tuple[str, str]) -> tuple[int, str] | None:
        for name, text in files:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return memory_limit(self.root)

    def assert_group(self, size: int, *files: tuple[str, str]) -> None:
        self.assertEqual(self.limit(*files), (size, "the control group allows"))

    def test_a_container_s_own(self) -> None:
        own = "sys/fs/cgroup/memory.max"
        self.assert_group(512 * MIB, ("proc/self/cgroup", "0::/\n"), (own, "536870912\n"))
        # Without a namespace of its own a container knows its group by the name that the host has for it.
        self.assert_group(7000, ("proc/self/cgroup", "0::/kubepods/pod1\n"), (own, "7000\n"))

    def test_the_least_of_a_service_and_of_what_is_around_it(self) -> None:
        slices = "sys/fs/cgroup/system.slice"
        self.assert_group(
            1000,
            ("proc/self/cgroup", "0::/system.slice/lfsproxy.service\n"),
            (f"{slices}/lfsproxy.service/memory.max", "max\n"),
            (f"{slices}/memory.max", "1000\n"),
        )
        self.assert_group(900, (f"{slices}/lfsproxy.service/memory.max", "900\n"))

    def test_version_1(self) -> None:
        groups = "sys/fs/cgroup/memory"
        files = f"{groups}/memory.limit_in_bytes"
        self.assert_group(2000, ("proc/self/cgroup", "9:memory:/x\n3:cpu:/y\n"), (files, "2000\n"))
        self.assertIsNone(self.limit((files, f"{VERSION_1_NONE}\n")))
        self.assertIsNone(self.limit((f"{groups}/y/memory.limit_in_bytes", "10\n")))
        self.assert_group(1500, (f"{groups}/x/memory.limit_in_bytes", "1500\n"))

    def test_the_machine(self) -> None:
        self.assertEqual(
            self.limit(("proc/meminfo", "MemTotal:       1024 kB\nMemFree:        12 kB\n")),
            (MIB, "this machine has"),
        )
        self.assert_group(1000, ("sys/fs/cgroup/memory.max", "1000\n"))
        self.assertEqual(self.limit(("sys/fs/cgroup/memory.max", f"{2 * MIB}\n")), (MIB, "this machine has"))

    def test_none(self) -> None:
        self.assertIsNone(memory_limit(self.root))
        self.assertIsNone(self.limit(("proc/self/cgroup", "0::/\n")))
        self.assertIsNone(self.limit(("sys/fs/cgroup/memory.max", "max\n")))
