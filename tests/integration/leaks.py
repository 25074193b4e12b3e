"""What was printed is searched for secrets, in each form in which a program may have written them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

CONTEXT = 80
"""Characters that are shown before a secret that was found."""


def forms(secret: str) -> set[str]:
    """How a secret may look: as it is, escaped, by percent signs, in hex, in base64 among other bytes."""
    raw = secret.encode()
    found = {secret, json.dumps(secret)[1:-1], repr(raw)[2:-1], repr(secret)[1:-1], raw.hex()}
    by_percent = {quote(secret, safe=""), quote_plus(secret), quote(secret)}
    found |= by_percent | {re.sub("%..", lambda each: each[0].lower(), text) for text in by_percent}
    for text in {secret, *by_percent}:
        found |= set(_in_base64(text.encode()))
    return found


def _in_base64(raw: bytes) -> Iterator[str]:
    """The digits that are the same whatever is before and behind, for each of three ways to lie."""
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + raw).decode()[first:last]


def lines_of_key(file: Path) -> list[str]:
    """The lines of a PEM file's private key, without those that say so."""
    text = file.read_text()
    return [line for line in text.splitlines() if line and not line.startswith("-----")]


def leaks(secrets: Mapping[str, str], said: Mapping[str, str]) -> list[str]:
    """A line for each secret (by its name) and each output (by its name) in which it is."""
    found = []
    for name, secret in secrets.items():
        looked_for = sorted(forms(secret), key=len)
        for where, text in said.items():
            places = [(text.find(form), form) for form in looked_for]
            for place, form in [each for each in places if each[0] >= 0][:1]:
                shown = text[max(0, place - CONTEXT) : place + len(form)]
                found.append(f"{name} is in {where}: {shown!r}")
    return found
