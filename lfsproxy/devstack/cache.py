"""Where downloaded jars are kept between runs, and what a user may carry to a machine without a network.

Layout of the folder (``LFS_DEMO_CACHE``, by default ``lfsproxy`` in the XDG cache folder)::

    jars/<group>/<artifact>-<version>.jar     complete and checked, never partly written
    incoming/<random>/                        a download under way; removed when it ends
    archives/<set>-<runtime>-<jars>.jsa       classes that the JVM maps for a quick start; made anew where
    missing

Copying the folder to another machine and naming it there in ``LFS_DEMO_CACHE`` is all an offline start needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CACHE_VARIABLE = "LFS_DEMO_CACHE"


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The cache folder that the environment asks for; it need not exist yet."""
    env = os.environ if environ is None else environ
    chosen = env.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = env.get("XDG_CACHE_HOME")
    # The XDG base directory specification: a relative path is to be ignored.
    if base and Path(base).is_absolute():
        return Path(base) / "lfsproxy"
    return Path.home() / ".cache" / "lfsproxy"
