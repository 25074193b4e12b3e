"""The settings as a whole: values that fit together."""

from __future__ import annotations

import attrs

from lfsproxy.settings.rules import check_rules
from lfsproxy.settings.table import Values


@attrs.frozen(kw_only=True)
class Settings(Values):
    """Every setting with its parsed value; the defaults are those of a process without any variable.

    Raises SettingError, one line, where settings do not fit together.
    """

    def __attrs_post_init__(self) -> None:
        check_rules(self)


DEFAULTS = Settings()
"""The settings of a process without any variable: the one place that a default is taken from."""
