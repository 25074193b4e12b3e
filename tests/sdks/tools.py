"""The programs that a language's tests need: a language without them is skipped by name, or demanded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from unittest import SkipTest

DEMANDED = "LFS_TEST_ALL_SDKS"
"""Set by ``make test-sdks``: then a language without its tools is a failure."""


def require_tools(library: str, tools: Sequence[str]) -> None:
    """Raise SkipTest where one of the programs is not on PATH; AssertionError where all are demanded."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not missing:
        return
    why = f"the {library} library is NOT TESTED: {', '.join(missing)} not on PATH"
    if os.environ.get(DEMANDED):
        raise AssertionError(why)
    raise SkipTest(why)
