"""``produce`` and ``consume``: headers, which records are read and for how long, and how they are shown."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import attrs
import click
from click.testing import CliRunner
from kafka import errors
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli.access import kafka_options
from lfsproxy.cli.consume import described
from lfsproxy.cli.download import download
from lfsproxy.cli.kafka_words import describe
from lfsproxy.cli.produce import _headers
from lfsproxy.cli.records import follow, partitions_of
from lfsproxy.envelope import Envelope

HELLO_CRC = "3610a686"


class HeaderTests(SynchronousTestCase):
    def headers(self, plain: bool = False, **options: Any) -> list[tuple[str, bytes]]:
        given = {"headers": (), "checksum": None, "checksum_algo": None, "content_type": None, **options}
        return _headers(io.BytesIO(b"hello"), plain, given)

    def test_a_record_is_offloaded(self) -> None:
        self.assertEqual(self.headers(headers=(("a", b"b"),)), [("a", b"b"), ("LFS_BLOB", b"")])

    def test_a_plain_record_has_its_own_headers_only(self) -> None:
        self.assertEqual(self.headers(plain=True, headers=(("a", b"b"),)), [("a", b"b")])
        self.assertRaises(click.UsageError, self.headers, plain=True, checksum="auto")

    def test_a_checksum_goes_with_its_algorithm(self) -> None:
        self.assertEqual(
            self.headers(checksum="auto", checksum_algo="crc32"),
            [("LFS_BLOB_ALG", b"crc32"), ("LFS_BLOB", HELLO_CRC.encode())],
        )
        self.assertEqual(self.headers(checksum="auto")[0], ("LFS_BLOB_ALG", b"sha256"))

    def test_an_algorithm_alone_and_a_content_type(self) -> None:
        self.assertEqual(
            self.headers(checksum_algo="md5", content_type="image/png"),
            [("LFS_BLOB_ALG", b"md5"), ("content-type", b"image/png"), ("LFS_BLOB", b"")],
        )


class AddressTests(SynchronousTestCase):
    def addresses(self, *arguments: str, **variables: str) -> str:
        @click.command()
        @kafka_options
        def command(**options: Any) -> None:
            click.echo(options["bootstrap"])

        result = CliRunner().invoke(command, arguments, env={"LFS_PROXY_BOOTSTRAP": "", **variables})
        self.assertEqual(result.exit_code, 0, result.output)
        return result.output.strip()

    def test_the_option_wins_over_the_variable_over_the_default(self) -> None:
        self.assertEqual(self.addresses(), "localhost:19092")
        self.assertEqual(self.addresses(LFS_PROXY_BOOTSTRAP="a:1,b:2"), "a:1,b:2")
        self.assertEqual(self.addresses("--bootstrap", "c:3", LFS_PROXY_BOOTSTRAP="a:1"), "c:3")


class DownloadTests(SynchronousTestCase):
    def test_standard_input_that_is_no_envelope_may_be_the_blob(self) -> None:
        result = CliRunner().invoke(download, ["-"], input=b"\xffthe blob")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("standard input is no envelope", result.output)
        self.assertIn("LFS_HYDRATE_TOPICS", result.output)


@attrs.define
class FakeConsumer:
    """Gives batches of records; each poll takes one."""

    batches: list[list[int]]
    asked: list[int | None] = attrs.field(factory=list)

    def poll(self, timeout_ms: int, max_records: int | None = None) -> dict[str, list[int]]:
        self.asked.append(max_records)
        return {"p": self.batches.pop(0)[:max_records]} if self.batches else {}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {1, 0} if topic == "demo" else None


class FollowTests(SynchronousTestCase):
    def ticking(self) -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += 0.5

    def follow(self, batches: list[list[int]], most: int | None, idle: float | None) -> list[int]:
        times = self.ticking()
        return list(follow(FakeConsumer(batches), most, idle, lambda: next(times)))

    def test_ends_after_as_many_as_asked_for(self) -> None:
        self.assertEqual(self.follow([[1, 2], [], [3, 4, 5]], 4, None), [1, 2, 3, 4])

    def test_ends_when_none_comes_for_long(self) -> None:
        self.assertEqual(self.follow([[1], [], [2], [], [], [], [], [9]], None, 2.0), [1, 2])

    def test_the_partitions_of_a_topic(self) -> None:
        found = partitions_of(FakeConsumer([]), "demo")
        self.assertEqual([place.partition for place in found], [0, 1])
        self.assertRaises(click.ClickException, partitions_of, FakeConsumer([]), "none")


@attrs.frozen
class Record:
    """The fields of a consumer's record that are shown."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "demo"
    partition: int = 0
    offset: int = 1
    timestamp: int = 2


class DescribedTests(SynchronousTestCase):
    def test_text_is_text_and_other_bytes_are_base64(self) -> None:
        shown = described(Record(b"\xff", "ü".encode(), (("a", b"b"), ("c", b"\xfe"))))
        self.assertEqual(shown["value_base64"], "/w==")
        self.assertEqual(shown["key"], "ü")
        self.assertEqual(
            shown["headers"], [{"name": "a", "value": "b"}, {"name": "c", "value_base64": "/g=="}]
        )

    def test_an_envelope_is_shown_as_such(self) -> None:
        envelope = Envelope("b", "lfs/k", "text/plain", 5, "crc32", HELLO_CRC)
        shown = described(Record(envelope.to_bytes()))
        self.assertEqual(shown["envelope"], json.loads(envelope.to_bytes()))
        self.assertNotIn("value", shown)

    def test_a_null_value(self) -> None:
        self.assertIsNone(described(Record(None))["value"])


class WordsTests(SynchronousTestCase):
    def test_a_record_that_a_consumer_does_not_get_has_its_reasons(self) -> None:
        said = describe(errors.CorruptRecordError("Unexpected error while fetching data"))
        self.assertRegex(said, r"^CORRUPT_MESSAGE \(2\): a record .*LFS_HYDRATE_TOPICS.* log says")
        other = describe(errors.TopicAuthorizationFailedError("demo"))
        self.assertEqual(other, "TOPIC_AUTHORIZATION_FAILED (29): demo")
