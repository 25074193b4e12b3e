"""A unit's service without systemd: its command as another user, with what systemd would have given it.

Emulated are DynamicUser, LoadCredential, SupplementaryGroups, EnvironmentFile, Environment and UMask; for
sandboxing see sandbox.py. Needs root, ``unshare`` and ``setpriv``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

UID = 61184
"""The first of systemd's dynamic users."""


def why_not() -> str:
    """Why a command cannot be run as another user here; "" where it can."""
    if os.geteuid() != 0:
        return "this is not root"
    missing = [name for name in ("unshare", "setpriv", "mount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing"
    done = subprocess.run(as_user(["true"], []), capture_output=True, text=True, check=False)
    return done.stderr.strip() or (f"exit status {done.returncode}" if done.returncode else "")


def as_user(command: Sequence[str], groups: Sequence[int]) -> list[str]:
    """The command as the dynamic user, to whom this Python is shown even where it is in root's folder."""
    steps = ["set -e", "stage=$(mktemp -d)", "mount -t tmpfs tmpfs $stage"]
    shown = sorted({Path(sys.base_prefix), Path(sys.prefix), Path.cwd().resolve()})
    closed = {parent for path in shown for parent in path.parents if not parent.stat().st_mode & 0o001}
    for number, path in enumerate(shown):
        steps += [f"mkdir $stage/{number}", f"mount --bind {shlex.quote(str(path))} $stage/{number}"]
    steps += [f"mount -t tmpfs -o mode=0755 tmpfs {shlex.quote(str(folder))}" for folder in sorted(closed)]
    for number, path in enumerate(shown):
        if closed & set(path.parents):
            steps += [
                f"mkdir -p {shlex.quote(str(path))}",
                f"mount --bind $stage/{number} {shlex.quote(str(path))}",
            ]
    named = ",".join(map(str, groups))
    user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--no-new-privs", "--bounding-set=-all"]
    user += [f"--groups={named}"] if named else ["--clear-groups"]
    steps += ["umask 0077", f"exec {shlex.join([*user, *command])}"]
    return ["unshare", "--mount", "sh", "-c", "\n".join(steps)]


class Unit:
    """The [Service] of a unit and its drop-ins. ``folder`` stands for /etc/lfsproxy and /run/credentials."""

    def __init__(self, folder: Path, *texts: str) -> None:
        self._folder = folder
        moved = [text.replace("/etc/lfsproxy/", f"{folder}/") for text in texts]
        self._lines = re.findall(r"^(\w+)=(.*)$", "\n".join(moved), re.MULTILINE)

    def _all(self, name: str) -> list[str]:
        return [value for given, value in self._lines if given == name]

    def credentials(self) -> Path:
        """The folder of copies that systemd makes before it starts the command."""
        folder = self._folder / "credentials"
        folder.mkdir()
        for each in self._all("LoadCredential"):
            name, _, path = each.partition(":")
            (folder / name).write_bytes(Path(path).read_bytes())
            (folder / name).chmod(0o400)
            os.chown(folder / name, UID, UID)
        folder.chmod(0o500)
        os.chown(folder, UID, UID)
        return folder

    def environment(self) -> dict[str, str]:
        """What the command's environment is. EnvironmentFile wins over Environment."""
        credentials = self.credentials()
        found = {"PATH": "/usr/bin:/bin", "CREDENTIALS_DIRECTORY": str(credentials)}
        for each in self._all("Environment"):
            name, _, value = each.partition("=")
            found[name] = value.replace("%d", str(credentials))
        for each in self._all("EnvironmentFile"):
            found.update(re.findall(r"^(\w+)=(.*)$", Path(each).read_text(), re.MULTILINE))
        return found

    def command(
        self, groups: Sequence[int] = (), through: Callable[[list[str]], list[str]] = list
    ) -> list[str]:
        """ExecStart as the dynamic user, with this Python's twistd; ``through`` restricts it."""
        (start,) = self._all("ExecStart")
        twistd, *arguments = start.split()
        assert twistd == "/opt/lfsproxy/bin/twistd", twistd
        return as_user(through([str(Path(sys.prefix, "bin", "twistd")), *arguments]), groups)
