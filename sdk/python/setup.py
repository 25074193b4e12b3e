"""Takes lfsproxy/client (the link beside this file leads there), and of the rest what it imports.

tests/integration/test_python_distribution.py finds a module that is missing here, or is not needed.
"""

from __future__ import annotations

from setuptools import setup
from setuptools.command.build_py import build_py

BESIDES = {
    "lfsproxy": {
        "__init__",
        "checksums",
        "codes",
        "cuttable",
        "defaults",
        "ending",
        "envelope",
        "errors",
        "quoting",
        "uncompressed",
        "words",
    },
    "lfsproxy.s3": {"__init__", "signing"},
}
"""By package; of any other one, all modules."""


class OnlyTheClient(build_py):
    """Leaves out the proxy."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = super().find_package_modules(package, package_dir)
        return [each for each in found if each[1] in BESIDES.get(package, {each[1]})]


setup(cmdclass={"build_py": OnlyTheClient})
