"""Prints the reference page of the settings: see ``lfsproxy.settings.page``."""

from __future__ import annotations

from lfsproxy.settings.page import page

print(page(), end="")
