"""What a release needs, checked before one is made: ``make release-check``.

    python -m tests.release [version] [names] [python] [containers] [changelog] [javascript] [java] [go]

Nothing is published. What is built lies in build/release. A step whose tools are not here is named as
skipped. The last line says how many steps passed, failed and were skipped; the status is 1 when one failed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest import SkipTest
from xml.etree import ElementTree

from tests.deploy.chart import CHART, ROOT, helm
from tests.released import current, missing, released

OUT = ROOT / "build" / "release"
PYTHONS = ("3.11", "3.12", "3.13")
"""The versions that setup.cfg names."""


class Failed(Exception):
    """A step found what a release must not have. The text says what."""


class Skipped(Exception):
    """A step cannot be done here. The text says why."""


def run(*command: str | Path, folder: Path = ROOT, **variables: str) -> str:
    """Run a command to its end. What it printed; raises Failed with that."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " ".join(str(word) for word in command)
        raise Failed(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def need(*tools: str) -> None:
    """Raise Skipped where a program is not on PATH."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise Skipped(f"{', '.join(missing)} not on PATH")


def version() -> str:
    """The one place that has it."""
    [found] = re.findall(r"^version = (.*)$", (ROOT / "setup.cfg").read_text(), re.M)
    return str(found)


def check_version() -> str:
    """Every package of the release has the version of setup.cfg."""
    wanted = version()
    chart = (CHART / "Chart.yaml").read_text()
    pom = ElementTree.parse(ROOT / "sdk" / "java" / "pom.xml").getroot()
    found = {
        "Chart.yaml's version": re.findall(r"^version: (.*)$", chart, re.M)[0],
        "Chart.yaml's appVersion": re.findall(r"^appVersion: (.*)$", chart, re.M)[0],
        "sdk/js/package.json": json.loads((ROOT / "sdk" / "js" / "package.json").read_text())["version"],
        "sdk/java/pom.xml": pom.findtext("{http://maven.apache.org/POM/4.0.0}version") or "",
    }
    wrong = [f"{place} has {text}" for place, text in found.items() if text != wanted]
    if wrong:
        raise Failed(f"setup.cfg has {wanted}, but {'; '.join(wrong)}")
    return wanted


def check_names() -> str:
    """What this release promises by name is written down, so that no later one can drop it unsaid."""
    if unsaid := missing(current(), released()):
        raise Failed(f"tests/released.json lacks {', '.join(unsaid)}: python -m tests.released")
    return f"{sum(map(len, released().values()))} names"


def check_python() -> str:
    """The wheel and the sdist are built and described well, and the wheel works in each Python."""
    distributions = OUT / "python"
    run(sys.executable, "-m", "build", "--outdir", distributions, ROOT)
    files = sorted(distributions.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    [wheel] = [file for file in files if file.suffix == ".whl"]
    tried = [name for name in PYTHONS if try_wheel(name, wheel)]
    missing = sorted(set(PYTHONS) - set(tried))
    told = f", NOT TRIED: Python {', '.join(missing)} not on PATH" if missing else ""
    return f"{', '.join(file.name for file in files)}; tried in {', '.join(tried)}{told}"


def try_wheel(name: str, wheel: Path) -> bool:
    """Whether that Python is here. Raises Failed where the wheel does not work in a fresh environment."""
    python = find_python(name)
    if python is None:
        return False
    environment = OUT / f"environment-{name}"
    run(python, "-m", "venv", "--clear", environment)
    run(environment / "bin" / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    programs = environment / "bin"
    # From elsewhere: the repository has a folder twisted/.
    if "lfsproxy" not in run(programs / "twistd", "--help", folder=OUT):
        raise Failed(f"in Python {name} twistd does not know lfsproxy")
    if "--kafka-brokers" not in run(programs / "twistd", "lfsproxy", "--help", folder=OUT):
        raise Failed(f"in Python {name} twistd lfsproxy --help does not have the settings")
    said = run(programs / "lfsproxy", "--version", folder=OUT)
    if version() not in said:
        raise Failed(f"in Python {name} lfsproxy --version says {said!r}")
    return True


def find_python(name: str) -> str | None:
    """A Python of this version, of PATH or of pyenv."""
    places = [
        Path(shutil.which(f"python{name}") or ""),
        *Path.home().glob(f".pyenv/versions/{name}.*/bin/python"),
    ]
    for place in places:
        if place.is_file():
            done = subprocess.run([place, "--version"], capture_output=True, text=True, check=False)
            if done.stdout.startswith(f"Python {name}."):
                return str(place)
    return None


def check_containers() -> str:
    """The container's software bill of materials, and the chart as it is published."""
    bill = OUT / "sbom.cdx.json"
    lock = ROOT / "deploy" / "requirements.lock"
    run(
        Path(sys.executable).with_name("cyclonedx-py"),
        "requirements",
        lock,
        "--output-reproducible",
        "-o",
        bill,
    )
    parts = json.loads(bill.read_text())["components"]
    if len(parts) != len(re.findall(r"^[\w.-]+==", lock.read_text(), re.M)):
        raise Failed("the bill of materials has not what the lock has")
    run(helm(), "package", CHART, "--destination", OUT)
    return f"{bill.name} with {len(parts)} parts; lfsproxy-{version()}.tgz"


def check_changelog() -> str:
    """The news make a changelog."""
    said = run(sys.executable, "-m", "towncrier", "build", "--draft", "--version", version())
    entries = len(re.findall(r"^- ", said, re.M))
    if not entries:
        raise Failed(f"the changelog of {version()} is empty")
    return f"{entries} entries"


def check_javascript() -> str:
    """The npm package as it would be published, without what nobody needs."""
    need("node", "npm")
    folder = ROOT / "sdk" / "js"
    run("npm", "ci", "--no-audit", "--no-fund", folder=folder)
    packed = OUT / "javascript"
    packed.mkdir()
    run("npm", "pack", "--pack-destination", packed, folder=folder)
    [package] = packed.iterdir()
    with tarfile.open(package) as archive:
        names = archive.getnames()
    return expect(package.name, names, ["package/package.json", "package/README.md", "package/LICENSE"])


def check_java() -> str:
    """The Maven package with its sources and its documentation."""
    need("mvn", "javac")
    folder = ROOT / "sdk" / "java"
    run("mvn", "-q", "-B", "-Prelease", "-DskipTests", "package", folder=folder)
    target = folder / "target"
    named = {file.name for file in target.glob("*.jar")}
    for kind in ("", "-sources", "-javadoc"):
        if not any(re.fullmatch(rf"[\w-]+-{re.escape(version())}{kind}\.jar", name) for name in named):
            raise Failed(f"no {kind.lstrip('-') or 'main'} jar is in {sorted(named)}")
    [jar] = [name for name in named if re.fullmatch(rf"[a-z-]+-{re.escape(version())}\.jar", name)]
    with zipfile.ZipFile(target / jar) as archive:
        return expect(jar, archive.namelist(), ["META-INF/LICENSE"])


def check_go() -> str:
    """Each Go module builds as ``go get`` would take it: without the workspace and without ``replace``."""
    need("go")
    modules = sorted((ROOT / "sdk" / "go").rglob("go.mod"))
    published = [file for file in modules if "conformance" not in file.parts]
    for file in published:
        if re.search(r"^replace\b", file.read_text(), re.M):
            raise Failed(f"{file.relative_to(ROOT)} has a replace, which go get ignores")
    run("go", "build", "./...", folder=ROOT / "sdk" / "go", GOWORK="off", GOFLAGS="-mod=readonly")
    return ", ".join(str(file.parent.relative_to(ROOT)) for file in published)


def expect(package: str, names: Sequence[str], wanted: Sequence[str]) -> str:
    """Raise Failed where a package lacks a file, or has tests."""
    missing = sorted(set(wanted) - set(names))
    tests = [name for name in names if re.search(r"(^|/)tests?/", name)]
    if missing or tests:
        raise Failed(f"{package} lacks {missing}, and has {tests}")
    return f"{package} with {len(names)} files"


STEPS: dict[str, Callable[[], str]] = {
    "version": check_version,
    "names": check_names,
    "python": check_python,
    "containers": check_containers,
    "changelog": check_changelog,
    "javascript": check_javascript,
    "java": check_java,
    "go": check_go,
}


def main(names: Sequence[str]) -> int:
    """Do the named steps, or all; the exit status."""
    if unknown := set(names) - set(STEPS):
        print(f"There is no step {', '.join(sorted(unknown))}; there are: {', '.join(STEPS)}.")
        return 2
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    results = {"passed": 0, "failed": 0, "skipped": 0}
    for name in names or STEPS:
        say = partial(print, f"{name}:", flush=True)
        try:
            say(f"ok ({STEPS[name]()})")
            results["passed"] += 1
        except (Skipped, SkipTest) as why:
            say(f"SKIPPED ({why})")
            results["skipped"] += 1
        except Failed as why:
            say(f"FAILED ({why})")
            results["failed"] += 1
    print(", ".join(f"{count} {result}" for result, count in results.items()))
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
