"""The quick look at a Produce request that is held whole: most have nothing that concerns the proxy.

What is looked for stands in the same places as in ``lfsproxy.wire.produce``, whose layout this is, and in the
header of each batch (``lfsproxy.wire.batch``). One walk over the bytes makes no object for any of it, and
decides nothing: whatever is not plain goes the usual way, broken requests among it.
"""

from __future__ import annotations

from collections.abc import Container
from struct import Struct
from struct import error as StructError
from typing import Final

from stringzilla import find

from lfsproxy.wire.batch import CRC_START, HEADER_SIZE, MAGIC_OFFSET, MARK, NONE, has_mark
from lfsproxy.wire.inflate import SmallBatches
from lfsproxy.wire.pieces import Pieces
from lfsproxy.wire.produce import FIRST_FLEXIBLE, MAX_PARTITIONS, MAX_VERSION

FIRST_WITH_BATCHES: Final = 3
"""Of the versions that are walked: from here on there is a transactional id, and batches are of format 2."""
_INT16 = Struct(">h")
_INT32 = Struct(">i")
_ACKS_TIMEOUT: Final = 6
_PARTITION: Final = 4
"""Bytes of these fields."""
_ANSWER_ENTRY: Final = 33
"""Bytes of a partition's plain answer from version 9 on."""
_LONGEST_STRING: Final = 2**15
"""What the length of a compact string can be, which is one more than its bytes."""

Body = bytes | Pieces


def plain_answer_size(
    version: int, body: Body, threshold: int, small: SmallBatches, counted: Container[bytes] = ()
) -> int | None:
    """None where the request has to be looked into, else the size of a plain answer to it.

    Plain is a request for an answer whose batches are all of format 2, smaller than ``threshold`` bytes (0 is
    no threshold) and without LFS_BLOB, each of another partition. Compressed ones are so as far as ``small``
    finds them clear. Each topic is named once, is none of ``counted`` and has a batch, and there is no tagged
    field. A plain answer has neither tagged fields nor messages: no broker is named in it. ``body`` is what
    follows RequestStart.head; the size is in bytes, from behind the correlation id on. A request for more
    partitions than ProduceReader takes is not plain.
    """
    if not FIRST_WITH_BATCHES <= version <= MAX_VERSION:
        return None
    if find(body, MARK) >= 0 if isinstance(body, bytes) else has_mark(body.pieces):
        return None
    try:
        walk = _flexible if version >= FIRST_FLEXIBLE else _fixed
        return walk(version, body, threshold, small, counted)
    except (IndexError, StructError):
        return None  # It ends early: the usual way says where.


def _flexible(
    version: int, body: Body, threshold: int, small: SmallBatches, counted: Container[bytes]
) -> int | None:
    if body[0]:
        return None
    length, position = _uvarint(body, 1)
    position += max(length - 1, 0)
    if length > _LONGEST_STRING or not _INT16.unpack(body[position : position + 2])[0]:
        return None
    start = position + _ACKS_TIMEOUT
    topics, position = _uvarint(body, start)
    if topics < 2:
        return None
    size = 1 + (position - start) + 5
    names = set()
    count = 0
    for _ in range(topics - 1):
        start = position
        length, position = _uvarint(body, position)
        if not 1 <= length <= _LONGEST_STRING:
            return None  # Before it is copied out of the pieces, however long it says it is.
        name = body[position : position + length - 1]
        position += length - 1
        partitions, position = _uvarint(body, position)
        count += partitions - 1
        if name in names or name in counted or partitions < 2 or count > MAX_PARTITIONS:
            return None
        names.add(name)
        size += (position - start) + _ANSWER_ENTRY * (partitions - 1) + 1
        seen = set()
        for _ in range(partitions - 1):
            partition = body[position : position + _PARTITION]
            length, position = _uvarint(body, position + _PARTITION)
            length -= 1
            if partition in seen or not _is_plain(body, position, length, threshold, small):
                return None
            seen.add(partition)
            position += length
            if body[position]:
                return None
            position += 1
        if body[position]:
            return None
        position += 1
    return size if position == len(body) - 1 and not body[position] else None


def _fixed(
    version: int, body: Body, threshold: int, small: SmallBatches, counted: Container[bytes]
) -> int | None:
    length = _INT16.unpack(body[0:2])[0]
    position = 2 + max(length, 0)
    if length < -1 or not _INT16.unpack(body[position : position + 2])[0]:
        return None
    position += _ACKS_TIMEOUT
    topics = _INT32.unpack(body[position : position + 4])[0]
    position += 4
    if topics < 1:
        return None
    each = 22 + (8 if version >= 5 else 0) + (6 if version >= 8 else 0)
    size = 8
    names = set()
    count = 0
    for _ in range(topics):
        length = _INT16.unpack(body[position : position + 2])[0]
        if length < 0:
            return None
        position += 2
        name = body[position : position + length]
        position += length
        partitions = _INT32.unpack(body[position : position + 4])[0]
        count += partitions
        if name in names or name in counted or partitions < 1 or count > MAX_PARTITIONS:
            return None
        names.add(name)
        position += 4
        size += 2 + length + 4 + each * partitions
        seen = set()
        for _ in range(partitions):
            partition = body[position : position + _PARTITION]
            position += _PARTITION
            length = _INT32.unpack(body[position : position + 4])[0]
            position += 4
            if partition in seen or not _is_plain(body, position, length, threshold, small):
                return None
            seen.add(partition)
            position += length
    return size if position == len(body) else None


def _is_plain(body: Body, position: int, length: int, threshold: int, small: SmallBatches) -> bool:
    """Whether the batch of ``length`` bytes at ``position`` may pass."""
    if length < HEADER_SIZE or (threshold and length >= threshold) or body[position + MAGIC_OFFSET] != 2:
        return False
    if body[position + CRC_START + 1] & 7 == NONE:
        return True
    return small.has_room(length) and small.are_clear(body[position : position + length], threshold)


def _uvarint(body: Body, position: int) -> tuple[int, int]:
    """An unsigned varint, and where it ends."""
    byte = body[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value = byte & 0x7F
    for shift in range(7, 35, 7):
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("an unsigned varint of more than five bytes")
