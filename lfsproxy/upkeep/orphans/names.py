"""Which blobs a batch names: each uuid of a key that stands anywhere in its bytes.

Nothing is parsed. A key, a value or a header may hold an envelope, and a value may hold one within another
format: JSON in JSON, Avro, a changelog's row. The uuid in a key of a blob, and what stands around it, has
only characters that these leave as they are. So a doubt always keeps a blob. What holds an envelope as
base64, as JSON converters write bytes, is looked into as well; what is compressed or encrypted once more is
not.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from stringzilla import find

from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.walk import FetchedBatch, Limits, uncompressed_pieces

_NAME: Final = re.compile(rb"-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.bin")
"""The end of a key: see envelope.ObjectKey."""
_OVERLAP: Final = 4096
"""Bytes that are looked at again with the next piece: more than an envelope has, as text or as base64."""
_SPREAD: Final = 65536 * 4 // 3
"""Bytes of base64 that are looked into on either side of a mark: as many as the longest envelope has."""
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]+")
_PORTION: Final = 100_000
"""Names that are held before they are handed over: about 10 MB."""
_SEARCHED: Final = 32 * 1024 * 1024
"""Bytes that are searched before that: less than a second, in which a search cannot be cancelled."""


def _inside(word: bytes) -> tuple[bytes, ...]:
    """How a word looks within base64, in each of its three places."""
    found = []
    for before in range(3):
        text = binascii.b2a_base64(bytes(before) + word, newline=False)
        # What shares a character with its neighbours is left out.
        found.append(text[-(-before * 4 // 3) : (before + len(word)) * 8 // 6])
    return tuple(found)


_MARKS: Final = _inside(b"lfs_version") + _inside(b"kfs_lfs")
"""Without the quotes around them, before which JSON in JSON has a backslash."""
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


class Named(NamedTuple):
    """The uuids (16 bytes each) of blobs that are named; ``is_all``: the same batches have no more."""

    uuids: frozenset[bytes]
    is_all: bool


def blobs_named(batches: Sequence[FetchedBatch], limits: Limits) -> Iterator[Named]:
    """The blobs that are named in the batches of an answer, a portion at a time; there is always a last one.

    Raises UndecodableRecords, and TooLarge for a batch that does not fit ``limits``.
    """
    found: set[bytes] = set()
    searched = 0
    for batch in batches:
        for piece in _windows(uncompressed_pieces(batch, limits)):
            found |= uuids_in(piece)
            searched += len(piece)
            if len(found) >= _PORTION or searched >= _SEARCHED:
                yield Named(frozenset(found), is_all=False)
                found.clear()
                searched = 0
    yield Named(frozenset(found), is_all=True)


def _windows(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces, each behind the end of the one before."""
    tail = b""
    for piece in pieces:
        window = tail + piece if tail else piece
        yield window
        tail = bytes(window[-_OVERLAP:])


def uuids_in(data: Piece) -> set[bytes]:
    """The uuids in a piece of text or of anything else."""
    found = {_bytes_of(name) for name in _NAME.findall(data)}
    view = memoryview(data)
    for mark in _MARKS:
        place = 0
        while (next_one := find(view[place:], mark)) >= 0:
            place = _look_into_base64(data, place + next_one, found)
    return found


def _look_into_base64(data: Piece, place: int, found: set[bytes]) -> int:
    """Add the uuids in the base64 around a mark. Returns where the next mark may be that was not seen by
    that: however many there are, no byte is looked into more than a few times."""
    before = bytes(data[max(0, place - _SPREAD) : place])
    start = place - (len(before) - _run_before(before))
    run = _BASE64.match(data, start, min(len(data), place + _SPREAD))
    assert run is not None
    text = bytes(run[0]).translate(_TO_STANDARD)
    for cut in range(4):
        # The run may have begun before what is at hand, or behind a word without a space.
        whole = text[cut : cut + (len(text) - cut) // 4 * 4]
        found.update(map(_bytes_of, _NAME.findall(binascii.a2b_base64(whole))))
    return run.end() if run.end() < place + _SPREAD else run.end() - _OVERLAP


def _run_before(data: bytes) -> int:
    """Where the base64 at the end of ``data`` begins."""
    kept = data.rstrip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-")
    return len(kept)


def _bytes_of(name: bytes) -> bytes:
    return bytes.fromhex(name.replace(b"-", b"").decode("ascii"))
