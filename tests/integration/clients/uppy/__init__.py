"""Uppy, the upload widget of web pages, in one script for a page: made of its npm packages by esbuild."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from unittest import SkipTest

FOLDER = Path(__file__).parent
SECONDS = 100


@functools.cache
def bundle() -> bytes:
    """page.js with all that it imports. Raises SkipTest where node or npm is missing."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise SkipTest(f"{program} is not installed: Uppy was not tested")
    with tempfile.TemporaryDirectory(prefix="lfsproxy-uppy-") as folder:
        for name in ("package.json", "package-lock.json", "page.js"):
            shutil.copy(FOLDER / name, folder)
        _run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict=false")
        _run(
            folder,
            "node_modules/.bin/esbuild",
            "page.js",
            "--bundle",
            "--outfile=out.js",
            "--log-level=error",
        )
        return Path(folder, "out.js").read_bytes()


def _run(folder: str, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stderr}")
