"""Writes a batch anew: records that stay are copied as they are, offloaded ones carry their envelope.

Everything of the batch's header but its length and CRC stays: offsets, timestamps, producer id, epoch and
sequence, count, and the codec, in which the records are compressed again.
"""

from __future__ import annotations

from collections.abc import Sequence

from crc32c import crc32c

from lfsproxy.errors import TooLarge
from lfsproxy.gathered import Gathered
from lfsproxy.wire.batch import BATCH_OVERHEAD, HEADER_SIZE, NONE, BatchHeader
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.compress import RawSnappy, new_compressor
from lfsproxy.wire.fields import Header
from lfsproxy.wire.primitives import put_varint


class BatchWriter:
    """Builds one batch. ``xerial``: snappy in the framing of snappy-java (BatchScan and BatchReader know).

    ``max_size``, LFS_MAX_PASSTHROUGH_SIZE, is in bytes of the batch as it is sent; beyond it every method
    raises TooLarge.
    """

    def __init__(self, header: BatchHeader, *, xerial: bool = False, max_size: int | None = None) -> None:
        self._header = header
        self._max_size = max_size
        self._compressor = None if header.codec == NONE else new_compressor(header.codec, xerial)
        self._gathered = Gathered()
        self.size = HEADER_SIZE

    def keep(self, raw: Piece) -> None:
        """Records as they came, or parts of them in their order. Kept by reference where not compressed."""
        self._put(raw if self._compressor is None else self._compressor.compress(raw))

    def record(
        self,
        attributes: int,
        timestamp_delta: int,
        offset_delta: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header],
    ) -> None:
        """A record that is written anew."""
        self.keep(encode_record(attributes, timestamp_delta, offset_delta, key, value, headers))

    def finish(self) -> list[Piece]:
        """The whole batch in pieces. The writer cannot be used any more."""
        if self._compressor is not None:
            self._put(self._compressor.flush())
        pieces = self._gathered.take()
        if isinstance(self._compressor, RawSnappy):
            preamble = self._compressor.preamble()
            pieces.insert(0, preamble)
            self.size += len(preamble)
        crc = crc32c(self._header.signed_fields())
        for piece in pieces:
            crc = crc32c(piece, crc)
        return [self._header.to_bytes(self.size - BATCH_OVERHEAD, crc), *pieces]

    def _put(self, data: Piece) -> None:
        self.size += len(data)
        if self._max_size is not None and self.size > self._max_size:
            raise TooLarge(
                "the batch is larger than LFS_MAX_PASSTHROUGH_SIZE allows after its blobs were taken out"
                f" ({self._max_size} bytes)"
            )
        self._gathered.add(data)


def encode_record(
    attributes: int,
    timestamp_delta: int,
    offset_delta: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[Header],
) -> bytes:
    """A record of format 2, its length included."""
    body = bytearray((attributes & 0xFF,))
    put_varint(body, timestamp_delta)
    put_varint(body, offset_delta)
    _put_bytes(body, key)
    _put_bytes(body, value)
    put_varint(body, len(headers))
    for name, data in headers:
        _put_bytes(body, name)
        _put_bytes(body, data)
    record = bytearray()
    put_varint(record, len(body))
    return bytes(record + body)


def _put_bytes(out: bytearray, data: bytes | None) -> None:
    put_varint(out, -1 if data is None else len(data))
    out += data or b""
