"""How far a look has come, in a file from which it can go on: what was looked for, offsets, counts, findings.

The file is JSON, and replaced as a whole: whenever the process ends, it has one state or the next one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from lfsproxy.errors import SettingError
from lfsproxy.quoting import quoted_setting
from lfsproxy.upkeep.findings.found import KEPT, Counts

VERSION: Final = 1


@attrs.define
class Place:
    """A partition that is looked through from offset ``first`` to before ``end``; ``next`` is what comes."""

    topic: str
    partition: int
    first: int
    next: int
    end: int


@attrs.define
class State:
    """All of a look. ``options`` are what it looks for; ``ids`` tell topics from earlier ones of their names.

    ``findings`` are the first KEPT of ``found``, as JSON objects.
    """

    options: Mapping[str, Any]
    ids: dict[str, str] = attrs.Factory(dict)
    places: list[Place] = attrs.Factory(list)
    counts: dict[str, Counts] = attrs.Factory(dict)
    findings: list[Mapping[str, Any]] = attrs.Factory(list)
    found: int = 0

    def note(self, finding: Mapping[str, Any]) -> None:
        """One more finding about a record."""
        self.found += 1
        if len(self.findings) < KEPT:
            self.findings.append(finding)

    def forget(self, topic: str) -> None:
        """The topic is gone: nothing of it was looked at."""
        self.ids.pop(topic, None)
        self.counts.pop(topic, None)
        self.places = [place for place in self.places if place.topic != topic]

    @property
    def left(self) -> list[Place]:
        """What is not looked through yet."""
        return [place for place in self.places if place.next < place.end]

    def total(self) -> Counts:
        """What was counted of all topics."""
        total = Counts()
        for counts in self.counts.values():
            total.add(counts)
        return total


def load(path: Path, options: Mapping[str, Any]) -> State | None:
    """The state in a file, None where there is no file. Raises SettingError, and OSError that names the file.

    ``options`` have to be those that the file was written with.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    try:
        state = _read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SettingError(f"{quoted_setting(str(path))} is no file of lfsproxy fsck --resume") from None
    for name, given in options.items():
        if state.options.get(name) != given:
            had = quoted_setting(json.dumps(state.options.get(name), ensure_ascii=False))
            raise SettingError(
                f"{quoted_setting(str(path))} is of another look, which had {name} {had}: name another file, "
                "or remove it to begin anew"
            )
    return state


def _read(fields: Mapping[str, Any]) -> State:
    if fields["version"] != VERSION:
        raise ValueError("another version")
    places = [Place(**each) for each in fields["places"]]
    for place in places:
        if not 0 <= place.first <= place.next or not isinstance(place.end, int):
            raise ValueError("no offsets")
    counts = {topic: Counts(**each) for topic, each in fields["counts"].items()}
    return State(
        dict(fields["options"]),
        dict(fields["ids"]),
        places,
        counts,
        list(fields["findings"]),
        int(fields["found"]),
    )


def save(path: Path, state: State) -> None:
    """Write the state over the file, if any, in one step. Raises OSError that names the file."""
    text = json.dumps({"version": VERSION, **attrs.asdict(state)})
    new = path.with_name(f"{path.name}.new")
    try:
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise type(error)(error.errno, error.strerror, str(path)) from None


def remove(path: Path) -> None:
    """The look has come to its end. Raises OSError that names the file."""
    path.unlink(missing_ok=True)
