"""The links of a Markdown page, and what is wrong with those that point into the repository.

A link has to work in two places: on GitHub, which shows the files as they are, and in the site, which Sphinx
makes of docs/. So a link needs a text of its own (``[](page.md)`` is filled in by Sphinx only), a page of
docs/ links to files of docs/ only, by path, and an anchor is the one that both make of a heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import attrs
from markdown_it import MarkdownIt
from markdown_it.token import Token

DEEPEST = 3
"""Of the headings that have an anchor in the site: ``myst_heading_anchors`` of docs/conf.py."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HTML_LINK = re.compile(r"""\b(?:href|src|srcset)\s*=\s*["']([^"'\s]+)""")


@attrs.frozen
class Link:
    """``line`` is where its paragraph begins; an image's text is its alternative text."""

    line: int
    target: str
    text: str


def links_of(page: str) -> Iterator[Link]:
    """Every link and image of a page, those in HTML too."""
    for token in _tokens(page):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            yield from _html_links(line, token.content)
        children = token.children or []
        for at, child in enumerate(children):
            if child.type == "link_open":
                end = next(n for n in range(at, len(children)) if children[n].type == "link_close")
                yield Link(line, str(child.attrs["href"]), _text(children[at + 1 : end]))
            elif child.type == "image":
                yield Link(line, str(child.attrs["src"]), _text(child.children or []))
            elif child.type == "html_inline":
                yield from _html_links(line, child.content)


def anchors_of(page: str) -> dict[str, int]:
    """The anchors that GitHub makes of a page's headings, each with the heading's level."""
    found: dict[str, int] = {}
    tokens = _tokens(page)
    for opening, content in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        slug = re.sub(r"[^\w\- ]", "", _text(content.children or []).lower()).replace(" ", "-")
        repeated = sum(1 for each in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", each))
        found[f"{slug}-{repeated}" if repeated else slug] = int(opening.tag[1])
    return found


def problems_of(root: Path, name: str) -> list[str]:
    """What is wrong with the links of the page ``name`` of the repository ``root``, in sentences."""
    page = root / name
    problems = []
    for link in links_of(page.read_text(encoding="utf-8")):
        why = _problem(root, page, link)
        if why:
            problems.append(f"{name}:{link.line}: [{link.text}]({link.target}) {why}")
    return problems


def _problem(root: Path, page: Path, link: Link) -> str:
    if not link.text.strip():
        return "has no text: GitHub shows nothing"
    if _SCHEME.match(link.target):
        return ""
    path, _, anchor = link.target.partition("#")
    if path.startswith("/"):
        return "begins with a slash: the site looks for it elsewhere than GitHub"
    target = (page.parent / unquote(path)).resolve() if path else page.resolve()
    if not target.exists():
        return "leads to no file"
    docs = (root / "docs").resolve()
    if page.resolve().is_relative_to(docs) and not target.is_relative_to(docs):
        return "leads out of docs/, where the site has no page"
    if anchor and target.suffix != ".md":
        return "has an anchor in a file that is no page"
    if anchor:
        level = anchors_of(target.read_text(encoding="utf-8")).get(anchor)
        if level is None:
            return "names no heading of that page"
        if level > DEEPEST:
            return f"names a heading below level {DEEPEST}, which has no anchor in the site"
    return ""


def _tokens(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page)


def _text(tokens: list[Token]) -> str:
    return "".join(token.content for token in tokens if token.type in ("text", "code_inline", "image"))


def _html_links(line: int, html: str) -> Iterator[Link]:
    # Their text is elsewhere in the HTML, or they are pictures with an alternative text.
    for target in _HTML_LINK.findall(html):
        yield Link(line, target, html)
