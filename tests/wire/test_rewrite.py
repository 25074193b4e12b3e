"""Scanning, cutting and rewriting batches: what is not offloaded keeps its bytes, in every codec."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import CorruptBatch, LfsError, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import HEADER_SIZE, is_clear, parse_batch_header
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.fields import Header
from lfsproxy.wire.marks import lfs_headers
from lfsproxy.wire.rewrite import BatchWriter
from lfsproxy.wire.scan import (
    BatchScan,
    KeptBytes,
    OffloadBytes,
    OffloadEnd,
    OffloadStart,
    is_clear_inside,
    scan_batch,
    segments,
    uncompressed,
)
from tests.wire.helpers import CODECS, Record, batch_of, chunked, compressed, raw_record, raw_records

ENVELOPE = b'{"lfs_version":1}'
marked = st.booleans().map(lambda mark: [(b"LFS_BLOB", b"")] if mark else [])
record = st.builds(
    lambda key, value, headers, mark: (key, value, [*headers, *mark]),
    st.none() | st.binary(max_size=9),
    st.none() | st.binary(max_size=300),
    st.lists(st.tuples(st.binary(max_size=5), st.none() | st.binary(max_size=5)), max_size=2),
    marked,
)


def wanted(value_length: int, headers: Sequence[Header]) -> bool:
    return lfs_headers(headers) is not None


def batch(records: Sequence[Record], codec: int = 0, xerial: bool = False) -> bytes:
    return batch_of(compressed(codec, raw_records(records), xerial=xerial), len(records), codec=codec)


def rewritten(data: bytes | Sequence[bytes], scan: BatchScan) -> tuple[bytes, list[bytes]]:
    """The batch with envelopes in it, and the values that were taken out."""
    writer = BatchWriter(scan.header, xerial=scan.xerial)
    values: list[bytes] = []
    for segment in segments(data, scan):
        if isinstance(segment, KeptBytes):
            writer.keep(segment.data)
        elif isinstance(segment, OffloadStart):
            values.append(b"")
        elif isinstance(segment, OffloadBytes):
            values[-1] += segment.data
        else:
            assert isinstance(segment, OffloadEnd)
            plan = segment.plan
            writer.record(
                plan.attributes,
                plan.timestamp_delta,
                plan.offset_delta,
                plan.key,
                ENVELOPE,
                plan.headers[:-1],
            )
    pieces = writer.finish()
    assert writer.size == sum(map(len, pieces))
    return b"".join(pieces), values


def area_of(data: bytes) -> bytes:
    return b"".join(uncompressed([data], parse_batch_header(data)))


class RewritingTests(SynchronousTestCase):
    @given(st.lists(record, max_size=6), st.sampled_from(CODECS), st.lists(st.integers(0, 10**5), max_size=5))
    def test_only_marked_records_change(
        self, records: list[Record], codec: tuple[int, bool], cuts: list[int]
    ) -> None:
        data = batch(records, *codec)
        pieces = chunked(data, cuts)
        scan = scan_batch(pieces, wanted)
        out, values = rewritten(pieces, scan)
        marks = [value is not None and (b"LFS_BLOB", b"") in headers for _, value, headers in records]
        expected = [
            (key, ENVELOPE, headers[:-1]) if mark else (key, value, headers)
            for mark, (key, value, headers) in zip(marks, records, strict=True)
        ]
        self.assertEqual(area_of(out), raw_records(expected))
        self.assertEqual(values, [value for mark, (_, value, _) in zip(marks, records, strict=True) if mark])
        self.assertEqual([plan.index for plan in scan.offload], [n for n, mark in enumerate(marks) if mark])
        self.assertEqual(scan.decompressed_size, len(raw_records(records)))

    @given(st.lists(record, min_size=1, max_size=6), st.sampled_from(CODECS))
    def test_kafka_python_reads_what_was_written(
        self, records: list[Record], codec: tuple[int, bool]
    ) -> None:
        texts: list[Record] = [
            (key, value, [(b"h%d" % n, data) for n, (_, data) in enumerate(headers)])
            for key, value, headers in records
        ]
        data = batch(texts, *codec)
        out, _ = rewritten(data, scan_batch(data, lambda length, _: length % 2 == 0 and length > 0))
        theirs = MemoryRecords(out).next_batch()
        self.assertTrue(theirs.validate_crc())
        self.assertEqual(len(list(theirs)), len(records))

    def test_the_header_stays_but_for_length_and_crc(self) -> None:
        for codec, xerial in CODECS:
            data = batch([(b"k", b"value" * 50, [(b"LFS_BLOB", b"")])], codec, xerial)
            out, _ = rewritten(data, scan_batch(data, wanted))
            self.assertEqual(out[:8] + out[12:17] + out[21:61], data[:8] + data[12:17] + data[21:61])
            self.assertEqual(int.from_bytes(out[8:12], "big"), len(out) - 12)

    def test_snappy_keeps_its_framing(self) -> None:
        for xerial in (False, True):
            data = batch([(b"k", b"value" * 50, [(b"LFS_BLOB", b"")])], 2, xerial)
            out, _ = rewritten(data, scan_batch(data, wanted))
            self.assertEqual(out[HEADER_SIZE:].startswith(b"\x82SNAPPY\0"), xerial)

    def test_kept_bytes_of_an_uncompressed_batch_are_not_copied(self) -> None:
        records: list[Record] = [(None, bytes(9000), []), (None, b"x", [(b"LFS_BLOB", b"")])]
        data = batch(records)
        kept = next(iter(segments(data, scan_batch(data, wanted))))
        assert isinstance(kept, KeptBytes)
        assert isinstance(kept.data, memoryview)
        self.assertIs(kept.data.obj, data)

    def test_a_batch_that_stays_too_large_names_the_setting(self) -> None:
        for codec, xerial in CODECS:
            writer = BatchWriter(parse_batch_header(batch([], codec)), xerial=xerial, max_size=1000)
            error = self.assertRaises(TooLarge, self.fill, writer)
            self.assertIn("LFS_MAX_PASSTHROUGH_SIZE", str(error))

    def fill(self, writer: BatchWriter) -> None:
        for n in range(3000):
            writer.keep(b"".join(hash((n, m)).to_bytes(8, "big", signed=True) for m in range(100)))


class ScanningTests(SynchronousTestCase):
    def test_a_null_value_is_never_offloaded(self) -> None:
        data = batch([(b"k", None, [(b"LFS_BLOB", b"")])])
        self.assertEqual(scan_batch(data, lambda *_: True).offload, [])

    def test_a_wrong_crc_is_a_corrupt_batch_whatever_the_records_are(self) -> None:
        for area in (raw_record(0, (None, b"value", [])), b"garbage" * 9):
            data = bytearray(batch_of(area, 1))
            data[-1] ^= 1
            self.assertRaises(CorruptBatch, scan_batch, bytes(data), wanted)

    def test_a_bomb_names_the_setting(self) -> None:
        for codec, xerial in CODECS[1:]:
            data = batch([(None, bytes(3_000_000), [])], codec, xerial)
            for scan in (self.scan, self.look):
                error = self.assertRaises(TooLarge, scan, data)
                self.assertIn("LFS_MAX_DECOMPRESSED_SIZE", str(error))

    def scan(self, data: bytes) -> object:
        return scan_batch(data, wanted, max_decompressed=2_000_000)

    def look(self, data: bytes) -> object:
        return is_clear_inside(data, max_decompressed=2_000_000)

    def test_more_to_offload_than_can_be_named_is_too_large(self) -> None:
        data = batch([(None, b"", [(b"LFS_BLOB", b"")])] * 100, 4)
        self.assertRaises(TooLarge, scan_batch, data, wanted, max_plans=20_000)

    def test_formats_without_headers_have_nothing_to_offload(self) -> None:
        data = batch_of(bytes(50), 1, magic=1)
        self.assertEqual(scan_batch(data, wanted).offload, ())

    @given(st.lists(record, max_size=4), st.sampled_from(CODECS), st.data())
    def test_mutations_give_a_scan_or_an_lfs_error(
        self, records: list[Record], codec: tuple[int, bool], data: st.DataObject
    ) -> None:
        area = bytearray(compressed(codec[0], raw_records(records), xerial=codec[1])) or bytearray(1)
        for _ in range(data.draw(st.integers(1, 4))):
            area[data.draw(st.integers(0, len(area) - 1))] = data.draw(st.integers(0, 255))
        mutated = batch_of(bytes(area), len(records), codec=codec[0])
        try:
            scan = scan_batch(mutated, wanted)
        except LfsError:
            return
        rewritten(mutated, scan)


class SkimmingTests(SynchronousTestCase):
    @given(st.lists(record, max_size=8), st.sampled_from(CODECS), st.integers(0, 300))
    def test_stepping_over_records_finds_the_same(
        self, records: list[Record], codec: tuple[int, bool], threshold: int
    ) -> None:
        def large_or_marked(value_length: int, headers: Sequence[Header]) -> bool:
            return wanted(value_length, headers) or 0 < threshold <= value_length

        data = batch(records, *codec)
        expected = scan_batch(data, large_or_marked)
        self.assertEqual(scan_batch(data, large_or_marked, threshold=threshold), expected)

    def test_marks_far_apart_are_found(self) -> None:
        plain: list[Record] = [(b"k", bytes(n % 50), []) for n in range(1000)]
        marked: Record = (b"k", b"v", [(b"LFS_BLOB", b"")])
        large: Record = (None, bytes(90_000), [])
        records = [*plain, marked, *plain, large, *plain]
        for codec, xerial in CODECS:
            data = batch(records, codec, xerial)
            scan = scan_batch(data, wanted, threshold=0)
            self.assertEqual(scan, scan_batch(data, wanted))
            self.assertEqual([plan.index for plan in scan.offload], [1000])

    def test_counts_and_lengths_that_lie_are_still_found(self) -> None:
        area = raw_records([(None, b"a", []), (None, b"b", [])])
        for data in (batch_of(area, 3), batch_of(area, 1), batch_of(area[:-1], 2), batch_of(area + b"\2", 3)):
            self.assertRaises(UndecodableRecords, scan_batch, data, wanted, threshold=0)


class ClearTests(SynchronousTestCase):
    def test_only_the_mark_keeps_an_uncompressed_batch_from_being_clear(self) -> None:
        self.assertTrue(is_clear(batch([(b"k", b"value", [(b"h", b"v")])])))
        self.assertFalse(is_clear(batch([(b"k", b"value", [(b"LFS_BLOB", b"")])])))

    def test_the_mark_is_found_across_the_edges_of_pieces(self) -> None:
        data = batch([(b"k", b"value", [(b"LFS_BLOB", b"")])])
        for start in range(HEADER_SIZE, len(data)):
            for end in range(start, min(start + 9, len(data))):
                pieces: list[Piece] = [data[:start], memoryview(data)[start:end], data[end:]]
                self.assertFalse(is_clear(pieces))
        self.assertFalse(is_clear([data[n : n + 1] for n in range(len(data))]))

    def test_the_mark_is_found_in_a_large_view(self) -> None:
        for size in range(262_000, 262_150, 7):
            data = batch([(None, bytes(size), [(b"LFS_BLOB", b"")])])
            self.assertFalse(is_clear(memoryview(data)))

    def test_compressed_batches_are_not_clear(self) -> None:
        for codec, xerial in CODECS[1:]:
            self.assertFalse(is_clear(batch([(b"k", b"value", [])], codec, xerial)))

    def test_compressed_batches_are_clear_inside_without_the_mark(self) -> None:
        for codec, xerial in CODECS[1:]:
            plain: list[Record] = [(b"k", b"value" * 9, [(b"h", b"v")])] * 20
            self.assertTrue(is_clear_inside(batch(plain, codec, xerial)))
            self.assertFalse(
                is_clear_inside(batch([*plain, (None, b"", [(b"LFS_BLOB", b"")])], codec, xerial))
            )

    def test_nothing_of_the_threshold_or_more_is_clear(self) -> None:
        data = batch([(b"k", b"v" * 1000, [])])
        self.assertTrue(is_clear(data, 5000))
        self.assertFalse(is_clear(data, 1000))
        packed = batch([(b"k", b"v" * 1000, [])], 1)
        self.assertTrue(is_clear_inside(packed, 5000))
        self.assertFalse(is_clear_inside(packed, 1000))

    def test_old_formats_and_what_is_no_batch_are_clear(self) -> None:
        self.assertTrue(is_clear(batch_of(b"LFS_BLOB", 1, magic=1)))
        self.assertTrue(is_clear(b""))
        self.assertTrue(is_clear(b"LFS_BLOB"))

    def test_data_that_does_not_decompress_is_no_verdict(self) -> None:
        data = batch_of(b"\xff" * 40, 1, codec=4)
        self.assertRaises(UndecodableRecords, is_clear_inside, data)
