"""What the tests of fetched batches share: random batches of any kind, written independently of the code."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import attrs
from crc32c import crc32c
from hypothesis import strategies as st

from tests.wire.helpers import CODECS, Record, compressed, varint

ENVELOPE = (
    b'{"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/t/0/1-'
    b'6f1de2c5-8a4b-4f0c-9d59-35e9a4c1f0aa.bin","content_type":"text/plain","content_length":5,'
    b'"checksum_algo":"crc32","checksum":"3610a686"}'
)
OLDER = b'{"kfs_lfs":1,"bucket":"b","key":"ns/topic/lfs/obj","size":5,"sha256":""}'
LOG_APPEND_TIME, TRANSACTIONAL, CONTROL, DELETE_HORIZON = 0x08, 0x10, 0x20, 0x40


@attrs.frozen
class Made:
    """A record of a batch that was made: its deltas, and its key, value and headers."""

    offset_delta: int
    timestamp_delta: int
    record: Record
    attributes: int = 0

    def raw(self) -> bytes:
        """The record as it is on the wire."""
        key, value, headers = self.record
        body = struct.pack(">B", self.attributes) + varint(self.timestamp_delta) + varint(self.offset_delta)
        body += _sized(key) + _sized(value) + varint(len(headers))
        body += b"".join(_sized(name) + _sized(data) for name, data in headers)
        return varint(len(body)) + body


def _sized(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


@attrs.frozen
class MadeBatch:
    """A batch with records of any kind; ``codec`` and ``xerial`` are one of CODECS.

    ``raw`` are the records' bytes where they are not those of ``records``.
    """

    records: Sequence[Made]
    codec: int = 0
    xerial: bool = False
    attributes: int = 0
    base_offset: int = 100
    last_offset_delta: int | None = None
    leader_epoch: int = 5
    timestamps: tuple[int, int] = (1000, 2000)
    producer: tuple[int, int, int] = (7, 3, 42)
    count: int | None = None
    raw: bytes | None = None

    @property
    def last_delta(self) -> int:
        if self.last_offset_delta is not None:
            return self.last_offset_delta
        return self.records[-1].offset_delta if self.records else 0

    @property
    def area(self) -> bytes:
        """The records, uncompressed."""
        if self.raw is not None:
            return self.raw
        return b"".join(record.raw() for record in self.records)

    def to_bytes(self) -> bytes:
        signed = struct.pack(
            ">hiqqqhii",
            self.attributes | self.codec,
            self.last_delta,
            *self.timestamps,
            *self.producer,
            len(self.records) if self.count is None else self.count,
        )
        signed += compressed(self.codec, self.area, xerial=self.xerial)
        start = (self.base_offset, len(signed) + 9, self.leader_epoch, 2, crc32c(signed))
        return struct.pack(">qiibI", *start) + signed


def envelopes(count: int, codec: int = 0, value: bytes = ENVELOPE) -> MadeBatch:
    """A batch of ``count`` records with the same value."""
    return MadeBatch([Made(each, each, (b"k%d" % each, value, [])) for each in range(count)], codec=codec)


LONG = st.sampled_from([5_000, 64 * 1024 - 1, 64 * 1024, 300_000])
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.just(ENVELOPE),
    st.just(OLDER),
    st.just(b'{"other": 1}'),
    st.builds(lambda size: ENVELOPE.ljust(size), LONG),
    st.builds(lambda size, byte: byte * size, LONG, st.sampled_from([b"x", b"{", ENVELOPE[1:2]])),
)
HEADERS = st.lists(
    st.tuples(st.text(max_size=8).map(lambda name: name.encode()), st.none() | st.binary(max_size=20)),
    max_size=3,
)
KEYS = st.none() | st.binary(max_size=20) | st.builds(lambda size: b"k" * size, LONG)
INT64 = st.integers(0, 2**50)


@st.composite
def made_batches(draw: st.DrawFn, least: int = 1, most: int = 8) -> MadeBatch:
    """Any batch: codecs, null and long values, holes, both kinds of timestamps, transactions."""
    records = []
    offset_delta = draw(st.integers(-1, 3))
    for _ in range(draw(st.integers(least, most))):
        offset_delta += draw(st.sampled_from([1, 1, 1, 2, 100, 10_000]))
        content = draw(KEYS), draw(VALUES), draw(HEADERS)
        # kafka-python, which judges, reads the attributes as a varint.
        records.append(
            Made(offset_delta, draw(st.integers(-500, 2**40)), content, draw(st.sampled_from([0, 127])))
        )
    codec, xerial = draw(st.sampled_from(CODECS))
    bits = (LOG_APPEND_TIME, TRANSACTIONAL, DELETE_HORIZON)
    return MadeBatch(
        records,
        codec,
        xerial,
        sum(bit for bit in bits if draw(st.booleans())),
        draw(INT64),
        offset_delta + draw(st.sampled_from([0, 0, 1, 500])) if records or offset_delta >= 0 else 0,
        draw(st.integers(-1, 2**31 - 1)),
        (draw(INT64), draw(INT64)),
        draw(st.sampled_from([(-1, -1, -1), (7, 3, 42), (2**40, 2**15 - 1, 2**31 - 1)])),
    )
