"""How Sphinx builds the documentation: ``sphinx-build -W -n docs docs/_build``."""

from __future__ import annotations

project = "LFS Proxy"
copyright = "the LFS Proxy authors"
author = "the LFS Proxy authors"

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "LFS Proxy"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
