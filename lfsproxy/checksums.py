"""The three checksum algorithms of envelopes behind one incremental interface, and joining CRC-32C values."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Protocol

from lfsproxy.errors import InvalidChecksum
from lfsproxy.quoting import quoted

Buffer = bytes | bytearray | memoryview


class Checksum(Protocol):
    """A checksum being computed, shaped like hashlib's objects."""

    @property
    def name(self) -> str: ...

    def update(self, data: Buffer, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc32:
    """CRC-32 of IEEE 802.3 (zlib's), eight lower-case hex digits."""

    name = "crc32"

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _md5() -> Checksum:
    return hashlib.md5(usedforsecurity=False)


class AllChecksums:
    """Every algorithm at once, for bytes that have to be read before it is known which one is wanted.

    ``choose`` says which; the name and the digest are that one's.
    """

    def __init__(self) -> None:
        self._all = {name: make() for name, (make, _) in ALGORITHMS.items()}
        self.name = next(iter(self._all))

    def choose(self, algorithm: str) -> None:
        """Raises InvalidChecksum for a name that is not in ALGORITHMS."""
        self.name = new_checksum(algorithm).name

    def update(self, data: Buffer, /) -> None:
        for checksum in self._all.values():
            checksum.update(data)

    def hexdigest(self) -> str:
        return self._all[self.name].hexdigest()


ALGORITHMS: dict[str, tuple[Callable[[], Checksum], int]] = {
    "sha256": (hashlib.sha256, 64),
    "crc32": (_Crc32, 8),
    "md5": (_md5, 32),
}
"""Name to (constructor, length in hex digits)."""

_HEX = re.compile(r"[0-9a-fA-F]*")


def new_checksum(algorithm: str) -> Checksum:
    """Start a checksum. Raises InvalidChecksum for a name that is not in ALGORITHMS."""
    try:
        return ALGORITHMS[algorithm][0]()
    except KeyError:
        raise InvalidChecksum(
            f"unknown checksum algorithm {quoted(algorithm)}; one of {', '.join(ALGORITHMS)} is needed"
        ) from None


def parse_checksum(algorithm: str, text: str) -> str:
    """The checksum in lower-case hex. Raises InvalidChecksum when it is not hex of the algorithm's length."""
    new_checksum(algorithm)
    digits = ALGORITHMS[algorithm][1]
    if len(text) != digits or not _HEX.fullmatch(text):
        raise InvalidChecksum(f"a {algorithm} checksum is {digits} hex digits, got {quoted(text)}")
    return text.lower()


_ONE = 1 << 31
"""The polynomial 1. As in CRC-32C's own values, the highest bit is x^0 and the lowest x^31."""
_X8 = _ONE >> 8


def combine_crc32c(first: int, second: int, second_length: int) -> int:
    """The CRC-32C of two runs of bytes, one behind the other, out of each one's.

    As zlib's crc32_combine: ``first`` is multiplied by x^8 for each of the ``second_length`` bytes (0 or
    more), modulo CRC-32C's polynomial.
    """
    return _times(first, _shift(second_length)) ^ second


@lru_cache(maxsize=256)
def _shift(length: int) -> int:
    """x^8 for each of ``length`` bytes. One multiplication for each byte that the length takes as a number;
    parts mostly have the same one."""
    factor = _ONE
    for place, digit in enumerate(length.to_bytes(8, "little")):
        if digit:
            power = _powers(place)[digit]
            factor = power if factor == _ONE else _times(factor, power)
    return factor


def _times(a: int, b: int) -> int:
    """The product of two polynomials over GF(2), modulo CRC-32C's: from x^31 on, four terms at once."""
    b1 = _times_x(b)
    b2 = _times_x(b1)
    b3 = _times_x(b2)
    low = (0, b3, b2, b2 ^ b3)
    multiples = low + tuple([high ^ one for high in (b1, b, b ^ b1) for one in low])
    product = 0
    for shift in range(0, 32, 4):
        product = product >> 4 ^ _X4_CARRY[product & 15] ^ multiples[a >> shift & 15]
    return product


def _times_x(a: int) -> int:
    # 0x82F63B78 is Castagnoli's polynomial without its x^32.
    return a >> 1 ^ 0x82F63B78 if a & 1 else a >> 1


_X4_CARRY = tuple(_times_x(_times_x(_times_x(_times_x(term)))) for term in range(16))
"""What the four highest terms of a polynomial become when it is multiplied by x^4."""


@cache
def _powers(place: int) -> tuple[int, ...]:
    """The factors for 0 to 255 times 256^place bytes, made when a length first needs them."""
    step = _times(_powers(place - 1)[255], _powers(place - 1)[1]) if place else _X8
    powers = [_ONE]
    for _ in range(255):
        powers.append(_times(powers[-1], step))
    return tuple(powers)
