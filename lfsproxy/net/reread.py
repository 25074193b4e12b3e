"""Files that settings name, read anew when they change, without a restart.

A file that cannot be used at start stops the start; one that turns bad later is logged, and what was read
last stays in use.
"""

from __future__ import annotations

import os
from typing import Generic, TypeVar

from lfsproxy.errors import SettingError
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted_setting
from lfsproxy.words import error_text

T = TypeVar("T")

_log = Logger()

_Stamp = tuple[tuple[int, int, int], ...]


class Reread(Generic[T]):
    """What ``make`` makes of the files. ``settings`` name them: variable to path, "" where it is not set.

    ``what`` they hold and what they are ``needed`` as is for the log.
    """

    what = ""
    needed = ""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = {name: path for name, path in settings.items() if path}
        self._seen: _Stamp | None = None
        self._made: T | None = None

    def current(self) -> T:
        """What was made of the files as they are now, or as they last were usable.

        Raises SettingError where they never were.
        """
        stamp = self._stamp()
        if self._made is None or stamp != self._seen:
            try:
                made = self.make()
            except Exception as error:
                why = self.reason(error)
                if why is None:
                    raise
                self._complain(why)
            else:
                if self._made is not None:
                    files = ", ".join(self._settings.values())
                    _log.info("read the {what} anew: {files}", what=self.what, files=files)
                self._made = made
            self._seen = stamp
        assert self._made is not None  # else _complain has raised
        return self._made

    def make(self) -> T:
        """Read the files. What it raises is given to ``reason``."""
        raise NotImplementedError

    def reason(self, error: Exception) -> str | None:
        """What is wrong with the files, in words; None where the error is not about them."""
        if isinstance(error, ValueError):
            return str(error)
        return error_text(error) if isinstance(error, OSError) else None

    def _complain(self, why: str) -> None:
        names = ", ".join(f"{name} is {quoted_setting(path)}" for name, path in self._settings.items())
        if self._made is None:
            raise SettingError(f"{names}: not usable as {self.needed} ({why})", settings=self._settings)
        _log.error(
            "{names}: not usable now, the ones read before stay ({why})",
            names=names,
            why=why,
        )

    def _stamp(self) -> _Stamp:
        return tuple(_identity(path) for path in self._settings.values())


def _identity(path: str) -> tuple[int, int, int]:
    """What changes when a file does, also where a link is set to another one."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
