"""Which process of a suite runs which of its modules: each takes the next one that nobody has.

A claim is a file in a folder that the processes share: whoever removes it has its modules.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import tests

PACKAGES = {"sdks": "tests.sdks", "integration": "tests.integration"}
"""Where the tests of a suite are; all the others are the unit tests."""

LONGEST = (
    "tests.integration.test_without_sdk_java",
    "tests.integration.hydration.test_readers",
    "tests.integration.test_faults",
)
"""These begin, so that none is left to one process at the end."""

TOGETHER = (
    # Maven's local repository is not made for two at a time.
    (
        "tests.integration.test_without_sdk_java",
        "tests.integration.test_java_connect",
        "tests.integration.test_java_pages",
        "tests.integration.test_sdks",
    ),
    # They build in the clone.
    (
        "tests.integration.test_examples_go",
        "tests.integration.test_examples_js",
        "tests.integration.test_examples_python",
        "tests.integration.test_python_distribution",
        "tests.integration.test_readme",
    ),
    # They share three brokers, which each process would start for itself.
    (
        "tests.integration.test_cluster",
        "tests.integration.test_groups",
        "tests.integration.test_hung_brokers",
        "tests.integration.test_share_groups",
        "tests.integration.test_share_librdkafka",
        "tests.integration.test_share_stall",
    ),
)
"""Modules of one process, one after the other."""


def modules_of(suite: str) -> list[str]:
    """Every module of the suite that has tests, by name."""
    found = [
        module.name
        for module in pkgutil.walk_packages(tests.__path__, f"{tests.__name__}.")
        if module.name.rpartition(".")[2].startswith("test_")
    ]
    if suite in PACKAGES:
        return [name for name in found if name.startswith(f"{PACKAGES[suite]}.")]
    others = tuple(f"{package}." for package in PACKAGES.values())
    return [name for name in found if not name.startswith(others)]


def grouped(modules: Sequence[str]) -> list[list[str]]:
    """What one process takes at a time, in the order in which it is offered."""
    groups = [[name for name in each if name in modules] for each in TOGETHER]
    in_groups = {name for group in groups for name in group}
    groups += [[name] for name in modules if name not in in_groups]
    return sorted((group for group in groups if group), key=lambda group: not set(group) & set(LONGEST))


def offer(suite: str, folder: Path) -> None:
    """Write the claims of a suite."""
    for number, group in enumerate(grouped(modules_of(suite))):
        (folder / f"{number:04}").write_text("\n".join(group))


def claimed(folder: Path) -> Iterator[str]:
    """The modules that this process has, each when the one before was run."""
    for file in sorted(folder.iterdir()):
        group = _take(file)
        yield from group


def _take(file: Path) -> list[str]:
    try:
        text = file.read_text()
        file.unlink()
    except FileNotFoundError:
        return []
    return text.split()
