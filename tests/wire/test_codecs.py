"""Decompressors and compressors: they understand other libraries, are understood, and need little memory."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import cramjam
import lz4.frame
import zstandard
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import LfsError, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import GZIP, LZ4, SNAPPY, ZSTD
from lfsproxy.wire.compress import RawSnappy, new_compressor
from lfsproxy.wire.decompress import Decompressor, new_decompressor
from lfsproxy.wire.snappy import READ_SIZE, SnappyBlock
from tests.wire.helpers import CODECS, chunked, compressed

MEBIBYTE = 1024 * 1024
MAX_HISTORY = 16 * MEBIBYTE


def pieces(decompressor: Decompressor) -> Iterator[bytes]:
    while data := decompressor.read():
        yield data


def decompressed(codec: int, chunks: list[bytes], max_history: int = MAX_HISTORY) -> bytes:
    decompressor = new_decompressor(codec, b"".join(chunks)[:8], max_history)
    found = b""
    for chunk in chunks:
        decompressor.feed(chunk)
        found += b"".join(pieces(decompressor))
    decompressor.finish()
    return found + b"".join(pieces(decompressor))


def samples() -> Iterator[bytes]:
    """Data of several sizes: monotonous, random-looking, and both with repeats far apart."""
    noise = b"".join(zlib.crc32(b"%d" % n).to_bytes(4, "big") for n in range(80_000))
    yield b""
    yield b"x"
    yield noise
    yield bytes(MEBIBYTE + 1)
    yield b"".join(b"record %d of a topic, " % n for n in range(60_000))
    yield noise + b"in between" * 1000 + noise


class BothWaysTests(SynchronousTestCase):
    def test_what_libraries_compress_is_decompressed(self) -> None:
        for data in samples():
            for codec, xerial in CODECS[1:]:
                packed = compressed(codec, data, xerial=xerial)
                self.assertEqual(decompressed(codec, [packed]), data)
                self.assertEqual(decompressed(codec, chunked(packed, range(0, len(packed), 1999))), data)

    def test_what_is_compressed_here_libraries_decompress(self) -> None:
        decoders: dict[tuple[int, bool], Callable[[bytes], bytes]] = {
            (GZIP, False): gzip_decode,
            (SNAPPY, False): lambda found: bytes(cramjam.snappy.decompress_raw(found)),
            (SNAPPY, True): snappy_decode,
            (LZ4, False): lz4_decode,
            (ZSTD, False): zstd_decode,
        }
        for data in samples():
            for (codec, xerial), decode in decoders.items():
                compressor = new_compressor(codec, xerial)
                found = b"".join(compressor.compress(chunk) for chunk in chunked(data, [10, 70_000, 500_000]))
                found += compressor.flush()
                if isinstance(compressor, RawSnappy):
                    found = compressor.preamble() + found
                if data or codec != SNAPPY:
                    self.assertEqual(bytes(decode(found)), data)
                self.assertEqual(decompressed(codec, [found]), data)

    def test_lz4_blocks_are_independent_as_java_wants(self) -> None:
        compressor = new_compressor(LZ4, False)
        found = compressor.compress(bytes(300_000)) + compressor.flush()
        info = lz4.frame.get_frame_info(found)
        self.assertFalse(info["block_linked"])
        self.assertFalse(info["content_checksum"] or info["block_checksum"])

    def test_frames_one_after_the_other_are_one_stream(self) -> None:
        for codec in (GZIP, LZ4, ZSTD):
            packed = compressed(codec, b"one, ") + compressed(codec, b"two")
            self.assertEqual(decompressed(codec, [packed]), b"one, two")

    def test_every_kind_of_zstd_frame_is_read(self) -> None:
        data = bytes(range(256)) * 3000
        for checksum in (False, True):
            for content_size in (False, True):
                compressor = zstandard.ZstdCompressor(
                    level=19, write_checksum=checksum, write_content_size=content_size
                )
                packed = b"\x50\x2a\x4d\x18\3\0\0\0abc" + compressor.compress(data)
                self.assertEqual(decompressed(ZSTD, chunked(packed, range(20))), data)
        stream = zstandard.ZstdCompressor().compressobj()
        packed = stream.compress(data) + stream.flush()
        self.assertEqual(decompressed(ZSTD, [packed]), data)

    def test_lz4_with_linked_blocks_and_checksums_is_read(self) -> None:
        data = b"".join(b"%d," % n for n in range(500_000))
        packed = lz4.frame.compress(
            data,
            block_size=lz4.frame.BLOCKSIZE_MAX4MB,
            block_linked=True,
            content_checksum=True,
            block_checksum=True,
            store_size=True,
        )
        self.assertEqual(decompressed(LZ4, chunked(packed, range(0, len(packed), 5000))), data)

    @given(st.sampled_from(CODECS[1:]), st.binary(max_size=300), st.data())
    def test_mutations_give_bytes_or_an_lfs_error(
        self, codec: tuple[int, bool], data: bytes, draw: st.DataObject
    ) -> None:
        packed = bytearray(compressed(codec[0], data * 20, xerial=codec[1]))
        for _ in range(draw.draw(st.integers(1, 5))):
            packed[draw.draw(st.integers(0, len(packed) - 1))] = draw.draw(st.integers(0, 255))
        try:
            decompressed(codec[0], chunked(bytes(packed), draw.draw(st.lists(st.integers(0, 9999)))))
        except LfsError:
            return


class BombTests(SynchronousTestCase):
    def peak(self, codec: int, packed: bytes, limit: int) -> int:
        """The most bytes of Python's memory in use while ``limit`` bytes are decompressed."""
        decompressor = new_decompressor(codec, packed[:8], MEBIBYTE)
        decompressor.feed(packed)
        decompressor.finish()
        tracemalloc.start()
        try:
            size = 0
            for piece in pieces(decompressor):
                size += len(piece)
                self.assertLessEqual(len(piece), READ_SIZE)
                if size > limit:
                    break
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def test_bombs_come_in_small_pieces(self) -> None:
        for codec, xerial in CODECS[1:]:
            packed = compressed(codec, bytes(24 * MEBIBYTE), xerial=xerial)
            self.assertLess(self.peak(codec, packed, 20 * MEBIBYTE), 6 * MEBIBYTE, (codec, xerial))

    def test_a_zstd_bomb_of_run_length_blocks_comes_in_small_pieces(self) -> None:
        frame = b"\x28\xb5\x2f\xfd\0\x58" + ((128 * 1024 << 3 | 2).to_bytes(3, "little") + b"x") * 4000
        self.assertLess(self.peak(ZSTD, frame, 400 * MEBIBYTE), MEBIBYTE)

    def test_a_zstd_window_beyond_what_brokers_allow_is_too_large(self) -> None:
        frame = b"\x28\xb5\x2f\xfd\0" + bytes([18 << 3]) + bytes(20)
        self.assertRaises(TooLarge, decompressed, ZSTD, [frame])


class SnappyBlockTests(SynchronousTestCase):
    """Blocks of more than 1 MiB, which are decoded in parts, put together by hand."""

    NOISE = b"".join(zlib.crc32(b"%d" % n).to_bytes(4, "big") for n in range(300_000))

    def assert_refused(self, error: type[LfsError], block: bytes, max_history: int = MAX_HISTORY) -> None:
        with self.assertRaises(error):
            decompressed(SNAPPY, [block], max_history)

    def literals(self) -> bytes:
        """NOISE, in literals whose length takes two bytes."""
        parts = [self.NOISE[start : start + 60_000] for start in range(0, len(self.NOISE), 60_000)]
        return b"".join(bytes([61 << 2]) + (len(part) - 1).to_bytes(2, "little") + part for part in parts)

    def test_copies_within_reach_are_decoded_in_parts(self) -> None:
        """Copies with an offset of four bytes, as franz-go's encoder makes them."""
        block = _length(1_200_000 + 64 * 4) + self.literals()
        expected = self.NOISE
        for offset in (1_200_000, 290_000, 1_200_128, 64):
            block += bytes([63 << 2 | 3]) + offset.to_bytes(4, "little")
            expected += expected[len(expected) - offset :][:64]
        self.assertTrue(decompressed(SNAPPY, [block]) == expected)
        self.assertTrue(decompressed(SNAPPY, chunked(block, range(0, len(block), 7919))) == expected)

    def test_copies_from_all_of_a_bounded_reach_are_decoded(self) -> None:
        """The reach is no multiple of anything, and is passed many times."""
        reach = 100_003
        block, expected = self.literals(), self.NOISE
        for offset in range(reach, 64, -997):
            block += bytes([63 << 2 | 3]) + offset.to_bytes(4, "little")
            expected += expected[len(expected) - offset :][:64]
        block = _length(len(expected)) + block
        self.assertTrue(decompressed(SNAPPY, [block], reach) == expected)
        self.assertTrue(decompressed(SNAPPY, chunked(block, range(0, len(block), 211)), reach) == expected)

    def test_the_reach_is_held_once(self) -> None:
        data = self.NOISE * 20
        block = SnappyBlock(8 * MEBIBYTE)
        block.feed(bytes(memoryview(cramjam.snappy.compress_raw(data))))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        while not block.done:
            block.read(True)
        self.assertLess(tracemalloc.get_traced_memory()[1], 10 * MEBIBYTE)

    def test_a_copy_that_refers_back_too_far_names_the_setting(self) -> None:
        block = _length(1_200_060) + self.literals() + bytes([59 << 2 | 3]) + (500_000).to_bytes(4, "little")
        self.assert_refused(TooLarge, block, 100_000)

    def test_a_copy_from_before_the_start_is_undecodable(self) -> None:
        for offset in (90, 90_000):
            block = _length(2_000_000) + bytes([0, 120, 3 << 2 | 3]) + offset.to_bytes(4, "little")
            self.assert_refused(UndecodableRecords, block)

    def test_a_length_that_lies_is_undecodable(self) -> None:
        for length in (1_200_001, 1_199_999, 1_100_000, 300_000, 2**32 - 1, 2**33):
            self.assert_refused(UndecodableRecords, _length(length) + self.literals())

    def test_a_small_block_that_grows_beyond_its_output_is_refused_before_its_end(self) -> None:
        block = SnappyBlock(MEBIBYTE)
        block.feed(_length(100) + bytes(200))
        self.assertRaises(UndecodableRecords, block.read, False)


def _length(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])
