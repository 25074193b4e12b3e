"""Hosts, addresses, URLs and origins."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs

from lfsproxy.settings.kinds import Kind, Needed, list_of, whole

_HOST_NAME = re.compile(
    r"(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?",
    re.ASCII,
)
MAX_PORT = 65535
"""The highest port of TCP."""


def is_host(text: str) -> bool:
    """Whether it is a host name, an IPv4 address or (without brackets) an IPv6 address."""
    if re.fullmatch(r"(.*\.)?[0-9]+", text):
        return _is_address(text)
    return bool(_HOST_NAME.fullmatch(text)) or _is_ipv6(text)


def _is_ipv6(text: str) -> bool:
    return ":" in text and _is_address(text) and not re.search(r"[^A-Za-z0-9_:.%-]", text)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@attrs.frozen
class Address:
    """``host:port``. An empty host listens on every IPv4 and IPv6 address, or connects to localhost."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


_ADDRESS = f"host:port, [v6]:port or :port is needed, with a port up to {MAX_PORT}"


def parse_address(text: str) -> Address:
    """Read ``host:port``, ``[v6]:port`` or ``:port``. Raises ValueError that says what is allowed."""
    found = re.fullmatch(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>[0-9]{1,5})", text)
    if not found or int(found["port"]) > MAX_PORT:
        raise ValueError(_ADDRESS)
    host = found["v6"] or found["host"] or ""
    if not (_is_ipv6(host) if found["v6"] else not host or is_host(host)):
        raise ValueError(_ADDRESS)
    return Address(host, int(found["port"]))


def _read_brokers(text: str) -> tuple[Address, ...]:
    needed = Needed(
        f"host:port or [v6]:port, or several with commas between them, with ports up to {MAX_PORT},"
    )
    try:
        addresses = tuple(parse_address(part.strip(" ")) for part in text.split(",") if part.strip(" "))
    except ValueError:
        raise needed from None
    if not addresses:
        raise needed
    if any(not address.port for address in addresses):
        raise Needed(f"a port from 1 to {MAX_PORT}")
    return addresses


def _read_advertised_host(text: str) -> str:
    if text and not is_host(text):
        raise Needed("a host name or an IP address, without a scheme or a port,")
    if text and text in {"0.0.0.0", "::"}:
        raise ValueError("an address that clients can connect to is needed")
    return text


def _read_port(text: str) -> int | None:
    return int(_PORT(text)) if text.strip() else None


_PORT = whole(1, MAX_PORT)
PORT = Kind(f"{_PORT.allowed}, or empty", _read_port, _PORT.examples)
ADDRESS = Kind(
    f"host:port, [v6]:port or :port, with a port up to {MAX_PORT}", parse_address, ("127.0.0.1:1", "[::1]:2")
)
BROKERS = Kind(
    "host:port or [v6]:port, or several with commas between them", _read_brokers, ("a:1", "a:1, [::1]:2")
)
ADVERTISED_HOST = Kind(
    "a host name or an IP address, or empty", _read_advertised_host, ("proxy.example", "10.0.0.1")
)


def _read_url(text: str) -> str:
    if not text:
        return text
    needed = "a URL such as http://localhost:9000 is needed, or nothing for AWS"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{needed}, with a port from 1 to {MAX_PORT}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"[^!-~]", text):
        raise ValueError(needed)
    if port == 0 or parts.netloc.endswith(":"):
        raise Needed(f"a port from 1 to {MAX_PORT}")
    if parts.path not in {"", "/"} or re.search("[?#@]", text):
        raise Needed("a URL without a path, query or user name")
    if not is_host(parts.hostname):
        raise ValueError(needed)
    return text.rstrip("/")


def _read_token_url(text: str) -> str:
    if not text:
        return text
    needed = Needed("a URL such as https://sso.example/realms/main/token, without a user name or #,")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise needed from None
    is_url = parts.scheme in {"http", "https"} and parts.hostname and is_host(parts.hostname)
    if not is_url or port == 0 or parts.netloc.endswith(":") or re.search(r"[^!-~]|[@#]", text):
        raise needed
    return text


def _read_origins(text: str) -> tuple[str, ...]:
    origins: tuple[str, ...] = _ORIGINS(text)
    for origin in origins:
        host, _, port = origin.partition("://")[2].rstrip("]").partition(":")
        if origin != "*" and "[" not in origin and not (is_host(host) and int(port or 1) <= MAX_PORT):
            _ORIGINS("not an origin")
    return origins


URL = Kind(
    "a URL such as http://localhost:9000, without a path, or empty",
    _read_url,
    ("http://localhost:9000", "https://store.example"),
)
TOKEN_URL = Kind(
    "a URL such as https://sso.example/realms/main/token, or empty",
    _read_token_url,
    ("https://sso.example/oauth/token", "https://sso.example/realms/main/token?x=y"),
)
_ORIGINS = list_of(
    "* or origins such as https://app.example.com",
    r"\*|[a-z][a-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?",
    ("*", "https://a.example, https://b.example"),
    may_be_empty=True,
    strip="/",
)
ORIGINS = Kind(_ORIGINS.allowed, _read_origins, _ORIGINS.examples)
