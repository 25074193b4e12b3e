"""Checksums a client sends with a request: Content-Digest and Repr-Digest (RFC 9530), and Content-MD5.

They cover the request's content: for multipart/form-data the whole multipart body, not the file in it.

    Content-Digest: sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, md5=:...:
    Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping

from twisted.web.http_headers import Headers

from lfsproxy.checksums import ALGORITHMS, Buffer, new_checksum
from lfsproxy.errors import ChecksumMismatch, InvalidChecksum
from lfsproxy.quoting import quoted

_NAMES = {"sha-256": "sha256", "md5": "md5"}

# RFC 8941: a dictionary whose members are byte sequences, with parameters that mean nothing here.
_KEY = r"[a-z*][a-z0-9_.*-]*"
_PARAMETERS = rf'(?:; *{_KEY}(?:=(?:"(?:[ !#-\[\]-~]|\\["\\])*"|:[A-Za-z0-9+/=]*:|[A-Za-z0-9*?.:/_+-]+))?)*'
_MEMBER = re.compile(rf"(?P<key>{_KEY})=:(?P<value>[A-Za-z0-9+/=]*):{_PARAMETERS}")
# The same as a pattern for the API's description, where the lengths of the two algorithms are told too.
_DESCRIBED = (
    rf"(?:sha-256=:[A-Za-z0-9+/]{{43}}=:|md5=:[A-Za-z0-9+/]{{22}}==:"
    rf"|(?!(?:sha-256|md5)=){_KEY}=:(?:[A-Za-z0-9+/]{{4}})*:){_PARAMETERS}"
)
DIGEST_PATTERN = rf"^{_DESCRIBED}(?:[ \t]*,[ \t]*{_DESCRIBED})*$"
MD5_PATTERN = r"^[A-Za-z0-9+/]{22}==$"

_COMMA = re.compile(r"[ \t]*,[ \t]*")


def expected_digests(headers: Headers) -> dict[str, str]:
    """Algorithm (as in lfsproxy.checksums) to the hex checksum that the request's content must have.

    Raises InvalidChecksum for a malformed field, or for two values of one algorithm that differ.
    """
    expected: dict[str, str] = {}
    for name in ("Content-Digest", "Repr-Digest"):
        lines = _lines(headers, name)
        if lines:
            for key, value in _members(name, ", ".join(lines)):
                if key in _NAMES:
                    _expect(expected, name, _NAMES[key], value)
    for line in _lines(headers, "Content-MD5"):
        _expect(expected, "Content-MD5", "md5", line)
    return expected


def _lines(headers: Headers, name: str) -> list[str]:
    return [line.decode("latin-1") for line in headers.getRawHeaders(name.encode("ascii"), [])]


def _members(name: str, text: str) -> Iterable[tuple[str, str]]:
    text = text.strip(" ")
    position = 0
    while True:
        member = _MEMBER.match(text, position)
        if member is None:
            raise InvalidChecksum(f"{name} is malformed: {quoted(text[position:])}")
        yield member["key"], member["value"]
        position = member.end()
        if position == len(text):
            return
        comma = _COMMA.match(text, position)
        if comma is None:
            raise InvalidChecksum(f"{name} is malformed: {quoted(text[position:])}")
        position = comma.end()


def _expect(expected: dict[str, str], name: str, algorithm: str, value: str) -> None:
    named = f"{name}'s {algorithm}"
    checksum = read_digest(value, ALGORITHMS[algorithm][1] // 2, named, named)
    if expected.setdefault(algorithm, checksum) != checksum:
        raise InvalidChecksum(f"{named} is not that of another header")


def read_digest(text: str, size: int, digest: str, field: str) -> str:
    """A digest of ``size`` bytes, from base64 to hex. Raises InvalidChecksum.

    ``digest`` and ``field`` are what the digest, and the text that it is read from, are called.
    """
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidChecksum(f"{field} is not base64: {quoted(text)}") from None
    if len(value) != size:
        raise InvalidChecksum(f"{digest} is {quoted(text)}: {size} bytes are needed, not {len(value)}")
    return value.hex()


class ContentDigests:
    """Computes the digests that a client announced, and compares them at the end."""

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._expected = expected
        self._running = [new_checksum(algorithm) for algorithm in expected]

    def update(self, data: Buffer) -> None:
        for checksum in self._running:
            checksum.update(data)

    def verify(self) -> None:
        """The content is whole: raise ChecksumMismatch if it is not what was announced."""
        for checksum in self._running:
            algorithm = checksum.name
            if checksum.hexdigest() != self._expected[algorithm]:
                raise ChecksumMismatch(algorithm, self._expected[algorithm], checksum.hexdigest())
