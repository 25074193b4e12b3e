"""Settings from the environment and flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from lfsproxy.errors import SettingError
from lfsproxy.settings.names import flag, variable
from lfsproxy.settings.table import Settings, setting_table


@attrs.frozen
class LoadedSettings:
    """Settings and, by name of each that is not a default, (where it came from, its text or ***)."""

    settings: Settings
    origins: Mapping[str, tuple[str, str]]


def load_settings(environment: Mapping[str, str], flags: Mapping[str, str | None]) -> LoadedSettings:
    """Read settings from flags (by name, None where not given) and the environment. Raises SettingError.

    An empty value counts as not given.
    """
    values: dict[str, Any] = {}
    origins: dict[str, tuple[str, str]] = {}
    for name, info in setting_table().items():
        given = flags.get(name)
        origin = f"{variable(name)} (flag --{flag(name)})"
        if given is None:
            given = environment.get(variable(name))
            origin = variable(name)
        if given is None or (given == "" and info.default != ""):
            continue
        shown = "***" if info.secret else given
        try:
            values[name] = info.parse(given)
        except ValueError as error:
            raise SettingError(f"{origin} is {_without_password(shown)!r}: {error}") from None
        if given != info.default:
            origins[name] = (origin, shown)
    return LoadedSettings(Settings(**values), origins)


def _without_password(text: str) -> str:
    """Hide what stands before the host of a URL, which a refused value may have by mistake."""
    return re.sub(r"//[^/@]*@", "//***@", text)


def misspelt_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that are no setting but look much like one, each with the setting probably meant."""
    known = [variable(name) for name in setting_table()]
    strange = sorted(name for name in environment if name.startswith("LFS_") and name not in known)
    close = {name: get_close_matches(name, known, 1, cutoff=0.8) for name in strange}
    return {name: meant[0] for name, meant in close.items() if meant}
