"""How Sphinx builds the documentation: ``sphinx-build -W -n docs docs/_build``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "LFS Proxy"
copyright = "the LFS Proxy authors"
author = "the LFS Proxy authors"

extensions = ["myst_parser", "settings_page"]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = "LFS Proxy"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
