"""Commands that come by ``go install``: made once, and kept in the cache of downloads."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from lfsproxy.devstack.cache import cache_folder

INSTALL_SECONDS = 900


def go_tool(name: str, version: str, package: str, command: str, without: str) -> Path:
    """A ``command`` of a Go package, in the folder of its ``name`` and ``version``.

    Raises SkipTest, which says what the tests are ``without`` it, where Go is not on PATH either.
    """
    folder = cache_folder() / "tools" / f"{name}-{version}"
    if not (folder / command).exists():
        if shutil.which("go") is None:
            raise SkipTest(without)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["go", "install", f"{package}@{version}"],
            env={**os.environ, "GOBIN": str(folder)},
            check=True,
            capture_output=True,
            timeout=INSTALL_SECONDS,
        )
    return folder / command
