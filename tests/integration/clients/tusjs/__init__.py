"""tus-js-client in a Node process, a tus client that nobody here wrote."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

FOLDER = Path(__file__).parent
INSTALL_SECONDS = 100

_folder = tempfile.TemporaryDirectory(prefix="lfsproxy-tusjs-")


@functools.cache
def install() -> Path:
    """The folder of upload.js with its packages. Raises SkipTest where node or npm is missing."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise SkipTest(f"{program} is not installed: tus-js-client was not tested")
    folder = Path(_folder.name)
    for name in ("package.json", "package-lock.json", "upload.js"):
        shutil.copy(FOLDER / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode:
        raise AssertionError(f"npm ci failed:\n{done.stderr}")
    return folder


class TusJs:
    """One upload by ``node upload.js``. Everything blocks."""

    def __init__(self, endpoint: str, file: Path, upload_url: str | None = None) -> None:
        command = ["node", "upload.js", endpoint, str(file.absolute())]
        self._process = subprocess.Popen(
            [*command, *([upload_url] if upload_url else [])],
            cwd=install(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> Iterator[dict[str, Any]]:
        """What it says, line by line, until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield json.loads(line)

    def next(self, name: str) -> Any:
        """The next thing of that name that it says."""
        for said in self.said():
            if name in said:
                return said[name]
        raise AssertionError(f"tus-js-client ended without {name}")

    def kill(self) -> None:
        """SIGKILL; no harm where it has ended."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
