"""What a record's headers ask for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.marks import LfsMark, lfs_headers, offload_mark

DEFAULT = "application/octet-stream"


class MarkTests(SynchronousTestCase):
    def test_without_lfs_blob_nothing_is_offloaded(self) -> None:
        for headers in ([], [(b"LFS_BLOB_ALG", b"md5")], [(b"lfs_blob", b"")], [(b"LFS_BLOB ", b"")]):
            self.assertIsNone(lfs_headers(headers))

    def test_an_empty_or_null_value_expects_no_checksum(self) -> None:
        for value in (b"", None):
            self.assertEqual(lfs_headers([(b"LFS_BLOB", value)]), LfsMark(None, None, DEFAULT, []))

    def test_the_expected_checksum_and_its_algorithm_are_told_as_they_came(self) -> None:
        mark = lfs_headers([(b"LFS_BLOB", b"ABcd"), (b"LFS_BLOB_ALG", b"md5")])
        self.assertEqual(mark, LfsMark("ABcd", "md5", DEFAULT, []))

    def test_the_algorithm_may_be_in_capitals(self) -> None:
        mark = lfs_headers([(b"LFS_BLOB", b""), (b"LFS_BLOB_ALG", b"SHA256")])
        self.assertEqual(mark, LfsMark(None, "sha256", DEFAULT, []))

    def test_an_empty_algorithm_is_the_default(self) -> None:
        for value in (b"", None):
            mark = lfs_headers([(b"LFS_BLOB", b""), (b"LFS_BLOB_ALG", value)])
            self.assertEqual(mark, LfsMark(None, None, DEFAULT, []))

    def test_all_other_headers_are_published_in_their_order(self) -> None:
        headers = [
            (b"\xff", None),
            (b"LFS_BLOB", b""),
            (b"a", b"1"),
            (b"content-type", b"image/png"),
            (b"LFS_BLOB_ALG", b"md5"),
            (b"a", b"2"),
        ]
        mark = lfs_headers(headers)
        assert mark is not None
        self.assertEqual(mark.content_type, "image/png")
        self.assertEqual(
            mark.published, [(b"\xff", None), (b"a", b"1"), (b"content-type", b"image/png"), (b"a", b"2")]
        )

    def test_the_last_of_two_headers_counts(self) -> None:
        mark = lfs_headers([(b"LFS_BLOB", b"aa"), (b"a", b"1"), (b"LFS_BLOB", b"bb")])
        self.assertEqual(mark, LfsMark("bb", None, DEFAULT, [(b"a", b"1")]))

    def test_a_content_type_that_cannot_be_an_http_header_falls_back(self) -> None:
        for value in (b"a/b\r\nx: y", b"a/b\0", "text/ü".encode(), b"", None, b"  "):
            mark = lfs_headers([(b"LFS_BLOB", b""), (b"content-type", value)])
            assert mark is not None
            self.assertEqual(mark.content_type, DEFAULT)

    def test_checksums_that_are_no_text_are_left_to_be_refused(self) -> None:
        mark = lfs_headers([(b"LFS_BLOB", b"\xff"), (b"LFS_BLOB_ALG", b"\xfe")])
        self.assertEqual(mark, LfsMark("\ufffd", "\ufffd", DEFAULT, []))

    def test_a_record_offloaded_for_its_size_keeps_its_headers(self) -> None:
        mark = offload_mark([(b"a", b"1"), (b"LFS_BLOB_ALG", b"crc32")])
        self.assertEqual(mark, LfsMark(None, "crc32", DEFAULT, [(b"a", b"1")]))
