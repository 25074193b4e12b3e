"""Where results are shown: pictures in a folder, and the page of benchmarks between two comments."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compare.bars import PICTURES, picture
from benchmarks.compare.results import Results

PAGE = "benchmarks.md"
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"


def draw(results: Results, folder: Path) -> None:
    """Each picture, for light and for dark pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        for kind in ("light", "dark"):
            file = folder / f"{name}-{kind}.svg"
            file.write_text(picture(results, name, kind == "dark"), encoding="utf-8")


def write(results: Results, docs: Path, tables: str) -> None:
    """Put tables and pictures into the documentation's folder, in place of those that are there."""
    path = docs / PAGE
    path.write_text(replaced(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
    draw(results, docs / "images")


def replaced(page: str, tables: str) -> str:
    """The page with other tables. Raises ValueError where it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    pictures = "\n\n".join(f"![{title}](images/{name}-light.svg)" for name, (_, title) in PICTURES.items())
    return f"{before}{begin}\n\n{tables.strip()}\n\n{pictures}\n\n{end}{after}"
