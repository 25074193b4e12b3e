"""The fenced code blocks of a Markdown page, and the examples that they show.

A block shows an example where the line before it is a comment that names one:

    <!-- examples/go/upload.go -->           the file's whole text
    <!-- examples/go/setup.sh#franz -->      the lines between ``[franz]`` and ``[/franz]``, which stand
                                             in comments of the language, each alone on its line
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import attrs

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*([\w+-]*)")
SHOWS = re.compile(r"^\s*<!--\s*(examples/[^\s#]+)(?:#([\w-]+))?\s*-->\s*$")
MARKER = re.compile(r"^\s*(?://|#|/\*|<!--)\s*\[(/?[\w-]+)\]\s*(?:\*/|-->)?\s*$")


class ExampleError(Exception):
    """An example that is named and cannot be had."""


@attrs.frozen
class Block:
    """``code`` is without the fence's indentation; ``file`` and ``part`` are what the comment names."""

    line: int
    language: str
    code: str
    file: str | None
    part: str | None


def blocks_of(page: str) -> Iterator[Block]:
    """The fenced blocks of a page's text, in order."""
    lines = page.splitlines()
    at = 0
    while at < len(lines):
        if (opening := FENCE.match(lines[at])) is None:
            at += 1
            continue
        indent, fence, language = opening.groups()
        closing = re.compile(rf"^ *{re.escape(fence)}{re.escape(fence[0])}*\s*$")
        end = next((n for n in range(at + 1, len(lines)) if closing.match(lines[n])), len(lines))
        shows = SHOWS.match(lines[at - 1]) if at else None
        file, part = shows.groups() if shows else (None, None)
        code = "".join(f"{line.removeprefix(indent)}\n" for line in lines[at + 1 : end])
        yield Block(at + 1, language.lower(), code, file, part)
        at = end + 1


def comments_of(page: str) -> int:
    """How many lines of a page's text name an example."""
    return sum(1 for line in page.splitlines() if SHOWS.match(line))


def example(root: Path, file: str, part: str | None) -> str:
    """The text of an example below ``root``, or of one part of it, dedented. Raises ExampleError."""
    path = root / file
    if not path.is_file():
        raise ExampleError(f"there is no {file}")
    text = path.read_text(encoding="utf-8")
    return text if part is None else part_of(text, part, file)


def part_of(text: str, part: str, file: str) -> str:
    """The lines between the markers of ``part``, dedented, without the markers of other parts."""
    lines = text.splitlines(keepends=True)
    names = [found[1] if (found := MARKER.match(line)) else None for line in lines]
    if names.count(part) != 1 or names.count(f"/{part}") != 1:
        raise ExampleError(f"{file} does not have [{part}] and [/{part}] once each")
    inside = range(names.index(part) + 1, names.index(f"/{part}"))
    return dedent("".join(lines[n] for n in inside if names[n] is None))
