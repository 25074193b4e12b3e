"""Where Maven artifacts come from on this machine: Maven Central, or the mirror that the user has configured.

jgo's pure-Python resolver does not read Maven's own ``settings.xml``; people behind a mirror have one. So the
repository address is found here: ``LFS_DEMO_MAVEN_URL`` first, then a mirror of Central in
``~/.m2/settings.xml`` (https://maven.apache.org/guides/mini/guide-mirror-settings.html), then Central.
Credentials for it belong in ``~/.netrc``, which the download honours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from lfsproxy.devstack.errors import DevstackError

MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
MAVEN_VARIABLE = "LFS_DEMO_MAVEN_URL"


def repository_url(environ: Mapping[str, str] | None = None, settings: Path | None = None) -> str:
    """The base address to download from, without a trailing slash."""
    env = os.environ if environ is None else environ
    chosen = env.get(MAVEN_VARIABLE)
    if chosen:
        if not re.match(r"https?://[^/]", chosen):
            raise DevstackError(
                f"{MAVEN_VARIABLE} is '{chosen}', which is no http:// or https:// address of a Maven "
                f"repository."
            )
        return chosen.rstrip("/")
    path = settings if settings is not None else Path.home() / ".m2" / "settings.xml"
    return (_mirror_of_central(path, env) or MAVEN_CENTRAL).rstrip("/")


def _mirror_of_central(path: Path, env: Mapping[str, str]) -> str | None:
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        return None
    except (OSError, ElementTree.ParseError) as error:
        raise DevstackError(
            f"The Maven settings in {path} cannot be read ({error}); repair them, or set {MAVEN_VARIABLE} "
            "to the repository to use."
        ) from error
    for mirror in root.iterfind(".//{*}mirror"):
        fields = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in mirror}
        url = re.sub(r"\$\{env\.(\w+)\}", lambda m: env.get(m[1], ""), fields.get("url", ""))
        if fields.get("blocked") != "true" and url.startswith("http") and _covers(fields.get("mirrorOf", "")):
            return url
    return None


def _covers(mirror_of: str) -> bool:
    patterns = {part.strip() for part in mirror_of.split(",")}
    if "!central" in patterns:
        return False
    return bool(patterns & {"*", "central", "external:*"})
