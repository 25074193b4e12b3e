"""The pages and what they are made of: files of this package and of swagger-ui-py, none of another host.

The Content-Security-Policy lets a page load and run only what comes from here, and no inline script. The
upload page may call an API at another address, so it may connect to any.
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import attrs
from twisted.web.http import NOT_MODIFIED
from twisted.web.iweb import IRequest

from lfsproxy.web.problems import render
from lfsproxy.web.ranges import is_unchanged

HTML = "text/html; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
STYLE = "text/css; charset=utf-8"

_HERE = Path(__file__).parent

ASSETS: dict[str, tuple[str, str]] = {
    "app.js": ("page/app.js", SCRIPT),
    "requests.js": ("page/requests.js", SCRIPT),
    "tus.js": ("page/tus.js", SCRIPT),
    "style.css": ("page/style.css", STYLE),
    "docs.js": ("page/docs.js", SCRIPT),
    "swagger-ui-bundle.js": ("swagger:swagger-ui-bundle.js", SCRIPT),
    "swagger-ui.css": ("swagger:swagger-ui.css", STYLE),
}
"""What is below /assets/: a name to where its bytes are and their content type."""

_NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    f"connect-src 'self' http: https:; {_NOTHING_ELSE}"
)
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    f"connect-src 'self'; {_NOTHING_ELSE}"
)


@attrs.frozen
class Document:
    """Bytes that change only with the release, and how a response says so."""

    body: bytes
    content_type: str
    policy: str | None = None

    @property
    def tag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32]

    def answer(self, request: IRequest) -> bytes:
        """The response's body: none where the client's copy is current (If-None-Match)."""
        request.setHeader(b"Cache-Control", b"no-cache")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        if self.policy is not None:
            request.setHeader(b"Content-Security-Policy", self.policy.encode("ascii"))
            request.setHeader(b"Referrer-Policy", b"no-referrer")
        request.setHeader(b"ETag", f'"{self.tag}"'.encode("ascii"))
        if is_unchanged(request, self.tag):
            request.setResponseCode(NOT_MODIFIED)
            return b""
        return render(request, 200, self.content_type, self.body)


@cache
def asset(name: str) -> Document | None:
    """A file below /assets/, None where there is none of that name."""
    if name not in ASSETS:
        return None
    where, content_type = ASSETS[name]
    _, colon, file = where.rpartition(":")
    path = _swagger_folder() / file if colon else _HERE / where
    return Document(path.read_bytes(), content_type)


@cache
def page() -> Document:
    """The upload page."""
    return Document((_HERE / "page/index.html").read_bytes(), HTML, PAGE_POLICY)


@cache
def docs_page() -> Document:
    """The page that renders /openapi.json."""
    return Document((_HERE / "page/docs.html").read_bytes(), HTML, DOCS_POLICY)


def _swagger_folder() -> Path:
    # The package is not imported: it would bring Jinja and more, and only its files are wanted.
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("swagger-ui-py is not installed")
    return Path(spec.origin).parent / "static"
