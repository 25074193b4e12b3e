"""The payload of ``upload`` and ``produce``: a file or standard input."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click

from lfsproxy.checksums import parse_checksum
from lfsproxy.client.mark import DEFAULT_ALGORITHM, checksum_of


@contextmanager
def open_payload(file: str) -> Iterator[BinaryIO]:
    """FILE opened for reading; ``-`` is standard input. An OSError of reading it names it."""
    try:
        if file == "-":
            yield standard_input()
        else:
            with open(file, "rb") as payload:
                yield payload
    except OSError as error:
        raise OSError(error.errno, error.strerror, error.filename or name_of(file)) from error


def standard_input() -> BinaryIO:
    """Standard input's bytes. Raises OSError where it was closed before this process began."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed", "standard input")
    return sys.stdin.buffer


def name_of(file: str) -> str:
    """What FILE is called to a person."""
    return "standard input" if file == "-" else file


def expected_checksum(payload: BinaryIO, given: str, algorithm: str | None) -> str:
    """What --checksum asks for: the hex given, or for ``auto`` that of the file, read once for it."""
    algorithm = algorithm or DEFAULT_ALGORITHM
    if given != "auto":
        return parse_checksum(algorithm, given)
    if not payload.seekable():
        raise click.UsageError("--checksum auto needs a file, standard input can be read only once")
    return checksum_of(payload, algorithm)
