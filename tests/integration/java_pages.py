"""The Java pages as a reader follows them: from empty folders, by their own commands and programs.

    place = await in_thread(java_place)              # once per run: the first commands of docs/sdk/java.md
    place.run(command_of(JAVA_PAGE, "=Upload"), ...)  # a block of the page, in the reader's project

The pages' addresses are those of the demo; the tests' servers stand in their place (``demo_addresses``), and
a copy of sdk/java in that of ``git clone``. What Maven installs goes to a copy of this machine's repository,
so that nothing is found there but what the commands have put there. All functions block.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import attrs

from tests.docs.blocks import ROOT, blocks_of
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import Stack

JAVA_PAGE = ROOT / "docs/sdk/java.md"
CONNECT_PAGE = ROOT / "docs/how-to/kafka-connect.md"
TOOLS = ("mvn", "javac")
SECONDS = 600
"""For one block: on a new machine Maven downloads first."""

_EXAMPLES = "examples/java/"


def command_of(page: Path, part: str) -> str:
    """The one block of commands that has ``part`` in it."""
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    (found,) = [block.code for block in blocks if block.language == "sh" and part in block.code]
    return found


def demo_addresses(servers: Stack, proxy: ProxyProcess) -> dict[str, str]:
    """What stands on the pages, and what the tests have in its place."""
    return {
        "http://localhost:8080": proxy.http,
        "localhost:8080": proxy.http.removeprefix("http://"),
        "localhost:19092": proxy.bootstrap,
        "localhost:9092": servers.kafka.bootstrap,
        "http://localhost:9000": servers.s3.endpoint,
        "AWS_ACCESS_KEY_ID=minioadmin": f"AWS_ACCESS_KEY_ID={servers.s3.access_key}",
        "AWS_SECRET_ACCESS_KEY=minioadmin": f"AWS_SECRET_ACCESS_KEY={servers.s3.secret_key}",
    }


@attrs.frozen
class Place:
    """A folder with the checkout ``lfsproxy`` and beside it the reader's project ``my-app``."""

    folder: Path

    @property
    def project(self) -> Path:
        """The reader's project."""
        return self.folder / "my-app"

    def environment(self, heap: str = "512m") -> dict[str, str]:
        """This machine's, without what points to other servers. Programs run in Maven's own ``heap``."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_", "KAFKA_"))}
        options = (
            f"-Xmx{heap} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dmaven.repo.local={self.folder / 'm2'}"
        )
        return {**inherited, "MAVEN_OPTS": options, "AWS_EC2_METADATA_DISABLED": "true"}

    def run(
        self,
        commands: str,
        where: Path | None = None,
        *,
        instead: Mapping[str, str] | None = None,
        heap: str = "512m",
    ) -> str:
        """Run commands in the project, or ``where``, and return what they wrote.

        ``instead`` is what to put in the place of parts that must be there. Raises AssertionError where a
        command fails.
        """
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", replaced(commands, instead or {})],
            cwd=where or self.project,
            env=self.environment(heap),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{commands}ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout


def replaced(text: str, instead: Mapping[str, str]) -> str:
    """The text with other addresses."""
    for old, new in instead.items():
        text = text.replace(old, new)
    return text


def without_clone(commands: str) -> str:
    """The commands without the ``git clone`` that a copy has made unnecessary. It must be the first."""
    first, _, others = commands.partition("\n")
    if not first.startswith("git clone https://") or not first.endswith("/lfsproxy.git"):
        raise AssertionError(f"the page does not begin with a clone of the repository: {first}")
    return others


_making = threading.Lock()
_made: list[Place] = []
_folder = tempfile.TemporaryDirectory(prefix="lfsproxy-java-")


def java_place() -> Place:
    """The folder as it is after the section "From a checkout", made by the first call of the run."""
    with _making:
        if not _made:
            place = Place(Path(_folder.name))
            _copy_repository(place.folder / "m2")
            target = shutil.ignore_patterns("target")
            shutil.copytree(ROOT / "sdk/java", place.folder / "lfsproxy/sdk/java", ignore=target)
            place.run(without_clone(command_of(JAVA_PAGE, "git clone")), place.folder)
            for block in blocks_of(JAVA_PAGE.read_text(encoding="utf-8")):
                if block.file is not None:
                    (place.project / block.file.removeprefix(_EXAMPLES)).write_text(block.code)
            _made.append(place)
    return _made[0]


def _copy_repository(to: Path) -> None:
    known = Path.home() / ".m2/repository"
    if known.exists():
        unfinished = shutil.ignore_patterns("lfsproxy", "*.part", "*.tmp", "*.lock")
        shutil.copytree(known, to, ignore=unfinished)
