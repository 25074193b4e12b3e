"""Changes the file of API keys: one process at a time, and whole or not at all."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from lfsproxy.web.keys import ApiKey, read_keys, write_keys
from lfsproxy.words import error_text


def load_keys(path: Path) -> list[ApiKey]:
    """The keys of a file. Raises ClickException where it is not one, OSError where it cannot be read."""
    try:
        return read_keys(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.ClickException(f"{path} is not a file of API keys: {error_text(error)}") from None


def change_keys(path: Path, change: Callable[[list[ApiKey]], list[ApiKey]], create: bool = False) -> None:
    """Replace the keys of a file by what ``change`` makes of them; ``create`` it where it is missing.

    A new file is of its owner alone (0600); another keeps its group, and that the group may read it. It is
    on the disk when this returns. Where it is a link, another
    user's, or writable for others, nothing is changed: ClickException says so.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Of the folder, since the file itself is replaced.
        fcntl.flock(folder, fcntl.LOCK_EX)
        found = _existing(path, create)
        keys = load_keys(path) if found is not None else []
        _replace(path, write_keys(change(keys)), found)
        os.fsync(folder)
    finally:
        os.close(folder)


def _existing(path: Path, create: bool) -> os.stat_result | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        if create:
            return None
        raise
    if not stat.S_ISREG(found.st_mode):
        kind = "a link: name the file itself" if stat.S_ISLNK(found.st_mode) else "no file"
        raise click.ClickException(f"{path} is {kind}")
    if found.st_uid != os.geteuid():
        raise click.ClickException(f"{path} belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o022:
        raise click.ClickException(f"{path} can be written by others than its owner: chmod go-w it first")
    return found


def _replace(path: Path, text: str, found: os.stat_result | None) -> None:
    try:
        _write_beside(path, text, found)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_beside(path: Path, text: str, found: os.stat_result | None) -> None:
    # mkstemp makes files with 0600.
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
            if found is not None:
                os.fchown(number, -1, found.st_gid)
                os.fchmod(number, 0o600 | found.st_mode & stat.S_IRGRP)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
