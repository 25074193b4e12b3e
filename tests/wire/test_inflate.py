"""A small compressed batch is clear at once only where it is to the reader that takes its time, too."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import lz4.frame
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import LfsError
from lfsproxy.wire.batch import COUNT_OFFSET, GZIP, LZ4, SNAPPY, USUAL_RECORDS, ZSTD
from lfsproxy.wire.inflate import MOST_COMPRESSED, MOST_INFLATED, Inflater, SmallBatches
from lfsproxy.wire.scan import is_clear_inside
from tests.integration.frames import LargeRecord, gzip_bomb, lz4_bomb, snappy_bomb, xerial_bomb, zstd_bomb
from tests.wire.helpers import CODECS, batch_of, compressed

ANY_SIZE = 2**31 - 1
INFLATER = Inflater(ANY_SIZE)
PACKED = [each for each in CODECS if each[0]]
TEXT = b"what many records have in common, " * 20


def is_clear(batch: bytes, threshold: int = 0, most: int = ANY_SIZE) -> bool:
    """The quick look at one batch."""
    return SmallBatches(Inflater(most)).are_clear(batch, threshold)


def slowly(batch: bytes, threshold: int = 0, most: int = ANY_SIZE) -> bool:
    """The verdict of the reader that takes its time."""
    try:
        return is_clear_inside(batch, threshold, max_decompressed=most)
    except LfsError:
        return False


def streamed_zstd(data: bytes, **parameters: int) -> bytes:
    """A frame that does not tell its size, as producers make them."""
    chosen = zstandard.ZstdCompressionParameters.from_level(3, **parameters)
    stream = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
    return stream.compress(data) + stream.flush()


INSIDE = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=30).map(lambda part: part * 40),
    st.builds(lambda start, end: start + b"LFS_BLOB" + end, st.binary(max_size=90), st.binary(max_size=90)),
)
AREA = st.builds(
    lambda codec, data: (codec[0], compressed(codec[0], data, xerial=codec[1])),
    st.sampled_from(PACKED),
    INSIDE,
)
LIMITS = st.sampled_from([(0, ANY_SIZE), (1, ANY_SIZE), (100, ANY_SIZE), (500, 1024), (0, 1024), (0, 100)])


class AgreementTests(SynchronousTestCase):
    @given(st.sampled_from(PACKED), INSIDE, LIMITS, st.sampled_from([0, 0x08, 0x10, 0x30]))
    def test_what_is_whole(
        self, codec: tuple[int, bool], data: bytes, limits: tuple[int, int], attributes: int
    ) -> None:
        area = compressed(codec[0], data, xerial=codec[1])
        batch = batch_of(area, 3, codec=codec[0], attributes=attributes)
        if data:
            self.assertEqual(is_clear(batch, *limits), slowly(batch, *limits))
        elif is_clear(batch, *limits):
            self.assertTrue(slowly(batch, *limits))

    @given(AREA, st.data(), LIMITS)
    def test_what_is_broken(
        self, area: tuple[int, bytes], data: st.DataObject, limits: tuple[int, int]
    ) -> None:
        codec, broken = area[0], bytearray(area[1])
        for _ in range(data.draw(st.integers(0, 3))):
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        del broken[data.draw(st.integers(0, len(broken)) | st.just(len(broken))) :]
        broken += data.draw(st.binary(max_size=9))
        batch = batch_of(
            bytes(broken), data.draw(st.integers(-1, 3)), codec=data.draw(st.just(codec) | st.integers(0, 7))
        )
        if is_clear(batch, *limits):
            self.assertTrue(slowly(batch, *limits), batch.hex())

    @given(st.lists(AREA, min_size=1, max_size=3), st.integers(1, 7))
    def test_several_frames(self, areas: list[tuple[int, bytes]], codec: int) -> None:
        batch = batch_of(b"".join(area for _, area in areas), 3, codec=codec)
        if is_clear(batch):
            self.assertTrue(slowly(batch), batch.hex())


class SmallBatchTests(SynchronousTestCase):
    def test_what_producers_send_is_clear(self) -> None:
        for codec, xerial in PACKED:
            self.assertTrue(is_clear(batch_of(compressed(codec, TEXT, xerial=xerial), 9, codec=codec)))
        self.assertTrue(is_clear(batch_of(streamed_zstd(TEXT), 9, codec=ZSTD)))
        linked = bytes(lz4.frame.compress(TEXT, content_checksum=True, store_size=False))
        self.assertTrue(is_clear(batch_of(linked, 9, codec=LZ4)))

    def test_the_mark_is_found_in_every_codec(self) -> None:
        for codec, xerial in PACKED:
            for place in (0, 300, len(TEXT)):
                data = TEXT[:place] + b"LFS_BLOB" + TEXT[place:]
                self.assertFalse(is_clear(batch_of(compressed(codec, data, xerial=xerial), 9, codec=codec)))

    def test_across_the_blocks_of_java_s_snappy(self) -> None:
        data = bytes(32 * 1024 - 4) + b"LFS_BLOB" + bytes(9)
        area = compressed(SNAPPY, data, xerial=True)
        self.assertFalse(is_clear(batch_of(area, 9, codec=SNAPPY)))
        self.assertTrue(
            is_clear(batch_of(compressed(SNAPPY, data[:32_764] + bytes(17), xerial=True), 9, codec=SNAPPY))
        )

    def test_what_is_not_compressed_or_of_another_format_is_left_to_others(self) -> None:
        self.assertFalse(is_clear(batch_of(TEXT, 1)))
        for codec, xerial in PACKED:
            area = compressed(codec, TEXT, xerial=xerial)
            self.assertFalse(is_clear(batch_of(area, 9, codec=codec, magic=1)))
            self.assertFalse(is_clear(batch_of(area, 9, codec=codec)[:60]))
        for codec in (5, 6, 7):
            self.assertFalse(is_clear(batch_of(TEXT, 1, codec=codec)))

    def test_counts_that_cannot_be(self) -> None:
        for count, expected in ((0, True), (USUAL_RECORDS, True), (USUAL_RECORDS + 1, False), (-1, False)):
            batch = bytearray(batch_of(gzip.compress(TEXT), 1, codec=GZIP))
            struct.pack_into(">i", batch, COUNT_OFFSET, count)
            self.assertEqual(is_clear(bytes(batch)), expected)

    def test_windows_that_brokers_do_not_allow(self) -> None:
        for log, expected in ((23, True), (24, False), (28, False)):
            self.assertEqual(is_clear(batch_of(streamed_zstd(TEXT, window_log=log), 9, codec=ZSTD)), expected)

    def test_a_size_of_nothing_before_something(self) -> None:
        block = struct.pack("<I", len(b"LFS_BLOB") << 3 | 1)[:3] + b"LFS_BLOB"
        frame = struct.pack("<I", zstandard.MAGIC_NUMBER) + b"\x20\0" + block
        self.assertFalse(is_clear(batch_of(frame, 1, codec=ZSTD)))

    def test_beginnings_without_data(self) -> None:
        skippable = struct.pack("<II", 0x184D2A50, 4) + b"skip"
        for codec, area in ((SNAPPY, b"\x82SNAPPY\0"), (SNAPPY, b"\x82SNAPPY\0\0\0\0\1"), (ZSTD, skippable)):
            self.assertFalse(slowly(batch_of(area, 1, codec=codec)))
            self.assertFalse(is_clear(batch_of(area, 1, codec=codec)))

    def test_snappy_that_is_longer_than_its_output_can_need(self) -> None:
        batch = batch_of(b"\x28" + b"\xfc\0\0\0\0a" * 40, 1, codec=SNAPPY)
        self.assertEqual((slowly(batch), is_clear(batch)), (False, False))


class BoundTests(SynchronousTestCase):
    def test_at_most_so_much_is_inflated_however_much_there_is(self) -> None:
        for name, bomb, codec in (
            ("gzip", gzip.compress(bytes(8 * 2**20)), GZIP),
            ("zstd", zstandard.ZstdCompressor().compress(bytes(64 * 2**20)), ZSTD),
            ("zstd that does not tell its size", streamed_zstd(bytes(64 * 2**20)), ZSTD),
            ("lz4", bytes(lz4.frame.compress(bytes(3 * 2**20))), LZ4),
            ("gzip of members", b"".join(gzip_bomb(LargeRecord(2**20)))[:MOST_COMPRESSED], GZIP),
            ("zstd of frames", b"".join(zstd_bomb(LargeRecord(2**20)))[:MOST_COMPRESSED], ZSTD),
            ("lz4 of frames", b"".join(lz4_bomb(LargeRecord(2**20)))[:MOST_COMPRESSED], LZ4),
            ("snappy", b"".join(snappy_bomb(LargeRecord(2**18))), SNAPPY),
            ("Java's snappy", b"".join(xerial_bomb(LargeRecord(2**18))), SNAPPY),
        ):
            self.assertLessEqual(len(bomb), MOST_COMPRESSED, name)
            tracemalloc.start()
            try:
                found = INFLATER.inflate(codec, bomb, MOST_INFLATED)
                _, most = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            self.assertIsNone(found, name)
            self.assertLess(most, 3 * MOST_INFLATED, name)

    def test_to_the_last_byte(self) -> None:
        for codec, xerial in PACKED:
            for size in (MOST_INFLATED - 1, MOST_INFLATED + 1):
                area = compressed(codec, bytes(size), xerial=xerial)
                self.assertEqual(is_clear(batch_of(area, 1, codec=codec)), size < MOST_INFLATED)

    def test_the_batches_of_a_request_share_it(self) -> None:
        for codec, xerial in PACKED:
            batch = batch_of(compressed(codec, bytes(MOST_INFLATED // 3), xerial=xerial), 1, codec=codec)
            small = SmallBatches(INFLATER)
            self.assertEqual([small.are_clear(batch) for _ in range(4)], [True, True, True, False])

    def test_and_their_compressed_bytes(self) -> None:
        empty = gzip.compress(b"")
        batch = batch_of(empty, 1, codec=GZIP)
        small = SmallBatches(INFLATER)
        count = MOST_COMPRESSED // len(batch)
        self.assertEqual([small.are_clear(batch) for _ in range(count + 1)], [True] * count + [False])

    def test_after_one_that_is_not_clear_no_more_are_looked_into(self) -> None:
        batch = batch_of(gzip.compress(TEXT), 1, codec=GZIP)
        small = SmallBatches(INFLATER)
        self.assertFalse(small.are_clear(batch_of(gzip.compress(TEXT)[:-1], 1, codec=GZIP)))
        self.assertFalse(small.has_room(len(batch)))
        self.assertFalse(small.are_clear(batch))
