"""The lines about uploads and downloads that something logged, as the fields that they have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.logger import LogEvent, formatEvent


def upload_lines(events: Iterable[LogEvent]) -> list[dict[str, Any]]:
    """The fields that have a value of each line about an upload; its text has them too."""
    return _lines(events, "upload")


def download_lines(events: Iterable[LogEvent]) -> list[dict[str, Any]]:
    """The same of downloads."""
    return _lines(events, "download")


def _lines(events: Iterable[LogEvent], kind: str) -> list[dict[str, Any]]:
    found = []
    for event in events:
        fields = event.get("fields")
        if fields is not None and fields["event"] == kind:
            text = formatEvent(event)
            assert text.startswith(f"{kind} result=") and "\n" not in text, text
            given = {name: value for name, value in fields.items() if value not in {None, ""}}
            missing = [name for name in given if name != "event" and f" {name}=" not in text]
            assert not missing, (missing, text)
            found.append(given)
    return found
