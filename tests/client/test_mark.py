"""What a producer marks a record with."""

from __future__ import annotations

import hashlib
import io

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import checksum_of, lfs_headers
from lfsproxy.errors import InvalidChecksum

MD5 = hashlib.md5(b"hello").hexdigest()


class MarkTests(SynchronousTestCase):
    def test_nothing_but_the_mark(self) -> None:
        self.assertEqual(lfs_headers(), [("LFS_BLOB", b"")])

    def test_an_expected_checksum_names_its_algorithm(self) -> None:
        self.assertEqual(
            lfs_headers(MD5.upper(), "md5", "image/png"),
            [("LFS_BLOB_ALG", b"md5"), ("content-type", b"image/png"), ("LFS_BLOB", MD5.encode())],
        )
        sha256 = hashlib.sha256(b"hello").hexdigest()
        self.assertEqual(lfs_headers(sha256), [("LFS_BLOB_ALG", b"sha256"), ("LFS_BLOB", sha256.encode())])

    def test_an_algorithm_without_a_checksum(self) -> None:
        self.assertEqual(lfs_headers(algorithm="crc32"), [("LFS_BLOB_ALG", b"crc32"), ("LFS_BLOB", b"")])

    def test_what_the_proxy_would_refuse_is_refused_here(self) -> None:
        self.assertRaises(InvalidChecksum, lfs_headers, algorithm="sha1")
        self.assertRaises(InvalidChecksum, lfs_headers, MD5)

    def test_the_checksum_of_bytes_and_of_a_file(self) -> None:
        file = io.BytesIO(b"xhello")
        file.read(1)
        self.assertEqual((checksum_of(b"hello", "md5"), checksum_of(file, "md5")), (MD5, MD5))
        self.assertEqual(file.read(), b"hello")
