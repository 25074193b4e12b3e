"""What a failed request over HTTP says about who answered it: words for wrong ports and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import BadStatusLine, RemoteDisconnected

from lfsproxy.quoting import quoted
from lfsproxy.words import error_text

_TLS_RECORDS = ("\x15\x03", "\x16\x03")


def stranger(error: BaseException) -> str | None:
    """What answered otherwise than by HTTP; None where nothing did, or it was HTTP."""
    line = next((str(each) for each in _behind(error) if isinstance(each, BadStatusLine)), None)
    if line is None or any(isinstance(each, RemoteDisconnected) for each in _behind(error)):
        return None
    text = line.strip()
    if text.startswith(_TLS_RECORDS):
        return "it speaks TLS, which an https URL is for"
    return f"its answer begins with {quoted(text)}" if text[:4].isprintable() else "its answer is not HTTP"


def why_failed(error: BaseException, authorities: str) -> str:
    """Why a request failed, and the way out. ``authorities`` is what names certificates to trust."""
    if any(isinstance(each, RemoteDisconnected) for each in _behind(error)):
        return (
            "the connection was closed without an answer (where that is so each time, it is another "
            "server's port, or a port for https)"
        )
    why = error_text(error)
    if "certificate verify failed" in why:
        return f"{why}; {authorities} names the file of authorities to trust"
    return f"{why}: is this a port for http, not https?" if "wrong version number" in why else why


def _behind(error: BaseException) -> Iterator[BaseException]:
    yield error
    for each in error.args:
        if isinstance(each, BaseException):
            yield from _behind(each)
