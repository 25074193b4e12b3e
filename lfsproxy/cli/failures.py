"""What a command says, and the status that it ends with, by the exception that ended it.

| status | when |
|---|---|
| 0 | done |
| 1 | failed: the sentence says why |
| 2 | the command line was not understood; an upkeep command could not run, the sentence says why |
| 70 | a bug in lfsproxy |
| 130 | Ctrl-C, as shells count SIGINT |
| 141 | the reader of standard output has gone, as shells count SIGPIPE |
| 143 | an upkeep command was ended by SIGTERM |

1 of an upkeep command means that it found something.
"""

from __future__ import annotations

import errno
import os

import click
from kafka.errors import KafkaError

from lfsproxy.cli.kafka_words import describe
from lfsproxy.cli.signing import SignInWithheld
from lfsproxy.errors import LfsError
from lfsproxy.quoting import printable, quoted
from lfsproxy.words import BUG_SHOWN, bug_text, error_text

FAILED = 1
NOT_UNDERSTOOD = 2
BUG = 70
INTERRUPTED = 130
READER_GONE = 141
TERMINATED = 143

UPKEEP = ("gc", "fsck", "check")
"""Commands that exit with 1 for what they found, and with 2 where they could not run."""

_MOST = 2000
_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
_MAY_HAVE_PUBLISHED = "interrupted: if all was sent by then, the record may be published nevertheless"
_INTERRUPTED = {
    # Ctrl-C is how it is meant to end.
    "consume": "",
    "upload": _MAY_HAVE_PUBLISHED,
    "produce": _MAY_HAVE_PUBLISHED,
}


class Failure(click.ClickException):
    """A sentence, on one line, and an exit status; where the sentence is empty, only that."""

    def __init__(self, sentence: str, status: int = FAILED) -> None:
        super().__init__(printable(" ".join(sentence[:_MOST].split())))
        self.exit_code = status  # type: ignore[misc]  # click reads it from the exception

    def show(self, file: object = None) -> None:
        if self.message:
            super().show()


def failure(error: BaseException, command: str, stdout_trouble: OSError | None = None) -> Failure:
    """The failure of a command. ``stdout_trouble`` is what is wrong with standard output, if anything is."""
    told = _failure(error, command, stdout_trouble)
    if command in UPKEEP and told.exit_code == FAILED:
        told.exit_code = NOT_UNDERSTOOD  # type: ignore[misc]  # click reads it from the exception
    return told


def _failure(error: BaseException, command: str, stdout_trouble: OSError | None) -> Failure:
    if isinstance(error, KeyboardInterrupt):
        return Failure(_INTERRUPTED.get(command, "interrupted"), INTERRUPTED)
    if isinstance(error, BrokenPipeError) and stdout_trouble is not None:
        return Failure("", READER_GONE)
    if isinstance(error, LfsError):
        return Failure(error_text(error))
    if isinstance(error, SignInWithheld):
        return Failure(str(error.args[0]))
    if isinstance(error, KafkaError):
        return Failure(f"Kafka: {describe(error)}")
    if isinstance(error, UnicodeEncodeError):
        return Failure(f"an argument is not UTF-8: {quoted(str(error.object))}", NOT_UNDERSTOOD)
    if isinstance(error, OSError):
        place = error.filename
        if place is None and (stdout_trouble is not None or error.errno in _WRITING):
            # Every other file is named where it is opened or read.
            place = "standard output"
        return Failure(f"{_name(place)}{error_text(error)}{_way_out(error.errno)}")
    if isinstance(error, MemoryError):
        return Failure("there is not enough memory: lfsproxy upload streams a file of any size")
    return Failure(f"{bug_text(error)}; {BUG_SHOWN}", BUG)


def _name(place: object) -> str:
    """What an error is about, before its sentence."""
    if isinstance(place, bytes):
        place = os.fsdecode(place)
    return "" if place is None else f"{place}: "


def _way_out(number: int | None) -> str:
    return {
        errno.ENOSPC: "; make room, or name another place",
        errno.EDQUOT: "; make room, or name another place",
    }.get(number or 0, "")
