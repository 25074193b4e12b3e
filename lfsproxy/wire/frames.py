"""Cuts the byte streams of a Kafka connection into frames, without collecting any of them.

A request and a response on the wire (https://kafka.apache.org/protocol#protocol_messages, request header
versions 1 and 2, response header versions 0 and 1)::

    request:  size:int32  api_key:int16  api_version:int16  correlation_id:int32  client_id:nullable_string
              [tagged fields, header version 2]  body
    response: size:int32  correlation_id:int32  [tagged fields, header version 1]  body

``client_id`` has an int16 length in header version 2 as well. Tagged fields of the header stay in what
FrameBytes yields.

The pull interface is that of h11: ``feed`` bytes, then call ``next_event`` until it returns None.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

import attrs

from lfsproxy.errors import FramingError
from lfsproxy.quoting import quoted
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.chunks import Chunks, Piece

MAX_FRAME: Final = 2**31 - 1
"""Bytes that a frame's length field, an int32, can count."""
_INT32 = Struct(">i")
_REQUEST_HEAD = Struct(">ihhih")
_RESPONSE_HEAD = Struct(">ii")
_HTTP_METHODS = frozenset({b"GET ", b"HEAD", b"POST", b"PUT ", b"PATC", b"DELE", b"OPTI", b"CONN", b"PRI "})


@attrs.frozen
class RequestStart:
    """A request begins. ``size`` is the frame's length field in bytes, which does not count itself.

    ``head`` is what was consumed so far: the four length bytes and the header through the client id.
    ``size + 4 - len(head)`` bytes of body follow as FrameBytes.
    """

    size: int
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    head: bytes

    @property
    def client_id_bytes(self) -> bytes | None:
        """The client id as it came; ``client_id`` is for people, bytes that are not UTF-8 are replaced."""
        return None if self.client_id is None else self.head[14:]

    def without_client(self) -> RequestStart:
        """What its answer is read by. Many requests may wait for theirs, and a client id may have 32 KiB."""
        return attrs.evolve(self, client_id=None, head=b"")


@attrs.frozen
class ResponseStart:
    """A response begins. ``head`` is its first eight bytes: length field and correlation id."""

    size: int
    correlation_id: int
    head: bytes


@attrs.define
class FrameBytes:
    """Bytes of the frame's body, as they came: a fed chunk itself, or a slice of one."""

    data: Piece


@attrs.frozen
class FrameEnd:
    """The frame is complete."""


_FRAME_END = FrameEnd()


def response_frame(correlation_id: int, body: bytes) -> bytes:
    """A whole response, its length field included; ``body`` is what follows the correlation id."""
    return _RESPONSE_HEAD.pack(4 + len(body), correlation_id) + body


class _Body:
    """What both directions share: a frame's body and end, and a failure that is raised again and again."""

    def __init__(self) -> None:
        self._chunks = Chunks()
        self._left = 0
        self._within = False
        self._first = True
        self._failure: str | None = None
        self._again: RequestStart | ResponseStart | None = None

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not consumed yet."""
        return self._chunks.size

    def feed(self, data: bytes) -> None:
        """Take bytes as they came from the connection. They are kept by reference."""
        self._chunks.feed(data)

    def whole_body(self) -> bytes | None:
        """A frame's body that has not begun, where one chunk has all of it; it is not consumed."""
        data = self._chunks.look(self._left)
        return bytes(data) if len(data) == self._left else None

    def put_back(self, start: RequestStart | ResponseStart) -> None:
        """Have ``next_event`` give the frame's start, which it gave last, once more."""
        self._again = start

    def skip_body(self) -> None:
        """Consume what ``whole_body`` gave: the next event is the next frame's."""
        self._chunks.skip(self._left)
        self._left = 0
        self._within = False

    def _body_event(self) -> FrameBytes | FrameEnd | None:
        if self._left:
            data = self._chunks.take_some(self._left)
            if not data:
                return None
            self._left -= len(data)
            return FrameBytes(data)
        self._within = False
        return _FRAME_END

    def _take_again(self) -> Any:
        again, self._again = self._again, None
        return again

    def _begin(self, size: int, head: int) -> None:
        self._left = size + 4 - head
        self._within = True
        self._first = False
        self._chunks.skip(head)

    def _fail(self, reason: str) -> FramingError:
        self._failure = reason
        return FramingError(reason)


class RequestFrames(_Body):
    """Cuts what a client sends. ``max_frame`` is the largest length field that is accepted, in bytes."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        super().__init__()
        self._max_frame = max_frame

    def next_event(self) -> RequestStart | FrameBytes | FrameEnd | None:
        """The next event, or None when more bytes are needed. Raises FramingError, then for good."""
        if self._within:
            return self._take_again() or self._body_event()
        if self._failure is not None:
            raise FramingError(self._failure)
        return self._start()

    def _start(self) -> RequestStart | None:
        chunks = self._chunks
        fixed = chunks.peek(4)
        if fixed is None:
            return None
        size: int = _INT32.unpack(fixed)[0]
        if self._first:
            self._check_other_protocol(bytes(fixed))
        if size < 8 or size > self._max_frame:
            raise self._fail(
                f"a request frame's length is {size} bytes, it must be between 8 and {self._max_frame}"
            )
        if size < 10:
            return self._headless_start(size)
        fixed = chunks.peek(14)
        if fixed is None:
            return None
        _, api_key, api_version, correlation_id, id_length = _REQUEST_HEAD.unpack(fixed)
        if api_key == KafkaApi.CONTROLLED_SHUTDOWN and api_version == 0:
            return self._headless_start(size)
        if id_length < -1 or id_length > size - 10:
            raise self._fail(f"a client id of {id_length} bytes in a request frame of {size} bytes")
        length = 14 + max(id_length, 0)
        head = chunks.peek(length)
        if head is None:
            return None
        head = bytes(head)
        client_id = None if id_length < 0 else head[14:].decode("utf-8", "replace")
        self._begin(size, length)
        return RequestStart(size, api_key, api_version, correlation_id, client_id, head)

    def _headless_start(self, size: int) -> RequestStart | None:
        """A request with header version 0, which has no client id: only ControlledShutdown version 0."""
        head = self._chunks.peek(12)
        if head is None:
            return None
        _, api_key, api_version, correlation_id, _ = _REQUEST_HEAD.unpack(bytes(head) + b"\0\0")
        if (api_key, api_version) != (KafkaApi.CONTROLLED_SHUTDOWN, 0):
            raise self._fail(f"a request frame of {size} bytes is too short for its header")
        self._begin(size, 12)
        return RequestStart(size, api_key, api_version, correlation_id, None, bytes(head))

    def _check_other_protocol(self, start: bytes) -> None:
        """Only a connection's first bytes can be of another protocol; later such lengths are lengths."""
        if start[:2] == b"\x16\x03":
            raise self._fail("this looks like TLS on a plaintext Kafka port (the frame begins with 0x1603)")
        if start in _HTTP_METHODS:
            raise self._fail(
                f"this looks like HTTP on the Kafka port (the frame begins with {quoted(start)})"
            )


class ResponseFrames(_Body):
    """Cuts what a broker sends."""

    def next_event(self) -> ResponseStart | FrameBytes | FrameEnd | None:
        """The next event, or None when more bytes are needed. Raises FramingError, then for good."""
        if self._within:
            return self._take_again() or self._body_event()
        if self._failure is not None:
            raise FramingError(self._failure)
        return self._start()

    def _start(self) -> ResponseStart | None:
        head = self._chunks.peek(8)
        if head is None:
            fixed = self._chunks.peek(4)
            if fixed is not None:
                self._check_size(fixed)
            return None
        size = self._check_size(head)
        self._begin(size, 8)
        return ResponseStart(size, _INT32.unpack_from(head, 4)[0], bytes(head))

    def _check_size(self, head: Piece) -> int:
        size: int = _INT32.unpack_from(head)[0]
        if self._first and head[:2] == b"\x15\x03":
            raise self._fail("the broker's answer looks like TLS: its port wants SSL, and plaintext was sent")
        if self._first and head[:4] == b"HTTP":
            raise self._fail("the broker's answer looks like HTTP: a web server is at its port")
        if size < 4:
            raise self._fail(f"a response frame's length is {size} bytes, it must be at least 4")
        return size
