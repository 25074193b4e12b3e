"""What the tests of docs/operate/rights.md share: the page's tables, and steps that work or do not."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from tests.docs.blocks import ROOT
from tests.integration.proxy import ProxyProcess
from tests.integration.tus import ask, patch

MIB = 1024 * 1024
PAGE = ROOT / "docs" / "operate" / "rights.md"
EXAMPLES = ROOT / "examples" / "operate"


def failing(steps: Mapping[str, Callable[[], bool]]) -> set[str]:
    """The names of the steps that do not work. Blocks."""
    return {name for name, works in steps.items() if not _worked(works)}


def _worked(step: Callable[[], bool]) -> bool:
    """A connection that ends in the middle of a step is a no."""
    try:
        return step()
    except OSError:
        return False


def table(head: str) -> dict[str, set[str]]:
    """The page's table with this text in its head: the right without which the steps fail, and the steps."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"| {head} |")) + 2
    rows = {}
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        right, steps, *_ = line.strip("|").split("|")
        rows[right.strip().split("`")[1]] = {step.strip() for step in steps.split(",")}
    return rows


def fetch(proxy: ProxyProcess, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and answer of a GET, or of a POST of a body. Blocks."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(proxy.http + path, body), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def upload(proxy: ProxyProcess, topic: str, body: bytes, query: str = "") -> tuple[int, bytes]:
    """Upload in one request; status 0 where the connection ended while the body was being sent."""
    try:
        return fetch(proxy, f"/v1/topics/{topic}/records{query}", body)
    except urllib.error.URLError:
        return 0, b""


def resumable_upload(proxy: ProxyProcess, topic: str, size: int = 6 * MIB) -> bool:
    """Begin a resumable upload and send it whole, which publishes it."""
    begun = ask(
        proxy,
        "POST",
        f"/v1/topics/{topic}/uploads",
        {"Upload-Length": str(size), "Content-Length": "0"},
    )
    return begun.status == 201 and patch(proxy, begun.headers["location"], 0, bytes(size)).status == 204
