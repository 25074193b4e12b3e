"""What the log says first of the settings: which are no defaults, and which variables are no settings."""

from __future__ import annotations

from collections.abc import Mapping

from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted_setting
from lfsproxy.settings import unknown_variables

_log = Logger()


def say_origins(origins: Mapping[str, tuple[str, str]]) -> None:
    """Say each setting that is not a default; ``origins`` are those of LoadedSettings."""
    for origin, text in origins.values():
        _log.info("{origin} is {text}", origin=origin, text=quoted_setting(text))


def warn_of_unknown(environment: Mapping[str, str]) -> None:
    """Say which variables look like settings and are none."""
    unknown = unknown_variables(environment)
    if unknown:
        _log.warn(
            "set, but no settings, so that they change nothing: {names}",
            names=", ".join(
                f"{name} (is {meant} meant?)" if meant else name for name, meant in unknown.items()
            ),
        )
