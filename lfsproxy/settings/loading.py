"""Settings from the environment and flags."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Set
from typing import Any

import attrs

from lfsproxy.errors import SettingError
from lfsproxy.quoting import quoted_setting
from lfsproxy.settings.checked import Settings
from lfsproxy.settings.names import flag, variable
from lfsproxy.settings.table import setting_table


@attrs.frozen
class LoadedSettings:
    """Settings and, by name of each that is not a default, (where it came from, its text or ***).

    ``given`` names those that were given, be it their defaults.
    """

    settings: Settings
    origins: Mapping[str, tuple[str, str]]
    given: Set[str] = frozenset()


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
            raise SettingError(f"{origin} is {quoted_setting(_without_password(shown))}: {error}") from None
        if given != info.default:
            origins[name] = (origin, shown)
    return LoadedSettings(Settings(**values), origins, values.keys())


def _without_password(text: str) -> str:
    """Hide what stands before the host of a URL, which a refused value may have by mistake."""
    return re.sub(r"//[^/@]*@", "//***@", text)


def check_files(loaded: LoadedSettings) -> None:
    """Raise SettingError, one line, where a file that a setting names cannot be read."""
    for name, info in setting_table().items():
        path = getattr(loaded.settings, name)
        if info.parse.is_file and path:
            why = _unreadable(path)
            if why:
                origin, shown = loaded.origins.get(name, (variable(name), path))
                raise SettingError(
                    f"{origin} is {quoted_setting(shown)}: {info.parse.allowed} is needed ({why})",
                    settings=[variable(name)],
                )


def _unreadable(path: str) -> str:
    """Why a file cannot be read; "" where it can. It is not opened: that would wait for a pipe's writer."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return "it is a directory"
    except (OSError, ValueError) as error:
        return (isinstance(error, OSError) and error.strerror) or "no such path can be"
    return "" if os.access(path, os.R_OK) else f"user {os.geteuid()} may not read it"
