"""The jars that the development servers run from: locked, downloaded by jgo, checked by us.

``jars.toml`` names every jar with its size and SHA-256. jgo downloads them from a Maven repository; it only
warns when a checksum differs and writes into place as it goes, so a download lands in a scratch folder and
moves to the cache after its SHA-256 agreed. Nothing is resolved at run time: the lock is the class path.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from lfsproxy.devstack.cache import CACHE_VARIABLE, cache_folder
from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.maven import MAVEN_VARIABLE, repository_url

LOCK_FILE = Path(__file__).with_name("jars.toml")
DOWNLOADS_AT_ONCE = 6
"""Jars that are fetched side by side: few enough for a public repository."""
_TIMEOUT = 60
"""Seconds that the repository may be silent."""

Progress = Callable[[int, int], None]
"""Called with (bytes arrived, bytes in all) while jars are downloaded, from more than one thread."""


@attrs.frozen
class Jar:
    """One locked file. ``at`` is ``group:artifact:version`` or ``group:artifact:jar:classifier:version``."""

    at: str
    size: int
    sha256: str

    @property
    def relative_path(self) -> Path:
        """Its place below the cache folder."""
        group, artifact, *middle, version = self.at.split(":")
        classifier = f"-{middle[1]}" if len(middle) > 1 else ""
        return Path("jars", group, f"{artifact}-{version}{classifier}.jar")


def read_lock(name: str, lock_file: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """The jars of one set of the lock, in class path order.

    Raises DevstackError for a set that is not locked.
    """
    with lock_file.open("rb") as file:
        sets: dict[str, Any] = tomllib.load(file)["sets"]
    if name not in sets:
        raise DevstackError(
            f"There is no locked set of jars named '{name}'; there are: {', '.join(sorted(sets))}."
        )
    return tuple(Jar(**entry) for entry in sets[name]["jars"])


def class_path(
    name: str,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    lock_file: Path = LOCK_FILE,
    repository: str | None = None,
) -> str:
    """Make sure that every jar of the set ``name`` is in the cache and right; return the Java class path.

    Touches the network only for jars that the cache lacks. Raises DevstackError.
    """
    folder = cache if cache is not None else cache_folder()
    jars = read_lock(name, lock_file)
    missing = [jar for jar in jars if not (folder / jar.relative_path).exists()]
    if missing:
        _download(missing, folder, repository if repository is not None else repository_url(), progress)
    fresh = set(missing)
    for jar in jars:
        if jar not in fresh:
            _check(jar, folder / jar.relative_path)
    return os.pathsep.join(str(folder / jar.relative_path) for jar in jars)


def missing_bytes(names: Sequence[str], *, cache: Path | None = None, lock_file: Path = LOCK_FILE) -> int:
    """How many bytes the named sets would still download."""
    folder = cache if cache is not None else cache_folder()
    jars = {jar for name in names for jar in read_lock(name, lock_file)}
    return sum(jar.size for jar in jars if not (folder / jar.relative_path).exists())


def _check(jar: Jar, path: Path) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != jar.sha256:
        raise DevstackError(
            f"The jar {path} has the SHA-256 {actual}, but {jar.sha256} is locked for {jar.at}: it was "
            f"damaged or "
            "changed. Delete it, so that it is downloaded again; if that does not help, the Maven repository "
            f"serves a different file (another one can be named in {MAVEN_VARIABLE})."
        )


def _download(jars: Sequence[Jar], folder: Path, repository: str, progress: Progress | None) -> None:
    total = sum(jar.size for jar in jars)
    arrived = 0
    lock = threading.Lock()

    def advance(count: int) -> None:
        nonlocal arrived
        with lock:
            arrived += count
            if progress is not None:
                progress(min(arrived, total), total)

    try:
        (folder / "incoming").mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < 2 * total:
            raise DevstackError(
                f"{folder} has {free >> 20} MiB free, and the download needs {2 * total >> 20} MiB: make "
                f"room, or "
                f"name another folder in {CACHE_VARIABLE}."
            )
        if progress is not None:
            progress(0, total)
        with tempfile.TemporaryDirectory(dir=folder / "incoming") as scratch:
            pool = ThreadPoolExecutor(DOWNLOADS_AT_ONCE)
            try:
                tasks = [pool.submit(_fetch, jar, folder, Path(scratch), repository, advance) for jar in jars]
                for task in tasks:
                    task.result()
            finally:
                pool.shutdown(cancel_futures=True)
    except OSError as error:
        raise DevstackError(
            f"The cache folder {folder} cannot be written ({error.strerror or error}): name another one in "
            f"{CACHE_VARIABLE}."
        ) from error


class _Arrivals:
    """jgo's progress callback: it is called per file, and gives a context that is called with byte counts."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance

    def __call__(self, filename: str, total: int) -> _Arrivals:
        return self

    def __enter__(self) -> Callable[[int], None]:
        return self._advance

    def __exit__(self, *exc: object) -> None:
        return None


def _fetch(jar: Jar, folder: Path, scratch: Path, repository: str, advance: Callable[[int], None]) -> None:
    # Imported here: a filled cache needs neither, and a start from it should not pay for their import.
    import requests
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(
        resolver=PythonResolver(progress_callback=_Arrivals(advance)),
        repo_cache=scratch,
        remote_repos={"central": repository},
        timeout=_TIMEOUT,
    )
    try:
        path: Path = context.create_dependency(jar.at).artifact.resolve()
    except requests.RequestException as error:
        raise DevstackError(
            f"{jar.at} could not be downloaded from {repository} ({_reason(error)}). The first run needs a "
            f"network: "
            f"set HTTPS_PROXY if there is a proxy, or {MAVEN_VARIABLE} to a mirror of Maven Central. For a "
            f"machine "
            f"without a network, run this once elsewhere, copy the folder {folder} over and name it in "
            f"{CACHE_VARIABLE}."
        ) from error
    except RuntimeError as error:
        # How jgo reports any answer but 200.
        raise DevstackError(
            f"The Maven repository {repository} has no {jar.at}: set {MAVEN_VARIABLE} to a complete mirror "
            f"of "
            "Maven Central."
        ) from error
    _check(jar, path)
    target = folder / jar.relative_path
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)


def _reason(error: Exception) -> str:
    """The innermost cause in a few words: requests wraps what helps in three layers of class names."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, Exception) else error)
    return text.rpartition(": ")[2][:200] or type(error).__name__
