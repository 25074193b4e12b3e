"""The proxy's answers that are no success, as errors: application/problem+json (RFC 9457) read back."""

from __future__ import annotations

import http.client
import json
from typing import Any

from lfsproxy import errors
from lfsproxy.client.errors import ProxyUnavailable, UploadRefused
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import BrokerRefused, ChecksumMismatch, LfsError, UnknownTopic


def error_of(status: int, body: bytes) -> LfsError:
    """The error that the proxy had, by the last part of its problem type; else UploadRefused.

    ``str`` of it is the proxy's own words.
    """
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    name = str(document.get("type", "")).rpartition("/")[2]
    said = " ".join(str(document.get("detail") or document.get("title") or "").split())
    if name == ChecksumMismatch.problem:
        digests = [document.get(field) for field in ("algorithm", "expected", "actual")]
        if all(isinstance(digest, str) for digest in digests):
            return ChecksumMismatch(*map(str, digests))
    if status == 503 and name not in _ERRORS:
        return ProxyUnavailable(
            f"the proxy is not there, so nothing was published: 503, {said or _text(status, body)}"
        )
    if not said:
        return UploadRefused(
            status,
            name,
            f"the answer is {status}, {_text(status, body)}, and not the proxy's: "
            "is this the URL of its HTTP API, or does a gateway answer in its place?",
        )
    kind = _ERRORS.get(name)
    if kind is None or kind is ChecksumMismatch:
        return UploadRefused(status, name, f"the proxy answers {status}: {said}")
    if issubclass(kind, BrokerRefused) and kind is not UnknownTopic:
        code: Any = document.get("kafka_error_code")
        return kind(code if isinstance(code, int) else KafkaCode.UNKNOWN_SERVER_ERROR, said)
    return kind(said)


def _text(status: int, body: bytes) -> str:
    """The text of another server's answer; of a page, only what its status means."""
    text = " ".join(body[:200].decode("utf-8", "replace").split())
    if not text or text.startswith("<") or not text.isprintable():
        return http.client.responses.get(status, "no reason is known")
    return text


def _kinds(base: type[LfsError]) -> dict[str, type[LfsError]]:
    found = {base.problem: base} if "problem" in vars(base) else {}
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            found |= _kinds(kind)
    return found


_ERRORS = _kinds(LfsError)
