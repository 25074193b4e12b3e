"""How Sphinx builds the documentation: ``sphinx-build -W -n docs docs/_build``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

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

PICTURE = re.compile(r"^!\[([^\]]*)\]\(([\w./-]+)-light\.svg\)$", re.MULTILINE)
"""A picture drawn twice, alone on its line. GitHub shows the light one, the site the one that fits."""


def show_both(app: Sphinx, page: str, source: list[str]) -> None:
    """Make the picture's line two directives, of which the theme shows one."""

    def directives(found: re.Match[str]) -> str:
        alt, name = found.groups()
        return "\n\n".join(
            f"```{{image}} {name}-{kind}.svg\n:alt: {alt}\n:class: picture only-{kind}\n```"
            for kind in ("light", "dark")
        )

    source[0] = PICTURE.sub(directives, source[0])


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", show_both)
