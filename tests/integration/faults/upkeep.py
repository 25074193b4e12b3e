"""``lfsproxy gc`` and ``fsck`` behind all faults: every orphan is found and goes, nothing dangles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import attrs

from tests.integration.faults.scene import Scene
from tests.integration.storm.bucket import ghosts, look
from tests.integration.storm.run import clean_up

COMMAND = [sys.executable, "-c", "from lfsproxy.cli.main import main; main()"]
AGE = 1
"""Seconds behind the last upload at which gc may remove something."""
SECONDS = 600


@attrs.frozen
class Left:
    """Blobs that no record names, and unfinished multipart uploads, as the tests see them."""

    blobs: frozenset[str]
    unfinished: frozenset[str]

    @property
    def count(self) -> int:
        """Both."""
        return len(self.blobs) + len(self.unfinished)


@attrs.frozen
class Upkeep:
    """What gc found and removed, and what was there ``before`` and ``after`` it; what fsck looked at.
    ``ghosts`` are unfinished uploads that the store lists and does not have."""

    before: Left
    after: Left
    looked: dict[str, Any]
    deleted: dict[str, Any]
    fsck: dict[str, Any]
    ghosts: int = 0

    @property
    def broken(self) -> list[str]:
        """What is not as it should be."""
        found = (self.looked["orphans"], self.looked["uploads"])
        there = (len(self.before.blobs), len(self.before.unfinished) + self.ghosts)
        removed = (self.deleted["deleted"], self.deleted["aborted"])
        said = []
        if found != there:
            said.append(f"gc finds {found} blobs and uploads, there are {there}")
        if removed != found:
            said.append(f"gc finds {found} blobs and uploads, and removes {removed}")
        if self.after.count:
            said.append(f"gc leaves {sorted(self.after.blobs | self.after.unfinished)}")
        said += [f"fsck: {each}" for each in self.fsck["findings"]]
        if self.fsck["unread"]:
            said.append(f"fsck could not read {self.fsck['unread']} partitions to their end")
        return said


def clean(scene: Scene, named: frozenset[str]) -> Upkeep:
    """Have resumable uploads expire, then run both commands. ``named`` are the blobs that records name."""
    clean_up(scene.servers, [scene.proxy])
    before = left(scene, named)
    unreal = ghosts(scene.servers.s3, scene.servers.s3_client(), scene.servers.bucket)
    # The store's clock tells whole seconds.
    time.sleep(AGE + 1.1)
    grace = ["gc", "--min-age", f"{AGE}s", "--unsafe"]
    looked = _run(scene, *grace)
    deleted = _run(scene, *grace, "--delete", "--yes")
    fsck = _run(scene, "fsck", "--verify")
    return Upkeep(before, left(scene, named), looked, deleted, fsck, unreal)


def left(scene: Scene, named: frozenset[str]) -> Left:
    """What is there now."""
    seen = look(scene.servers.s3, scene.servers.s3_client(), scene.servers.bucket)
    return Left(frozenset(seen.blobs) - named, frozenset(seen.unfinished))


def _run(scene: Scene, *arguments: str) -> dict[str, Any]:
    """The summary of a command, past the links."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
    done = subprocess.run(
        [*COMMAND, *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**inherited, **scene.servers.environment},
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
