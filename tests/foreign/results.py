"""What came of a client's tests, straight and through the proxy, and how the two differ. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from xml.etree import ElementTree

PASSED: Final = "passed"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
UNFINISHED: Final = "not finished"

STATES: Final = (PASSED, FAILED, SKIPPED, UNFINISHED)
_OF_GO: Final = {"pass": PASSED, "fail": FAILED, "skip": SKIPPED, "run": UNFINISHED}
_OF_JUNIT: Final = {"failure": FAILED, "error": FAILED, "skipped": SKIPPED}


class NoResultsError(Exception):
    """No test ran: a program that was not built, or a selection of nothing."""


def of_go(lines: Iterable[str]) -> dict[str, str]:
    """Each test and subtest with its state, from ``go test -json``. Raises NoResultsError.

    A test whose end is not told was running when the program ended. Lines of another kind, such as a
    compiler's, are passed over. Source: cmd/test2json.
    """
    states = dict[str, str]()
    for line in lines:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "Test" in event and event["Action"] in _OF_GO:
            states[event["Test"]] = _OF_GO[event["Action"]]
    return _some(states)


def of_junit(text: str) -> dict[str, str]:
    """Each test with its state, from the JUnit XML that pytest writes. Raises NoResultsError."""
    states = dict[str, str]()
    for case in ElementTree.fromstring(text).iter("testcase"):
        # pytest writes a test twice where its teardown failed, too: the worse counts.
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        state = next((_OF_JUNIT[child.tag] for child in case if child.tag in _OF_JUNIT), PASSED)
        states[name] = FAILED if states.get(name) == FAILED else state
    return _some(states)


def _some(states: dict[str, str]) -> dict[str, str]:
    if not states:
        raise NoResultsError("no test ran")
    return states


def table(straight: Mapping[str, str], through: Mapping[str, str]) -> Iterator[str]:
    """Lines of text: the counts of both, then each test that is not the same or that does not pass."""
    yield f"{'':18}" + "".join(f"{state:>14}" for state in STATES)
    for name, states in (("straight", straight), ("through the proxy", through)):
        counts = [sum(each == state for each in states.values()) for state in STATES]
        yield f"{name:18}" + "".join(f"{count:14}" for count in counts)
    for test in sorted(straight.keys() | through.keys()):
        both = straight.get(test, "not run"), through.get(test, "not run")
        if both[0] != both[1]:
            yield f"DIFFERS: {test}: {both[0]} straight, {both[1]} through the proxy"
        elif both[0] != PASSED:
            yield f"{both[0]} both ways: {test}"


def lost(straight: Mapping[str, str], through: Mapping[str, str]) -> list[str]:
    """The tests that pass straight and not through the proxy."""
    return [test for test, state in straight.items() if state == PASSED and through.get(test) != PASSED]
