"""API keys of the HTTP door: how a token looks, and the file that says what each key may do.

    lfsproxy_<id>_<secret>      id: 12 hex digits, to find the key by; secret: 43 characters of base64url

The file holds a key's SHA-256, not the key. A plain hash suffices, without salt or stretching: the secret is
256 random bits, so that there is no list of likely ones to try, as there is of passwords, and no two keys
are the same. A check costs one hash, and is done in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import attrs

from lfsproxy.names import GLOB_PATTERN
from lfsproxy.quoting import quoted
from lfsproxy.web.operations import READ, WRITE

PREFIX = "lfsproxy_"
ACTIONS = (READ, WRITE)

_TOKEN = re.compile(rf"{PREFIX}(?P<id>[0-9a-f]{{12}})_[A-Za-z0-9_-]{{43}}")
_NO_KEYS_HASH = "0" * 64
_FIELDS = {"id", "name", "sha256", "topics", "actions", "created", "expires"}


@attrs.frozen
class ApiKey:
    """One key. ``topics`` are globs, ``actions`` some of read and write, ``sha256`` the token's, in hex.

    ``expires`` None: never.
    """

    id: str
    name: str
    sha256: str
    topics: tuple[str, ...]
    actions: tuple[str, ...]
    created: datetime
    expires: datetime | None = None

    def allows(self, action: str, topic: str) -> bool:
        """Whether it may be used for this."""
        return action in self.actions and any(fnmatchcase(topic, glob) for glob in self.topics)

    def is_expired(self, now: float) -> bool:
        """Whether it may no longer be used; ``now`` in seconds since the epoch."""
        return self.expires is not None and self.expires.timestamp() <= now


class ApiKeys:
    """Every key, by its id."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {key.id: key for key in keys}

    def find(self, token: str) -> ApiKey | None:
        """The key that a token is of, None where it is of none."""
        found = _TOKEN.fullmatch(token)
        key = self._keys.get(found["id"]) if found else None
        # The same work for an id that nobody has.
        known = hmac.compare_digest(_hash(token), key.sha256 if key is not None else _NO_KEYS_HASH)
        return key if known else None


def new_key(
    name: str,
    topics: Iterable[str],
    actions: Iterable[str],
    now: datetime,
    expires: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its token, which is nowhere else."""
    id = secrets.token_hex(6)
    token = f"{PREFIX}{id}_{secrets.token_urlsafe(32)}"
    return ApiKey(id, name, _hash(token), tuple(topics), tuple(actions), now, expires), token


def read_keys(text: str) -> list[ApiKey]:
    """The keys of a file's text. Raises ValueError that says what is wrong where."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON, at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(document, dict) or set(document) != {"keys"} or not isinstance(document["keys"], list):
        raise ValueError('an object with "keys", a list, is needed')
    keys = [_read_key(item, f"key {number}") for number, item in enumerate(document["keys"], 1)]
    for of in ("id", "name"):
        counted = Counter(getattr(key, of) for key in keys)
        for value, count in counted.most_common(1):
            if count > 1:
                raise ValueError(f"two keys have the {of} {quoted(value)}")
    return keys


def write_keys(keys: Iterable[ApiKey]) -> str:
    """The text of a file with these keys."""
    return json.dumps({"keys": [_describe(key) for key in keys]}, indent=2, ensure_ascii=False) + "\n"


def check_name(name: str) -> str:
    """The name back, where it can be a key's. Raises ValueError."""
    if not name or len(name) > 100 or not name.isprintable():
        raise ValueError(f"the name {quoted(name)} is not 1 to 100 printable characters")
    return name


def check_topic(glob: str) -> str:
    """The glob back, where it can match a topic. Raises ValueError."""
    if not re.fullmatch(GLOB_PATTERN, glob):
        raise ValueError(f"{quoted(glob)} is neither a topic's name nor a glob of one")
    return glob


def read_time(text: str) -> datetime:
    """A date or time by ISO 8601; UTC where it does not say otherwise. Raises ValueError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a time such as 2030-01-31T12:00:00Z") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _read_key(item: Any, where: str) -> ApiKey:
    if not isinstance(item, dict):
        raise ValueError(f"{where} is not an object")
    name = item.get("name")
    if isinstance(name, str) and name:
        where = f"{where} ({name[:80]})"
    strange = sorted(set(item) - _FIELDS)
    if strange:
        raise ValueError(f"{where} has an unknown field {quoted(strange[0])}")
    try:
        key = ApiKey(
            id=_matching(item["id"], r"[0-9a-f]{12}", "id"),
            name=check_name(_matching(item["name"], r".*", "name")),
            sha256=_matching(item["sha256"], r"[0-9a-f]{64}", "sha256"),
            topics=tuple(check_topic(glob) for glob in _list(item["topics"], "topics")),
            actions=tuple(
                _matching(action, "|".join(ACTIONS), "actions")
                for action in _list(item["actions"], "actions")
            ),
            created=read_time(_matching(item["created"], r".*", "created")),
            expires=None
            if item.get("expires") is None
            else read_time(_matching(item["expires"], r".*", "expires")),
        )
    except KeyError as error:
        raise ValueError(f"{where} has no {error.args[0]}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return key


def _matching(value: Any, pattern: str, field: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value, re.DOTALL):
        raise ValueError(f"{field} is {quoted(str(value))}")
    return value


def _list(value: Any, field: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{field} is not a list of at least one text")
    return value


def _describe(key: ApiKey) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": key.id,
        "name": key.name,
        "sha256": key.sha256,
        "topics": list(key.topics),
        "actions": list(key.actions),
        "created": key.created.isoformat(timespec="seconds"),
    }
    if key.expires is not None:
        described["expires"] = key.expires.isoformat(timespec="seconds")
    return described


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
