"""One table of settings: it makes the environment variables, flags, ``--help`` and the reference page.

A setting ``x_y`` of :class:`Settings` is the variable ``LFS_X_Y`` and the flag ``--x-y``; the flag wins.
Sizes are in bytes and times in seconds where no unit is given. A value that cannot be used raises
SettingError with one line that names the variable, the value and what is allowed.
"""

from lfsproxy.settings.authorities import s3_authorities
from lfsproxy.settings.checked import DEFAULTS, Settings
from lfsproxy.settings.hosts import Address, parse_address
from lfsproxy.settings.loading import LoadedSettings, check_files, load_settings
from lfsproxy.settings.names import flag, variable
from lfsproxy.settings.rules import check_no_loop
from lfsproxy.settings.table import SettingInfo, setting_table
from lfsproxy.settings.unknown import unknown_variables

__all__ = [
    "DEFAULTS",
    "Address",
    "LoadedSettings",
    "SettingInfo",
    "Settings",
    "check_files",
    "check_no_loop",
    "flag",
    "load_settings",
    "parse_address",
    "s3_authorities",
    "setting_table",
    "unknown_variables",
    "variable",
]
