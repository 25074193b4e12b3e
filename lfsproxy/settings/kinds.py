"""Kinds of values: each reads one setting's text, or raises ValueError that says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import attrs

from lfsproxy.checksums import ALGORITHMS

_OWN_SEGMENTS = ("v1", "assets", "docs", "healthz", "openapi.json", "readyz")


@attrs.frozen
class Address:
    """``host:port``. An empty host listens on every IPv4 and IPv6 address, or connects to localhost."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read ``host:port``, ``[v6]:port`` or ``:port``. Raises ValueError that says what is allowed."""
    found = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>\d{1,5})", text)
    if not found or int(found["port"]) > 65535:
        raise ValueError("host:port, [v6]:port or :port is needed, with a port up to 65535")
    return Address(found["v6"] or found["host"] or "", int(found["port"]))


def text(text: str) -> str:
    return text


def bucket(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", text):
        raise ValueError("a bucket name is needed")
    return text


def namespace(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", text) or text in {".", ".."}:
        raise ValueError("up to 128 letters, digits, '.', '_' and '-' are needed")
    return text


def url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("a URL such as http://localhost:9000 is needed, or nothing for AWS")
    if parts.port == 0:
        raise ValueError("a port from 1 to 65535 is needed")
    if text and (parts.path not in {"", "/"} or parts.query or parts.username):
        raise ValueError("a URL without a path, query or user name is needed")
    return text.rstrip("/")


def base_path(text: str) -> str:
    segments = text.strip("/").split("/")
    allowed = all(re.fullmatch(r"[A-Za-z0-9._~-]+", each) and each.strip(".") for each in segments)
    if text.strip("/") and not (text.startswith("/") and allowed):
        raise ValueError(
            "a path such as /lfs is needed: letters, digits, '.', '_', '~' and '-' between slashes"
        )
    if segments[0] in _OWN_SEGMENTS:
        raise ValueError(f"a path is needed that does not begin with the API's own /{segments[0]}")
    return text.rstrip("/")


def flag(text: str) -> bool:
    value = text.strip().lower()
    if value in {"true", "1", "yes", "on"}:
        return True
    if value in {"false", "0", "no", "off"}:
        return False
    raise ValueError("true or false is needed")


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    def parse(text: str) -> int:
        allowed = f"a whole number from {low}" + (f" to {high}" if high is not None else "") + " is needed"
        if not re.fullmatch(r"\d{1,19}", text.strip()):
            raise ValueError(allowed)
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError(allowed)
        return value

    return parse


def seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text.strip()) or float(text) <= 0:
        raise ValueError("a number of seconds above 0 is needed")
    return float(text)


def port(text: str) -> int | None:
    return whole(1, 65535)(text) if text.strip() else None


def algorithm(text: str) -> str:
    return one_of(*ALGORITHMS)(text)


def one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"one of {', '.join(names)} is needed")
        return text

    return parse


def addresses(text: str) -> tuple[Address, ...]:
    addresses = tuple(parse_address(part.strip()) for part in text.split(",") if part.strip())
    if not addresses:
        raise ValueError("host:port is needed, or several with commas between them")
    return addresses


def globs(text: str) -> tuple[str, ...]:
    globs = tuple(part.strip() for part in text.split(",") if part.strip())
    if not globs:
        raise ValueError("topic names or globs are needed, with commas between them")
    return globs


def prefixes(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s,]+", origin):
            raise ValueError("* or origins such as https://app.example.com are needed, with commas between")
    return origins
