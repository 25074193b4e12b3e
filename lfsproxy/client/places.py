"""Where the store is: addresses checked before anything is asked, and the proxy's variables for readers.

What the variables may say is what the proxy's own table of settings allows; a test holds the two together.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from lfsproxy.defaults import DEFAULT_BUCKET, DEFAULT_REGION
from lfsproxy.errors import SettingError
from lfsproxy.quoting import quoted
from lfsproxy.words import error_text

_HOST = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
_REGIONS = ("LFS_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
_AUTHORITIES = ("LFS_S3_CA", "AWS_CA_BUNDLE")


def checked_endpoint(name: str, text: str) -> str:
    """An http or https URL without a path, query or user name. Raises ValueError that names ``name``."""
    return _checked_url(name, text, "a path, query or user name, such as http://localhost:9000", False)


def checked_api(name: str, text: str) -> str:
    """An http or https URL, which may have a path. Raises ValueError that names ``name``."""
    return _checked_url(name, text, "a query or user name, such as http://localhost:8080", True)


def _checked_url(name: str, text: str, without: str, path: bool) -> str:
    fault = ValueError(f"{name} is {quoted(text)}: what is needed is an http or https URL without {without}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise fault from None
    if (
        parts.scheme not in ("http", "https")
        or not _is_host(parts.hostname or "")
        or re.search(r"[^!-~]", text)
    ):
        raise fault
    if port == 0 or parts.netloc.endswith(":") or re.search("[?#@]", text):
        raise fault
    if not path and parts.path not in ("", "/"):
        raise fault
    return text.rstrip("/")


def _is_host(text: str) -> bool:
    if ":" in text or re.fullmatch(r"(.*\.)?[0-9]+", text):
        try:
            ip_address(text)
        except ValueError:
            return False
        return True
    return bool(_HOST.fullmatch(text))


def from_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    """A reader's arguments by LFS_S3_BUCKET, _ENDPOINT, _REGION, _PATH_STYLE and _CA, and the AWS names.

    An empty variable counts as not set. Raises SettingError for one that cannot be used.
    """
    bucket = _matching(
        environment, "LFS_S3_BUCKET", r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", "a bucket name is needed"
    )
    region_name = next((name for name in _REGIONS if environment.get(name)), _REGIONS[0])
    region = _matching(
        environment, region_name, r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "a region such as us-east-1 is needed"
    )
    endpoint = environment.get("LFS_S3_ENDPOINT") or None
    if endpoint is not None:
        try:
            endpoint = checked_endpoint("LFS_S3_ENDPOINT", endpoint)
        except ValueError as error:
            raise SettingError(str(error)) from None
    return {
        "bucket": bucket or DEFAULT_BUCKET,
        "region": region or DEFAULT_REGION,
        "endpoint": endpoint,
        "path_style": _flag(environment, "LFS_S3_PATH_STYLE"),
        "ca_bundle": _authorities(environment, endpoint),
    }


def _matching(environment: Mapping[str, str], name: str, pattern: str, needed: str) -> str | None:
    text = environment.get(name) or None
    if text is not None and not re.fullmatch(pattern, text, re.ASCII):
        raise SettingError(f"{name} is {quoted(text)}: {needed}")
    return text


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name) or "false"
    word = text.strip().lower()
    if word not in ("true", "1", "yes", "on", "false", "0", "no", "off"):
        raise SettingError(f"{name} is {quoted(text)}: true or false is needed")
    return word in ("true", "1", "yes", "on")


def _authorities(environment: Mapping[str, str], endpoint: str | None) -> str | None:
    """The file of certificates to trust. Raises SettingError where it is none and would be needed."""
    name = next((each for each in _AUTHORITIES if environment.get(each)), None)
    if name is None or (endpoint or "").startswith("http:"):
        return None
    try:
        check_authorities(name, environment[name])
    except ValueError as error:
        raise SettingError(str(error)) from None
    return environment[name]


def check_authorities(name: str, path: str) -> None:
    """Raises ValueError, which has ``name``, where ``path`` is no file of PEM certificates."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        reason = error_text(error)
        raise ValueError(f"{name} is {quoted(path)}: not usable as PEM certificates ({reason})") from None
