"""What stands in the package's own source: for tests that a thing is said in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import lfsproxy

_ROOT = Path(lfsproxy.__file__).parent


def constants() -> Iterator[tuple[str, object]]:
    """Every constant of the package with its module's path: pieces of f-strings too."""
    for path in _ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                yield path.relative_to(_ROOT).as_posix(), node.value
