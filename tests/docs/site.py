"""What the built site has to have, after Sphinx: ``python -m tests.docs.site``. Status 1 if it lacks any."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.docs.blocks import ROOT

SITE = ROOT / "docs" / "_build" / "html"
PICTURE = re.compile(r"^!\[[^\]]*\]\([\w./-]+-light\.svg\)$", re.MULTILINE)


def problems_of(docs: Path, site: Path) -> list[str]:
    """Pages that the search does not know, and pictures that are not shown in both colours, in sentences."""
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    known = set(json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))["docnames"])
    problems = []
    for page in sorted(docs.rglob("*.md")):
        name = str(page.relative_to(docs).with_suffix(""))
        if name not in known:
            problems.append(f"the search does not know the page {name}")
            continue
        pictures = len(PICTURE.findall(page.read_text(encoding="utf-8")))
        html = (site / f"{name}.html").read_text(encoding="utf-8")
        for kind in ("light", "dark"):
            shown = html.count(f"picture only-{kind}") + html.count(f"only-{kind} picture")
            if shown != pictures:
                problems.append(f"{name} shows {shown} of {pictures} pictures in its {kind} colours")
    return problems


if __name__ == "__main__":
    found = problems_of(ROOT / "docs", SITE)
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
