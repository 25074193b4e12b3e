"""``pip install lfsproxy-client`` in a fresh environment: what comes with it, and that it reads a blob.

The wheel is built from sdk/python; what it needs comes from the package index.
"""

from __future__ import annotations

import ast
import configparser
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from twisted.trial.unittest import TestCase

from tests.client.test_sources import DATA, VALUE, start_store
from tests.integration.stack import in_thread

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "sdk" / "python"
EXTRA = {
    "lfsproxy.cuttable": "twisted",
    "lfsproxy.ending": "twisted",
    "lfsproxy.uncompressed": "twisted",
    "lfsproxy.client.confluent": "confluent",
    "lfsproxy.client.kafka_python": "kafka-python",
    "lfsproxy.client.opentelemetry": "opentelemetry",
    "lfsproxy.client.prometheus": "prometheus",
    "lfsproxy.client.tx": "twisted",
    "lfsproxy.client.tx_body": "twisted",
    "lfsproxy.client.tx_fetch": "twisted",
    "lfsproxy.client.tx_http": "twisted",
    "lfsproxy.client.tx_read": "twisted",
    "lfsproxy.client.tx_stop": "twisted",
    "lfsproxy.client.tx_upload": "twisted",
}
"""Modules that need an extra, and which."""

DISTRIBUTIONS = {
    "attrs",
    "botocore",
    "jmespath",
    "lfsproxy-client",
    "python-dateutil",
    "six",
    "txaio",
    "urllib3",
}

READ = """
import asyncio, sys
from lfsproxy.client import BlobReader, aio, static_credentials

endpoint, value = sys.argv[1], sys.argv[2].encode()
options = {"endpoint": endpoint, "path_style": True, "credentials": static_credentials("key", "secret")}
with BlobReader("kafscale", **options) as reader:
    print(len(reader.fetch(value)))


async def main():
    async with aio.BlobReader("kafscale", **options) as reader:
        print(len(await reader.fetch(value)))


asyncio.run(main())
"""


def imported(module: str) -> set[str]:
    """Modules of ours that a module imports, those of the client aside."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
        found |= {name for name in names if name.startswith("lfsproxy.")}
    return {name for name in found if not name.startswith("lfsproxy.client")}


def needed() -> set[str]:
    """All that the client imports, from one module to the next."""
    found: set[str] = set()
    left = {f"lfsproxy.client.{path.stem}" for path in (ROOT / "lfsproxy/client").glob("*.py")}
    while left:
        found |= left
        left = set().union(*map(imported, left)) - found
    return found


class DistributionTests(TestCase):
    timeout = 600

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LFS_", "PYTHON"))}
        self.environment = {**inherited, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}

    async def run_in(self, *command: str | Path) -> str:
        def run() -> str:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}:\n{done.stdout}"
            return done.stdout

        return await in_thread(run)

    async def wheel(self, source: Path) -> Path:
        await self.run_in(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", self.folder, source),
        )
        [wheel] = self.folder.glob("*.whl")
        return wheel

    async def test_the_wheel_has_what_the_client_imports_and_nothing_else(self) -> None:
        names = ZipFile(await self.wheel(PROJECT)).namelist()
        modules = {name.removesuffix(".py").replace("/", ".") for name in names if name.endswith(".py")}
        self.assertEqual(modules, needed() | {"lfsproxy.__init__", "lfsproxy.s3.__init__"})
        self.assertIn("lfsproxy/py.typed", names)

    async def test_a_source_distribution_gives_the_same_wheel(self) -> None:
        build = "from setuptools import build_meta; import os; os.chdir({!r}); build_meta.build_sdist({!r})"
        await self.run_in(sys.executable, "-c", build.format(str(PROJECT), str(self.folder)))
        [archive] = self.folder.glob("*.tar.gz")
        there = {each for each in ZipFile(await self.wheel(archive)).namelist() if each.endswith(".py")}
        (self.folder / "own").mkdir()
        self.folder = self.folder / "own"
        here = {each for each in ZipFile(await self.wheel(PROJECT)).namelist() if each.endswith(".py")}
        self.assertEqual(there, here)

    async def test_a_fresh_environment(self) -> None:
        wheel = await self.wheel(PROJECT)
        python = self.folder / "venv" / "bin" / "python"
        await in_thread(venv.create, self.folder / "venv", symlinks=True)
        install = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")
        await self.run_in(*install, "install", "--quiet", wheel)
        listed = await self.run_in(*install, "list", "--format=freeze")
        self.assertEqual({line.partition("==")[0].lower() for line in listed.split()}, DISTRIBUTIONS)
        modules = sorted(name for name in needed() if name not in EXTRA and not name.endswith("__init__"))
        await self.run_in(python, "-c", f"import {', '.join(modules)}")
        for module, extra in EXTRA.items():
            program = f"import {module}"
            with self.assertRaises(AssertionError, msg=f"{module} needs no {extra}"):
                await self.run_in(python, "-c", program)
        read = await self.run_in(python, "-c", READ, start_store(self).url, VALUE.decode())
        self.assertEqual(read.split(), [str(len(DATA))] * 2)

    def test_both_distributions_say_the_same_of_what_they_share(self) -> None:
        whole, client = (configparser.ConfigParser(interpolation=None) for _ in range(2))
        whole.read(ROOT / "setup.cfg")
        client.read(PROJECT / "setup.cfg")

        def requirements(given: Any) -> set[str]:
            return set(given["options"]["install_requires"].split())

        self.assertEqual(whole["metadata"]["version"], client["metadata"]["version"])
        self.assertEqual(whole["options"]["python_requires"], client["options"]["python_requires"])
        self.assertEqual(requirements(client) - requirements(whole), set())
        extras = set(client["options.extras_require"])
        self.assertEqual(extras, {*EXTRA.values(), "aiokafka"})
