"""What a person sees of a long command: bars on a terminal, and lines that do not disturb them.

Bars and warnings go to standard error, results to standard output. Without a terminal there are no bars.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from twisted.logger import LogEvent, LogLevel, formatEvent

from lfsproxy.quoting import printable
from lfsproxy.words import error_text

if TYPE_CHECKING:
    from rich.progress import TaskID


class _Stderr(Console):
    """Standard error. When its reader has gone, the command goes on: it is only no longer shown."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Bar:
    """One line of progress. Cheap enough for each page or batch, not for each record."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int = 1) -> None:
        """That many more are done."""
        self._progress.advance(self._task, count)

    def show(self, what: str | None = None, done: int | None = None, total: int | None = None) -> None:
        """Change what is given: its words, how many are done, how many there are."""
        text = None if what is None else escape(printable(what))
        self._progress.update(self._task, description=text, completed=done, total=total)


class Screen:
    """The standard streams of one command. ``quiet``: no bars, whatever there is."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = _Stderr(stderr=True)
        self._silent = quiet or not self._console.is_terminal
        self._progress: Progress | None = None

    @contextmanager
    def bars(self) -> Iterator[Screen]:
        """Bars can be shown within it; they are gone afterwards."""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=self._silent,
            transient=True,
            # What goes to standard output has to arrive there, also while a bar is shown.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        try:
            with self._progress:
                yield self
        finally:
            self._progress = None

    def bar(self, what: str, total: int | None = None) -> Bar:
        """A new bar, within ``bars``. ``total`` None: nobody knows how many there are."""
        if self._progress is None:
            raise RuntimeError("there are no bars here")
        return Bar(self._progress, self._progress.add_task(escape(printable(what)), total=total))

    @property
    def width(self) -> int | None:
        """The columns of the terminal that ``say`` writes to; None where that is a file or a pipe."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def say(self, line: str) -> None:
        """A line of the result, on standard output. Raises OSError where that takes no more."""
        with self._undisturbed(sys.stdout.isatty()):
            click.echo(line)

    def note(self, line: str) -> None:
        """A line for people, on standard error. Nothing is raised where nobody can read it."""
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _undisturbed(self, terminal: bool) -> Iterator[None]:
        live = self._progress if terminal and not self._silent else None
        if live is not None:
            live.stop()
        try:
            yield
        finally:
            if live is not None:
                live.start()

    def observe(self, event: LogEvent) -> None:
        """A log observer: each event is a line of ``note``, with what failed."""
        level = event.get("log_level") or LogLevel.info
        failure = event.get("log_failure")
        why = "" if failure is None else f": {error_text(failure.value)}"
        self.note(f"{level.name}: {formatEvent(event)}{why}")
