"""Running a client's tools: to their ends, with what they wrote in a file."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import click


def run(
    command: Sequence[str], folder: Path, output: Path, environment: Mapping[str, str], seconds: float
) -> None:
    """Run a program in ``folder``, whatever its status, with stdout and stderr in ``output``.

    One that takes longer than ``seconds`` is killed: what it has written by then stays.
    """
    with output.open("wb") as file:
        try:
            subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            click.echo(f"{command[0]} has not ended within {seconds:.0f} s: see {output}", err=True)


def output_of(command: Sequence[str], folder: Path) -> str:
    """What a program writes to stdout. Raises ClickException where its status is not 0, with what it said."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise click.ClickException(f"{command[0]} is not on PATH.") from error
    if done.returncode != 0:
        raise click.ClickException(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
