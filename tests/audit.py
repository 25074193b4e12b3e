"""Known weaknesses in what the proxy and the client libraries use, by each language's own tool.

    python -m tests.audit                 (make audit)

Each tool asks a service on the network, and some say that all is well where that service has told them
nothing (pip-audit, of packages that it did not find). So what was not looked at is told by name. Exit status
0: everything was looked at, and nothing found; 1: something was found; 2: nothing was found, but not
everything was looked at.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 600


@attrs.frozen
class Ran:
    """How a tool ended; ``code`` is None where it is not there."""

    code: int | None
    out: str = ""
    err: str = ""


@attrs.frozen
class Seen:
    """What a tool has found, a line for each, and what it did not look at, and why."""

    found: tuple[str, ...] = ()
    unseen: str = ""


@attrs.frozen
class Audit:
    """``command`` is run in ``folder``, and ``read`` knows what its output means."""

    of: str
    folder: str
    command: Sequence[str]
    read: Callable[[Ran], Seen]


def last_line(ran: Ran) -> str:
    """The last that it said, which is why it failed."""
    lines = [line.strip() for line in (ran.err + "\n" + ran.out).splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"it ended with status {ran.code} and said nothing"


def read_pip_audit(ran: Ran) -> Seen:
    """Of ``pip-audit -f json``: packages with their weaknesses, or with why they were skipped."""
    try:
        packages = json.loads(ran.out)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        return Seen(unseen=last_line(ran))
    skipped = [each for each in packages if "skip_reason" in each]
    found = tuple(
        f"{each['name']} {each['version']}: {one['id']}, fixed in {', '.join(one['fix_versions']) or 'none'}"
        for each in packages
        for one in each.get("vulns", [])
    )
    if not packages:
        return Seen(unseen="it was given no packages")
    if not skipped:
        return Seen(found)
    return Seen(found, f"{len(skipped)} of {len(packages)} packages: {skipped[0]['skip_reason']}")


def read_npm(ran: Ran) -> Seen:
    """Of ``npm audit --json``: packages with their weaknesses, or what the registry said instead."""
    try:
        said = json.loads(ran.out)
    except json.JSONDecodeError:
        return Seen(unseen=last_line(ran))
    if "vulnerabilities" not in said:
        return Seen(unseen=str(said.get("message") or last_line(ran)))
    return Seen(tuple(f"{name}: {each['severity']}" for name, each in said["vulnerabilities"].items()))


def read_govulncheck(ran: Ran) -> Seen:
    """Of ``govulncheck``: it ends with 3 where the code calls something weak."""
    if ran.code == 0:
        return Seen()
    if ran.code != 3:
        return Seen(unseen=last_line(ran))
    found = [line.strip() for line in ran.out.splitlines() if line.startswith("Vulnerability #")]
    return Seen(tuple(found) or ("govulncheck says so, with status 3",))


def read_osv(ran: Ran) -> Seen:
    """Of ``osv-scanner --format json``: it ends with 1 where it found something."""
    if ran.code == 0:
        return Seen()
    try:
        packages = [each for result in json.loads(ran.out)["results"] for each in result["packages"]]
    except (json.JSONDecodeError, KeyError):
        return Seen(unseen=last_line(ran))
    return Seen(
        tuple(
            f"{each['package']['name']} {each['package']['version']}: {one['id']}"
            for each in packages
            for one in each.get("vulnerabilities", [])
        )
    )


PIP_AUDIT = ["--requirement", "deploy/requirements.lock", "--no-deps", "--disable-pip", "--format", "json"]
AUDITS = (
    Audit(
        "the proxy's packages (deploy/requirements.lock)",
        ".",
        [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", *PIP_AUDIT],
        read_pip_audit,
    ),
    Audit("the JavaScript library", "sdk/js", ["npm", "audit", "--json", "--audit"], read_npm),
    Audit("the Go library", "sdk/go", ["govulncheck", "./..."], read_govulncheck),
    Audit(
        "the Java library",
        "sdk/java",
        ["osv-scanner", "scan", "source", "--format", "json", "--lockfile", "pom.xml"],
        read_osv,
    ),
)


def run(audit: Audit) -> Ran:
    """Run the tool to its end."""
    program = shutil.which(audit.command[0])
    if program is None:
        return Ran(None, err=f"{audit.command[0]} is not on PATH")
    try:
        done = subprocess.run(
            [program, *audit.command[1:]],
            cwd=ROOT / audit.folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ran(None, err=f"{audit.command[0]} has not ended within {SECONDS} s")
    return Ran(done.returncode, done.stdout, done.stderr)


def main(audits: Sequence[Audit] = AUDITS, run: Callable[[Audit], Ran] = run) -> int:
    """Run all, say what came of each, and return the exit status."""
    status = 0
    for audit in audits:
        ran = run(audit)
        seen = Seen(unseen=last_line(ran)) if ran.code is None else audit.read(ran)
        for line in seen.found:
            print(f"FOUND in {audit.of}: {line}")
        if seen.unseen:
            print(f"NOT AUDITED: {audit.of}: {seen.unseen}")
        if not seen.found and not seen.unseen:
            print(f"ok: {audit.of}")
        status = 1 if seen.found else status or (2 if seen.unseen else 0)
    return status


if __name__ == "__main__":
    sys.exit(main())
