"""The payload of ``upload`` and ``produce``: a file or standard input."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click

from lfsproxy.checksums import new_checksum, parse_checksum

_CHUNK_BYTES = 1024 * 1024


@contextmanager
def open_payload(file: str) -> Iterator[BinaryIO]:
    """FILE opened for reading; ``-`` is standard input."""
    if file == "-":
        yield sys.stdin.buffer
    else:
        with open(file, "rb") as payload:
            yield payload


def name_of(file: str) -> str:
    """What FILE is called to a person."""
    return "standard input" if file == "-" else file


def length_of(payload: BinaryIO) -> int | None:
    """Bytes of a regular file from where it stands; None of a pipe."""
    status = os.fstat(payload.fileno())
    return status.st_size - payload.tell() if stat.S_ISREG(status.st_mode) else None


def checksum_of(payload: BinaryIO, given: str, algorithm: str) -> str:
    """What --checksum asks for: the hex given, or for ``auto`` that of the file, read once for it."""
    if given != "auto":
        return parse_checksum(algorithm, given)
    if not payload.seekable():
        raise click.UsageError("--checksum auto needs a file, standard input can be read only once")
    start, checksum = payload.tell(), new_checksum(algorithm)
    while data := payload.read(_CHUNK_BYTES):
        checksum.update(data)
    payload.seek(start)
    return checksum.hexdigest()
