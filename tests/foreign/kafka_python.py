"""kafka-python's own integration tests, as its source distribution has them.

Those that start a broker of their own (for TLS and sign-ins) are left out.
"""

from __future__ import annotations

import os
import sys
import tarfile
from pathlib import Path
from typing import Final

import attrs
import click

from tests.foreign.programs import output_of, run
from tests.foreign.results import of_junit
from tests.foreign.servers import Addresses

VERSION: Final = "3.0.12"
_KNOWN: Final = "4.3"
"""The newest release of Kafka that it knows."""
_HANGS: Final = 300
"""Seconds that one test may take, as in its own options."""
_OWN_BROKERS: Final = ("test_ssl_integration.py", "test_sasl_integration.py")
_SERVICE: Final = '''\
"""What the distribution leaves out of test/service.py: a server that somebody else has started."""


class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    close = dump_logs = open


SpawnedService = None
'''


def known(release: str) -> str:
    """A release of Kafka as the tests are told of it: they take one that kafka-python knows."""
    return min(release, _KNOWN, key=lambda each: [int(part) for part in each.split(".")])


@attrs.frozen
class KafkaPython:
    """The distribution's files. ``release`` is that of the broker."""

    folder: Path
    release: str
    seconds: int

    @classmethod
    def fetch(cls, folder: Path, version: str, release: str, seconds: int) -> KafkaPython:
        """Have pip download it. Raises ClickException."""
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        output_of([*pip, "--dest", str(folder), f"kafka-python=={version}"], folder)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        unpacked = folder / f"kafka_python-{version}"
        # The distribution has the tests, without two files that make them a package.
        (unpacked / "test" / "__init__.py").touch()
        (unpacked / "test" / "service.py").write_text(_SERVICE)
        return cls(unpacked, release, seconds)

    def run(self, addresses: Addresses, output: Path, only: str) -> dict[str, str]:
        """The tests with their states; what they wrote goes to ``output``."""
        report = output.with_suffix(".xml")
        left_out = [f"--ignore=test/integration/{name}" for name in _OWN_BROKERS]
        pytest = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *left_out]
        # Its own options are those of plugins. One test that hangs ends the run, with where it hung.
        for option in ("addopts=", f"faulthandler_timeout={_HANGS}", "faulthandler_exit_on_timeout=true"):
            pytest += ["-o", option]
        environment = {
            **os.environ,
            "KAFKA_URI": f"kafka://{addresses.plain}",
            "KAFKA_VERSION": known(self.release),
            # A folder that has to be there, and of which nothing is used.
            "KAFKA_ROOT": str(self.folder),
        }
        choice = ["-k", only] if only else []
        run([*pytest, *choice, "test/integration"], self.folder, output, environment, self.seconds)
        if not report.exists():
            raise click.ClickException(f"pytest has written no report: see {output}")
        return of_junit(report.read_text())
