"""What is done once, so that later starts need no network and half the time: the jars, and archived classes.

A Java process spends most of its start on loading classes. The JVM can map them from an archive instead
("class data sharing" in the ``java`` manual): a server is started once to list its classes, and the JVM dumps
these to ``archives/`` in the cache folder. An archive fits one Java runtime and one set of jars; the JVM
ignores one that does not fit, and everything works without any.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from lfsproxy.devstack.cache import cache_folder
from lfsproxy.devstack.jars import Progress, class_path, missing_bytes
from lfsproxy.devstack.java import find_java

JVM_OPTIONS = (
    # Servers for one developer: a quick start matters more than peak throughput.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
    # The JVM's own remarks, as on an archive that does not fit, are nobody's concern.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
)
_DUMP_SECONDS = 180
"""How long a dump may take, on a slow machine too; without it a start only takes longer."""


def java_command(name: str, cache: Path | None = None, progress: Progress | None = None) -> list[str]:
    """The start of a command line that runs Java on the set of jars ``name``, up to the class path.

    Downloads what is missing. Raises DevstackError.
    """
    folder = cache if cache is not None else cache_folder()
    java = find_java()
    classes = class_path(name, cache=folder, progress=progress)
    archive = _archive(name, java, classes, folder)
    # An empty one says that this runtime makes none.
    mapped = [f"-XX:SharedArchiveFile={archive}"] if archive.exists() and archive.stat().st_size else []
    return [java, *JVM_OPTIONS, *mapped, "-cp", classes]


def is_prepared(name: str, cache: Path | None = None) -> bool:
    """Whether nothing is left to do for the set ``name``. Raises DevstackError where there is no Java."""
    folder = cache if cache is not None else cache_folder()
    if missing_bytes([name], cache=folder):
        return False
    return _archive(name, find_java(), class_path(name, cache=folder), folder).exists()


def prepare_archive(name: str, exercise: Callable[[Sequence[str]], None], cache: Path | None = None) -> None:
    """Make the archive of ``name``. ``exercise`` runs its server once, with the JVM options it is given.

    The jars must be there. Where the runtime makes no archive, that is remembered, and no error.
    """
    folder = cache if cache is not None else cache_folder()
    java = find_java()
    classes = class_path(name, cache=folder)
    archive = _archive(name, java, classes, folder)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        exercise(["-Xshare:off", f"-XX:DumpLoadedClassList={scratch}/%p.classes"])
        # A server may take several processes, as Kafka's storage tool and Kafka.
        lists = [path.read_text().splitlines() for path in sorted(Path(scratch).glob("*.classes"))]
        merged = Path(scratch, "all.classes")
        merged.write_text("\n".join(dict.fromkeys(line for lines in lists for line in lines)) + "\n")
        made = Path(scratch, "archive.jsa")
        command = [
            *(java, *JVM_OPTIONS, "-Xshare:dump", f"-XX:SharedClassListFile={merged}"),
            *(f"-XX:SharedArchiveFile={made}", "-cp", classes),
        ]
        subprocess.run(command, capture_output=True, timeout=_DUMP_SECONDS, check=False)
        if not made.exists():
            made.touch()
        for outdated in archive.parent.glob(f"{archive.name.rpartition('-')[0]}-*.jsa"):
            outdated.unlink()
        os.replace(made, archive)


def _archive(name: str, java: str, classes: str, folder: Path) -> Path:
    """Where the archive is, or would be. Its name tells the runtime and the state of the jars."""
    runtime = Path(java).resolve()
    files = [Path(path).stat() for path in classes.split(os.pathsep)]
    # The JVM compares sizes and times itself; a cache that was copied may have other times.
    jars = [(file.st_size, int(file.st_mtime)) for file in files]
    marks = [
        sha256(text.encode()).hexdigest()[:12] for text in (f"{runtime} {runtime.stat().st_mtime}", f"{jars}")
    ]
    return folder / "archives" / f"{name}-{marks[0]}-{marks[1]}.jsa"
