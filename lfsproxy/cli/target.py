"""Where blobs are written: a file that appears under its name only when it is whole and verified."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import click

CHUNK_BYTES = 256 * 1024
"""Bytes that are copied at once."""


def copy_counted(source: Any, target: BinaryIO, advance: Callable[[int], None]) -> None:
    """Copy to the end; ``advance`` is called with the size of each piece."""
    while data := source.read(CHUNK_BYTES):
        target.write(data)
        advance(len(data))


def write_file(path: Path, write: Callable[[BinaryIO], None], replace: bool) -> None:
    """Have ``write`` fill a file beside ``path``, and rename it when that has succeeded.

    An OSError names ``path``, not the file beside it.
    """
    if path.is_dir():
        raise click.ClickException(f"{path} is a folder: name a file in it")
    is_special = path.exists() and not path.is_file()
    if path.exists() and not is_special and not replace:
        raise click.ClickException(f"{path} exists; --force replaces it")
    try:
        if is_special:
            # A pipe or a device is written to: a file in its place would be no pipe or device.
            with open(path, "wb") as target:
                write(target)
        else:
            _fill(path, write)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _fill(path: Path, write: Callable[[BinaryIO], None]) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:60]}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as target:
            write(target)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
