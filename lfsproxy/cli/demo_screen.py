"""What the demo shows: steps, and bars where bytes move; plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

MIB = 1024 * 1024
_LINE_SECONDS = 3.0
"""Between two lines about one transfer, where the output is no terminal."""

Move = Callable[[int], None]
"""Called with how many bytes of all have moved so far."""


class Screen:
    """The terminal, or the log that the output goes to."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._steps = 0

    @property
    def terminal(self) -> bool:
        """Whether a person is watching."""
        return self.console.is_terminal

    def step(self, title: str) -> None:
        """Begin the next step of the round."""
        self._steps += 1
        self.console.print(f"\n[bold cyan]{self._steps}.[/] [bold]{_plain(title)}[/]", soft_wrap=True)

    def say(self, text: str) -> None:
        """A line below the step, as it is."""
        self.console.print(f"   {text}", markup=False, soft_wrap=True)

    def good(self, text: str) -> None:
        """A line that says something was checked and is right."""
        self.console.print(f"   [green]ok[/] {_plain(text)}", soft_wrap=True)

    def heading(self, text: str) -> None:
        """A line of its own, not a step."""
        self.console.print(f"\n[bold]{_plain(text)}[/]", soft_wrap=True)

    @contextmanager
    def moving(self, title: str, total: int) -> Iterator[Move]:
        """A bar for ``total`` bytes; the body calls what it gets with the bytes moved so far."""
        started = time.monotonic()
        if self.terminal:
            columns = (
                TextColumn("   {task.description}"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
            )
            with Progress(*columns, console=self.console, transient=True) as bars:
                task = bars.add_task(title, total=total)
                yield lambda moved: bars.update(task, completed=moved)
        else:
            yield self._lines(title, total)
        seconds = max(time.monotonic() - started, 1e-3)
        self.say(f"{title}: {total / MIB:.0f} MiB in {seconds:.1f} s ({total / MIB / seconds:.0f} MiB/s)")

    def _lines(self, title: str, total: int) -> Move:
        due = time.monotonic() + _LINE_SECONDS

        def move(moved: int) -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + _LINE_SECONDS
                self.say(f"{title}: {moved / MIB:.0f} of {total / MIB:.0f} MiB")

        return move


def _plain(text: str) -> str:
    """Text in which brackets are no markup."""
    return text.replace("[", "\\[")
