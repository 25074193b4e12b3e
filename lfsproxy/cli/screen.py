"""What a person sees of a transfer, on standard error: a bar on a terminal, one plain line otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from lfsproxy.quoting import printable

MIB = 1024 * 1024


class _Console(Console):
    """Standard error. When its reader has gone, the transfer goes on: it is only no longer shown."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


@contextmanager
def transfer(
    what: str, total: int | None, quiet: bool = False, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Show a transfer of ``total`` bytes (None: not known); call what it yields with each piece's size."""
    console = _Console(stderr=True, quiet=quiet)
    what = printable(what)
    sent, started = 0, clock()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=total)

        def advance(size: int) -> None:
            nonlocal sent
            sent += size
            bar.advance(task, size)

        yield advance
    seconds = max(clock() - started, 0.001)
    console.print(
        f"{what}: {sent} bytes in {seconds:.1f} s ({sent / MIB / seconds:.1f} MiB/s)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
