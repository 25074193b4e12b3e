"""A command with a unit's SystemCallFilter and RestrictAddressFamilies, by libseccomp as in systemd itself.

As a program (``python -c PROGRAM numbers-and-families.json command ...``) it restricts itself and becomes the
command. That needs libseccomp, and systemd-analyze for the names of a set like @system-service.
"""

from __future__ import annotations

import ctypes.util
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

PROGRAM = r"""
import ctypes, errno, json, os, socket, sys

class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int)]
    _fields_ += [("first", ctypes.c_uint64), ("second", ctypes.c_uint64)]

library, allowed, families = json.load(open(sys.argv[1]))
seccomp = ctypes.CDLL(library)
seccomp.seccomp_init.restype = ctypes.c_void_p
allow = 0x7FFF0000
refuse = lambda number: 0x00050000 | number
is_equal = 4
rules = ctypes.c_void_p(seccomp.seccomp_init(refuse(errno.EPERM)))
numbers = {name: seccomp.seccomp_syscall_resolve_name(name.encode()) for name in allowed}
for name, number in numbers.items():
    # Not every name of systemd's exists in each architecture: its number is below 0.
    if number >= 0 and name != "socket":
        if seccomp.seccomp_rule_add_array(rules, allow, number, 0, None):
            sys.exit(f"{name} cannot be allowed")
known = {int(getattr(socket, name)) for name in families}
for family in range(64):
    one = Comparison(0, is_equal, family, 0)
    action = allow if family in known else refuse(errno.EAFNOSUPPORT)
    if seccomp.seccomp_rule_add_array(rules, action, numbers["socket"], 1, ctypes.byref(one)):
        sys.exit(f"family {family} cannot be decided")
if seccomp.seccomp_load(rules):
    sys.exit("the filter cannot be loaded")
os.execv(sys.argv[2], sys.argv[2:])
"""


def why_not() -> str:
    """Why a command cannot be restricted here; "" where it can."""
    if shutil.which("systemd-analyze") is None:
        return "systemd-analyze missing"
    return "" if _library() else "libseccomp missing"


@cache
def _library() -> str | None:
    return ctypes.util.find_library("seccomp")


def restricted(unit: str, rules: Path, command: list[str]) -> list[str]:
    """The command as the unit restricts it; ``rules`` is a file that is written for its user to read."""
    [families] = re.findall("^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    rules.write_text(json.dumps([_library(), sorted(_allowed(unit)), families.split()]))
    rules.chmod(0o644)
    return [sys.executable, "-c", PROGRAM, str(rules), *command]


def _allowed(unit: str) -> set[str]:
    """The names that remain of the unit's lines: the first allows, those with ~ take away."""
    found = set(_set("@default"))
    for line in re.findall("^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        names = {name for each in line.removeprefix("~").split() for name in _set(each)}
        found = found - names if line.startswith("~") else found | names
    return found


@cache
def _set(name: str) -> frozenset[str]:
    """A name, or all that are in a set and in the sets in it."""
    if not name.startswith("@"):
        return frozenset({name})
    said = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    members = re.findall(r"^ +([@\w-]+)$", said.stdout, re.MULTILINE)
    return frozenset(each for member in members for each in _set(member))
