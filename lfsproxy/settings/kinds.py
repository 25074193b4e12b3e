"""Kinds of values: each reads one setting's text, or raises ValueError that says what is allowed.

Hosts, addresses and URLs are in lfsproxy.settings.hosts, sizes and times in lfsproxy.settings.quantities.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from lfsproxy.envelope import topic_prefix
from lfsproxy.names import GLOB_PATTERN

# What the API's own paths begin with.
_OWN_SEGMENTS = ("v1", "assets", "docs", "healthz", "openapi.json", "readyz")


@attrs.frozen
class Kind:
    """Reads a setting's text. ``allowed`` is what the text has to be, for people: "true or false".

    ``examples`` are texts that are taken, at least two; tests try each setting with one that is not its
    default. ``is_file``: the text names a file, which has to be readable when the proxy starts.
    """

    allowed: str
    read: Callable[[str], Any]
    examples: Sequence[str]
    is_file: bool = False

    def __call__(self, text: str) -> Any:
        """The value. Raises ValueError, a sentence that says what is allowed."""
        return self.read(text)


class Needed(ValueError):
    """What a text would have to be."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"{allowed} {'are' if allowed.startswith('up to') else 'is'} needed")


def _matching(pattern: str, allowed: str, examples: Sequence[str], refused: Sequence[str] = ()) -> Kind:
    """A text that matches the whole pattern and is not one of ``refused``."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII) or text in refused:
            raise Needed(allowed)
        return text

    return Kind(allowed, read, examples)


def one_of(*names: str, ignore_case: bool = False) -> Kind:
    """One of some names; "" among them is for none."""
    allowed = f"one of {', '.join(name for name in names if name)}"

    def read(text: str) -> str:
        given = text.lower() if ignore_case else text
        if given not in names:
            raise Needed(allowed)
        return given

    return Kind(allowed, read, [name for name in names if name])


def whole(low: int, high: int | None = None) -> Kind:
    """A whole number in a range."""
    allowed = f"a whole number from {low}" + (f" to {high}" if high is not None else "")

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text.strip()):
            raise Needed(allowed)
        value = int(text)
        if value < low or (high is not None and value > high):
            raise Needed(allowed)
        return value

    return Kind(allowed, read, (str(low), str(low + 1)))


def _read_flag(text: str) -> bool:
    value = text.strip().lower()
    if value in {"true", "1", "yes", "on"}:
        return True
    if value in {"false", "0", "no", "off"}:
        return False
    raise Needed("true or false")


FLAG = Kind("true or false", _read_flag, ("true", "false"))
BUCKET = _matching(
    r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}",
    "a bucket name (letters, digits, '.', '_' and '-')",
    ("blobs", "other-blobs"),
)
REGION = _matching(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "a region such as us-east-1 or auto (letters, digits, '.', '_' and '-')",
    ("auto", "eu-west-1"),
)
KMS_KEY = _matching(
    r"|(alias/|arn:[a-z0-9-]+:kms:[A-Za-z0-9:/-]+/)?[A-Za-z0-9][A-Za-z0-9_-]{0,255}",
    "a key's id, alias or ARN such as alias/blobs (letters, digits, '_' and '-')",
    ("alias/blobs", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
)
STORAGE_CLASS = _matching(
    r"|[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
    "a storage class such as STANDARD_IA, not GLACIER or DEEP_ARCHIVE, whose objects cannot be read at once",
    ("STANDARD_IA", "INTELLIGENT_TIERING"),
    refused=("GLACIER", "DEEP_ARCHIVE"),
)
NAMESPACE = _matching(
    r"[A-Za-z0-9._-]{1,128}",
    "up to 128 letters, digits, '.', '_' and '-'",
    ("team", "another"),
    refused=(".", ".."),
)


def _read_base_path(text: str) -> str:
    segments = text.strip("/").split("/")
    shape = re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", text)
    if not shape or not all(each.strip(".") for each in segments if each):
        raise Needed("a path such as /lfs (letters, digits, '.', '_', '~' and '-' between slashes)")
    if segments[0] in _OWN_SEGMENTS:
        raise ValueError(f"a path is needed that does not begin with the API's own /{segments[0]}")
    return text.rstrip("/")


def _read_text(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise Needed("a text without line ends and other control characters")
    return text


def _read_secret(text: str) -> str:
    return text


def list_of(
    allowed: str, pattern: str, examples: Sequence[str], may_be_empty: bool = False, strip: str = ""
) -> Kind:
    """Texts with commas between them, each of which matches the whole pattern."""

    def read(text: str) -> tuple[str, ...]:
        found = tuple(part.strip(" ") for part in text.split(",") if part.strip(" "))
        if strip:
            found = tuple(part.rstrip(strip) for part in found)
        if not all(re.fullmatch(pattern, part, re.ASCII) for part in found) or not (found or may_be_empty):
            raise ValueError(f"{allowed} are needed, with commas between them")
        return found

    return Kind(f"{allowed}, with commas between them", read, examples)


TEXT = Kind("any text on one line", _read_text, ("a text", "another"))
SECRET = Kind("any text", _read_secret, ("a secret", "another"))
FILE = Kind(
    "the path of a file that the proxy can read", _read_text, ("/etc/file.pem", "file.pem"), is_file=True
)
BASE_PATH = Kind("a path such as /lfs, or empty", _read_base_path, ("/lfs", "/a/lfs"))
TOPICS = list_of(
    "topic names or globs (letters, digits, '.', '_', '-', *, ?, [ and ])", GLOB_PATTERN, ("a*,b", "photos")
)
HYDRATED_TOPICS = list_of(
    "topic names or globs (letters, digits, '.', '_', '-', *, ?, [ and ]; a ! before those that are left "
    "out)",
    rf"!?(?!!){GLOB_PATTERN}",
    ("photos,video-*", "*,!audit"),
    may_be_empty=True,
)
CLIENT_IDS = list_of(
    "client ids or globs (letters, digits, '.', '_', '-', *, ?, [ and ]; ? stands for any other character; "
    "a ! before those that are left out)",
    rf"!?(?!!){GLOB_PATTERN}",
    ("*,!sdk-*", "kcat"),
)
EXTENSIONS = list_of(
    "SASL extensions such as logicalCluster=lkc-1 (the name of letters, and not auth)",
    r"(?!auth=)[A-Za-z]{1,64}=[!-+\--~]{1,256}",
    ("logicalCluster=lkc-1", "logicalCluster=lkc-1,identityPoolId=pool-1"),
    may_be_empty=True,
)
PREFIXES = list_of(
    f"key prefixes such as {topic_prefix('default', 'photos')} (no * and no bucket's name)",
    r"(?!.*//)(?!(.*/)?\.{1,2}(/|$))[A-Za-z0-9._~!'()=+@-][A-Za-z0-9._~!'()=+@/-]{0,1023}",
    (topic_prefix("default", "photos"), "a/,b/"),
    may_be_empty=True,
)
