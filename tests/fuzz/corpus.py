"""The kept inputs, by target: one for each outcome that was ever seen, and each that ever broke a reader."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "vectors" / "fuzz"


def load(name: str) -> dict[str, str]:
    """Inputs in hex to their outcomes."""
    file = FOLDER / f"{name}.json"
    inputs: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return inputs


def save(name: str, inputs: dict[str, str]) -> None:
    """Write a target's inputs, by their outcomes."""
    FOLDER.mkdir(exist_ok=True)
    ordered = dict(sorted(inputs.items(), key=lambda each: (each[1], each[0])))
    (FOLDER / f"{name}.json").write_text(json.dumps(ordered, indent=1) + "\n")
