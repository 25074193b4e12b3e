"""What a producer marks a record with."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from confluent_kafka.serialization import MessageField, SerializationContext, StringSerializer
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import MarkBySize, checksum_of, lfs_headers
from lfsproxy.client.confluent import LfsSerializer, MarkingProducer
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


class MarkBySizeTests(SynchronousTestCase):
    def test_values_of_that_size_and_more(self) -> None:
        mark = MarkBySize(mark_min_size=5)
        self.assertEqual(mark.headers(b"1234"), [])
        for value in (b"12345", bytearray(b"12345"), memoryview(b"123456")):
            self.assertEqual(mark.headers(value), [("LFS_BLOB", b"")])

    def test_a_million_bytes_where_nothing_is_said(self) -> None:
        self.assertEqual(MarkBySize().headers(bytes(999_999)), [])
        self.assertEqual(MarkBySize().headers(bytes(1_000_000)), [("LFS_BLOB", b"")])

    def test_null_values_never(self) -> None:
        self.assertEqual(MarkBySize(mark_min_size=0).headers(None), [])
        self.assertEqual(MarkBySize(mark_min_size=0).headers(b""), [("LFS_BLOB", b"")])

    def test_with_the_checksum_and_its_algorithm(self) -> None:
        for algorithm in ("sha256", "md5", "crc32"):
            mark = MarkBySize(mark_min_size=0, mark_checksum=True, algorithm=algorithm)
            self.assertEqual(
                mark.headers(b"hello"),
                [
                    ("LFS_BLOB_ALG", algorithm.encode()),
                    ("LFS_BLOB", checksum_of(b"hello", algorithm).encode()),
                ],
            )

    def test_other_headers_stay_and_a_mark_is_left_alone(self) -> None:
        mark = MarkBySize(mark_min_size=0)
        given = [("a", b"1")]
        self.assertEqual(mark.headers(b"x", given), [("a", b"1"), ("LFS_BLOB", b"")])
        self.assertEqual(mark.headers(b"x", {"a": "1"}), [("a", b"1"), ("LFS_BLOB", b"")])
        self.assertEqual(given, [("a", b"1")])
        self.assertEqual(mark.headers(b"x", [("LFS_BLOB", b"abc")]), [("LFS_BLOB", b"abc")])

    def test_what_cannot_be_used(self) -> None:
        self.assertRaises(ValueError, MarkBySize, mark_min_size=-1)
        self.assertRaises(InvalidChecksum, MarkBySize, algorithm="sha1")


class SerializerTests(SynchronousTestCase):
    """For confluent-kafka; its producers here never reach a broker."""

    def context(self, headers: Any) -> SerializationContext:
        return SerializationContext("demo", MessageField.VALUE, headers)

    def test_headers_are_added_where_there_are_some(self) -> None:
        serialize = LfsSerializer(StringSerializer(), MarkBySize(mark_min_size=3))
        for given, wanted in (([], [("LFS_BLOB", b"")]), ({}, {"LFS_BLOB": b""})):
            self.assertEqual(serialize("xyz", self.context(given)), b"xyz")
            self.assertEqual(given, wanted)
        self.assertEqual(serialize("xy", self.context(None)), b"xy")
        self.assertIsNone(serialize(None, self.context(None)))

    def test_a_large_value_without_headers_is_refused(self) -> None:
        serialize = LfsSerializer(mark=MarkBySize(mark_min_size=3))
        error = self.assertRaises(ValueError, serialize, b"xyz", self.context(None))
        self.assertIn("headers=[]", str(error))

    def test_the_producer_gives_each_record_headers_of_its_own(self) -> None:
        seen: list[Any] = []

        def serialize(value: str, ctx: SerializationContext) -> bytes:
            seen.append(ctx.headers)
            return value.encode()

        producer = MarkingProducer(
            {"bootstrap.servers": "127.0.0.1:1", "value.serializer": serialize, "log_level": 0},
            MarkBySize(mark_min_size=3),
        )
        given = [("a", b"1")]
        producer.produce("demo", value="xyz", headers=given)
        producer.produce("demo", value="xy", headers=given)
        producer.produce("demo", value="xyz")
        producer.produce("demo", value="xyz", headers={"a": b"1"})
        producer.purge()
        mark = ("LFS_BLOB", b"")
        self.assertEqual(seen, [[("a", b"1"), mark], [("a", b"1")], [mark], {"a": b"1", "LFS_BLOB": b""}])
        self.assertEqual(given, [("a", b"1")])
