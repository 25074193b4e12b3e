"""Standard output as a pipe: whether somebody still reads it. Imports nothing that takes time."""

from __future__ import annotations

import errno
import io
import os
import select
import sys


def has_lost_its_reader(number: int) -> bool:
    """Whether a descriptor is a pipe that nobody reads. What was written to it may be out of the buffer."""
    poll = select.poll()
    poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def check_reader() -> None:
    """Raise BrokenPipeError when nobody reads standard output: with nothing to write, nobody would notice."""
    try:
        lost = sys.stdout is not None and has_lost_its_reader(sys.stdout.fileno())
    except io.UnsupportedOperation:
        # It is no file, as in tests.
        return
    if lost:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
