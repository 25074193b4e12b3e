"""The container: what hadolint says of its Dockerfile, its lock, and its steps run in a clean root."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.devstack.ports import free_port
from tests.deploy.root import CleanRoot, Instruction, instructions

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
LOCK = ROOT / "deploy" / "requirements.lock"
START_SECONDS = 60


class FileTests(SynchronousTestCase):
    def test_hadolint_has_nothing_to_say(self) -> None:
        tool = Path(sys.executable).with_name("hadolint")
        done = subprocess.run([tool, DOCKERFILE], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_the_lock_has_the_versions_that_the_tests_run_with(self) -> None:
        pinned = re.findall(r"^([\w.-]+)==(\S+) \\$", LOCK.read_text(), re.M)
        constraints = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
        known = {
            name.lower().replace("_", "-").replace(".", "-"): value for name, value in constraints.items()
        }
        self.assertTrue(pinned)
        self.assertEqual([pin for pin in pinned if known.get(pin[0]) != pin[1]], [], "run make lock")

    def test_the_lock_has_a_hash_for_every_package(self) -> None:
        blocks = re.split(r"\n(?=\S)", LOCK.read_text().strip())[1:]
        self.assertTrue(blocks)
        self.assertEqual([block for block in blocks if "--hash=sha256:" not in block], [])

    def test_the_lock_has_everything_that_the_proxy_needs(self) -> None:
        text = (ROOT / "setup.cfg").read_text()
        [needed] = re.findall(r"^install_requires =\n((?:    .*\n)+)", text, re.M)
        wanted = set(re.findall(r"^    ([\w.-]+)", needed, re.M))
        locked = set(re.findall(r"^([\w.-]+)==", LOCK.read_text(), re.M))
        self.assertEqual({name.lower().replace(".", "-") for name in wanted} - locked, set())


class StepsTests(SynchronousTestCase):
    def test_the_steps_make_a_proxy_that_runs_without_rights(self) -> None:
        CleanRoot.require()
        build, last = self.stages()
        folder = Path(self.mktemp())
        root = CleanRoot(folder / "root")
        for each in build:
            self.step(root, each)
        for each in last:
            if each.name in ("ENV", "USER"):
                self.step(root, each)
        self.assertNotIn("setuptools", root.run("ls /opt/lfsproxy/lib/python*/site-packages"))
        self.serves(root, last)

    def stages(self) -> tuple[list[Instruction], list[Instruction]]:
        """The instructions of the two stages."""
        found = instructions(DOCKERFILE.read_text())
        starts = [number for number, each in enumerate(found) if each.name == "FROM"]
        self.assertEqual(len(starts), 2)
        return found[starts[0] + 1 : starts[1]], found[starts[1] + 1 :]

    def step(self, root: CleanRoot, each: Instruction) -> None:
        """Carry out one instruction; the working folder is /source, as the file says first."""
        if each.name == "RUN":
            root.run(each.value, "/source")
        elif each.name == "COPY":
            *sources, target = each.value.split()
            if target == "./" or len(sources) > 1:
                target = "/source/"
            for source in sources:
                root.copy(ROOT / source, target if target.startswith("/") else f"/source/{target}")
        elif each.name == "ENV":
            root.variables |= dict(re.findall(r"(\w+)=(\S+)", each.value))
        elif each.name == "USER":
            root.user = each.value
        else:
            self.assertEqual((each.name, each.value), ("WORKDIR", "/source"))
            (root.folder / "source").mkdir()

    def serves(self, root: CleanRoot, last: list[Instruction]) -> None:
        """The image's own command starts a proxy that the image's own check finds healthy."""
        [entry] = [json.loads(each.value) for each in last if each.name == "ENTRYPOINT"]
        [check] = [each.value.partition("CMD ")[2] for each in last if each.name == "HEALTHCHECK"]
        http, metrics, kafka = (free_port() for _ in range(3))
        root.variables |= {
            "LFS_HTTP_ADDR": f"127.0.0.1:{http}",
            "LFS_METRICS_ADDR": f"127.0.0.1:{metrics}",
            "LFS_KAFKA_ADDR": f"127.0.0.1:{kafka}",
            # Nobody is there: alive does not mean ready.
            "LFS_KAFKA_BROKERS": "127.0.0.1:1",
            "LFS_S3_ENDPOINT": "http://127.0.0.1:1",
        }
        asked = shlex.join(json.loads(check))
        process = subprocess.Popen(
            root.command(f"exec {shlex.join(entry)}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            self.wait_until_healthy(root, asked, process)
        finally:
            process.terminate()
            said = process.communicate(timeout=START_SECONDS)[0]
        self.assertEqual(process.returncode, 0, said)

    def wait_until_healthy(self, root: CleanRoot, check: str, process: subprocess.Popen[str]) -> None:
        """Ask as Docker does until the answer is good."""
        end = time.monotonic() + START_SECONDS
        while True:
            self.assertIsNone(process.poll(), "the proxy has ended")
            done = subprocess.run(root.command(check), capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            self.assertLess(time.monotonic(), end, done.stdout + done.stderr)
