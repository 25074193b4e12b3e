"""Variables that look like settings and are none: misspelt, of another version, or somebody else's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from lfsproxy.settings.names import variable
from lfsproxy.settings.table import setting_table

_OTHERS = ("LFS_DEMO_", "LFS_TEST_")
"""What the demo and the tests read."""
_COMMANDS = ("LFS_API_KEY", "LFS_PROXY_BOOTSTRAP", "LFS_PROXY_URL")
"""What the commands read."""
_SERVICE = re.compile(
    r"LFS_\w+_SERVICE_(HOST|PORT(_\w+)?)|LFS_\w*PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?", re.ASCII
)
"""What Kubernetes sets for each service of the namespace, here for those that are named lfs-something."""
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")
"""The value of LFS_SOMETHING_PORT, which alone could be a setting's name that is misspelt."""


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Variables LFS_* that are no settings, each with the setting that is probably meant, if any."""
    known = [variable(name) for name in setting_table()]
    found: dict[str, str | None] = {}
    for name, value in sorted(environment.items()):
        if not name.startswith("LFS_") or name in known or _is_anothers(name, value):
            continue
        begun = [each for each in known if each.startswith(f"{name}_")]
        # One letter more or less, as in a plural, is nearer than what the name only begins.
        plural = [each for each in known if each in (f"{name}S", name.removesuffix("S"))]
        close = get_close_matches(name, known, 1, cutoff=0.75)
        found[name] = next(iter([*plural, *begun, *close]), None)
    return found


def _is_anothers(name: str, value: str) -> bool:
    if name.startswith(_OTHERS) or name in _COMMANDS or _SERVICE.fullmatch(name):
        return True
    return name.endswith("_PORT") and bool(_SERVICE_URL.match(value))
