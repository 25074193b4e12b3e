"""Blots the brokers' addresses out of share groups' answers while they pass, and keeps their length.

ShareFetch (78) and ShareAcknowledge (79), versions 1 and 2 (KIP-932, KIP-1222). All is flexible: a text, the
records and an array have a compact length, and each structure ends with tagged fields::

    header      tagged fields
    answer      throttle_time_ms:int32 error_code:int16 error_message lock_timeout_ms:int32 [topic] [endpoint]
    topic       topic_id:uuid [partition]
    partition   partition_index:int32 error_code:int16 error_message
                of ShareFetch: acknowledge_error_code:int16 acknowledge_error_message
                leader_id:int32 leader_epoch:int32 tagged fields
                of ShareFetch: records [first_offset:int64 last_offset:int64 delivery_count:int16]
    endpoint    node_id:int32 host port:int32 rack

ShareAcknowledge 1 has no lock_timeout_ms. The endpoints follow the records, so that the length field has left
long before they come. An array of endpoints is made an empty one, and a tagged field behind it that nobody
knows takes the bytes that are left. The client finds the leader, whose id stays, in Metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Final

from lfsproxy.errors import FramingError
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.primitives import Reader, Tag, put_count, put_tags

MIN_VERSION: Final = 1
MAX_VERSION: Final = 2
MOST_ENDPOINTS: Final = 1024 * 1024
"""Bytes up to which an answer's endpoints have to end: room for ten thousand. They are held."""
_LEAST_ENDPOINT: Final = 11
_ACQUIRED: Final = 18
_FILLERS: Final = tuple(2 ** (7 * width) - 1 for width in (2, 3, 4))
"""Numbers of the field that fills, each a byte longer than the one before. With one of them some lengths
cannot be had, as the field's own length grows by a byte at 128 and at 16384. Kafka's numbers count from 0."""
_LENGTH: Final = 3
"""The most bytes of that length."""

_Walk = Generator[int, int, int]
"""Yields how many bytes stand before the next unsigned varint, and is sent that. Returns how many are left to
pass at its end. A walk begins with such bytes too: ``passed``."""


class ShareAnswer:
    """One answer on its way through; ``size`` is its bytes behind the correlation id.

    Nothing is held but the endpoints and what follows them.
    """

    def __init__(self, api_key: int, version: int, size: int) -> None:
        if size <= 0:
            raise FramingError("an answer of a share group without a body")
        self._left = size
        self._walk: _Walk | None = _answer(api_key, version)
        self._pass = next(self._walk)
        self._value = self._shift = 0
        self._end = bytearray()

    def feed(self, data: Piece) -> Sequence[Piece]:
        """What leaves for the next bytes of the answer. Raises FramingError for what does not decode."""
        self._left -= len(data)
        start = self._seen(data)
        if self._is_before_end:
            if not self._left:
                raise FramingError("an answer of a share group ends before its brokers' endpoints")
            return [data]
        self._end += data[start:]
        if len(self._end) + self._left > MOST_ENDPOINTS:
            raise FramingError(f"brokers' endpoints of more than {MOST_ENDPOINTS} bytes")
        passed = [data[:start]] if start else []
        return passed if self._left else [*passed, blotted(bytes(self._end))]

    @property
    def _is_before_end(self) -> bool:
        return self._walk is not None or self._pass > 0

    def _seen(self, data: Piece) -> int:
        """Look at the next bytes; how many of them stand before the endpoints."""
        place = 0
        while place < len(data) and self._is_before_end:
            if self._pass:
                passed = min(self._pass, len(data) - place)
                self._pass -= passed
                place += passed
            else:
                self._take_byte(data[place])
                place += 1
        return place

    def _take_byte(self, byte: int) -> None:
        """Take the next byte of an unsigned varint."""
        assert self._walk is not None
        self._value |= (byte & 0x7F) << self._shift
        self._shift += 7
        if byte > 0x7F:
            if self._shift >= 35:
                raise FramingError("an unsigned varint of more than five bytes")
            return
        value, self._value, self._shift = self._value, 0, 0
        try:
            self._pass = self._walk.send(value)
        except StopIteration as end:
            self._walk, self._pass = None, end.value


def blotted(end: Piece) -> bytes:
    """An answer's endpoints and tagged fields, as long as they were, without the endpoints.

    Raises FramingError for what does not decode.
    """
    reader = Reader(end, flexible=True)
    count = reader.count(_LEAST_ENDPOINT)
    for _ in range(count):
        reader.raw(4)
        reader.nullable_string()
        reader.raw(4)
        reader.nullable_string()
        reader.tags()
    tags = reader.tags()
    reader.end()
    if not count:
        return bytes(end)
    for number in _FILLERS:
        if all(number != other for other, _ in tags):
            least = len(_ended([*tags, (number, b"")]))
            for longer in range(_LENGTH):
                length = len(end) - least - longer
                found = _ended([*tags, (number, bytes(max(length, 0)))])
                if len(found) == len(end):
                    return found
    raise FramingError("no tagged field can stand in for the brokers' endpoints")


def _ended(tags: Sequence[Tag]) -> bytes:
    """No endpoints, and the tagged fields."""
    out = bytearray()
    put_count(out, 0, flexible=True)
    put_tags(out, tags, flexible=True)
    return bytes(out)


def _answer(api_key: int, version: int) -> _Walk:
    """Up to the endpoints."""
    is_fetch = api_key == KafkaApi.SHARE_FETCH
    passed = yield from _tags(0)
    passed = yield from _text(passed + 6)
    if is_fetch or version >= 2:
        passed += 4
    return (yield from _array(passed, lambda at: _topic(at, _fetched if is_fetch else _acknowledged)))


def _topic(passed: int, partition: Callable[[int], _Walk]) -> _Walk:
    passed = yield from _array(passed + 16, partition)
    return (yield from _tags(passed))


def _acknowledged(passed: int) -> _Walk:
    passed = yield from _text(passed + 6)
    passed = yield from _tags(passed + 8)
    return (yield from _tags(passed))


def _fetched(passed: int) -> _Walk:
    passed = yield from _text(passed + 6)
    passed = yield from _text(passed + 2)
    passed = yield from _tags(passed + 8)
    passed = yield from _text(passed)
    passed = yield from _array(passed, lambda at: _tags(at + _ACQUIRED))
    return (yield from _tags(passed))


def _array(passed: int, item: Callable[[int], _Walk]) -> _Walk:
    count = yield passed
    passed = 0
    for _ in range(count - 1):
        passed = yield from item(passed)
    return passed


def _text(passed: int) -> _Walk:
    """Bytes with a compact length before them, text or records; none where it is null."""
    length = yield passed
    return max(length - 1, 0)


def _tags(passed: int) -> _Walk:
    count = yield passed
    passed = 0
    for _ in range(count):
        yield passed
        passed = yield 0
    return passed
