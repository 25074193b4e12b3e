"""One table of settings: it makes the environment variables, flags, ``--help`` and the reference page.

A setting ``x_y`` of :class:`Settings` is the variable ``LFS_X_Y`` and the flag ``--x-y``; the flag wins.
Sizes are in bytes, times in seconds. A value that cannot be used raises SettingError with one line that
names the variable, the value and what is allowed.
"""

from lfsproxy.settings.kinds import Address, parse_address
from lfsproxy.settings.loading import LoadedSettings, load_settings, misspelt_variables
from lfsproxy.settings.names import flag, variable
from lfsproxy.settings.table import SettingInfo, Settings, setting_table

__all__ = [
    "Address",
    "LoadedSettings",
    "SettingInfo",
    "Settings",
    "flag",
    "load_settings",
    "misspelt_variables",
    "parse_address",
    "setting_table",
    "variable",
]
