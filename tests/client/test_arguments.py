"""What a reader and an uploader are made with: refused at once where it cannot be used, by its name."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any, get_type_hints

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import BlobReader, ProxySource, Uploader, tx
from lfsproxy.client.options import EnvironmentOptions, ReaderOptions
from lfsproxy.client.places import from_variables
from lfsproxy.client.sources import S3Source
from lfsproxy.errors import SettingError
from lfsproxy.settings import setting_table, variable

WRONG_ENDPOINTS = (
    "localhost:9000",
    "ftp://localhost",
    "http://",
    "http://localhost:9000/blobs",
    "http://localhost:9000?x=1",
    "http://localhost:9000#x",
    "http://key:secret@localhost:9000",
    "http://localhost:0",
    "http://localhost:99999",
    "http://local host:9000",
    "http://256.1.1.1:9000",
)
RIGHT_ENDPOINTS = ("http://localhost:9000", "https://[::1]:9000/", "https://s3.eu-west-1.amazonaws.com")


class ArgumentTests(SynchronousTestCase):
    def refused(self, name: str, make: Any, *given: Any, **arguments: Any) -> None:
        error = self.assertRaises(ValueError, make, *given, **arguments)
        self.assertIn(f"{name} is ", str(error))

    def test_an_endpoint_that_is_none(self) -> None:
        for text in WRONG_ENDPOINTS:
            self.refused("endpoint", BlobReader, "kafscale", endpoint=text)
        for text in RIGHT_ENDPOINTS:
            BlobReader("kafscale", endpoint=text).close()

    def test_the_sentence_says_what_is_needed(self) -> None:
        error = self.assertRaises(ValueError, BlobReader, "kafscale", endpoint="localhost:9000")
        self.assertEqual(
            str(error),
            "endpoint is 'localhost:9000': what is needed is an http or https URL without a path, query or "
            "user name, such as http://localhost:9000",
        )

    def test_times_that_are_none(self) -> None:
        for name in ("connect_timeout", "read_timeout", "pause", "retry_time"):
            for value in (-1, math.nan, math.inf, "5"):
                self.refused(name, BlobReader, "kafscale", **{name: value})
        for name in ("connect_timeout", "read_timeout"):
            self.refused(name, BlobReader, "kafscale", **{name: 0})
        for name in ("connect_timeout", "silent_timeout"):
            for value in (-1, 0, math.nan):
                self.refused(name, Uploader, "http://localhost", **{name: value})

    def test_authorities_that_are_none(self) -> None:
        empty = self.mktemp()
        Path(empty).touch()
        for path in ("/nowhere/authority.pem", empty):
            for make in (BlobReader, tx.BlobReader):
                self.refused("ca_bundle", make, "kafscale", ca_bundle=path)
            for upload in (Uploader, tx.Uploader):
                self.refused("ca_bundle", upload, "https://localhost", ca_bundle=path)

    def test_tries_that_are_none(self) -> None:
        for value in (0, -1, 1.5, math.nan):
            self.refused("tries", BlobReader, "kafscale", tries=value)

    def test_a_size_that_is_none(self) -> None:
        for value in (-1, math.nan):
            self.refused("max_size", BlobReader, "kafscale", max_size=value)

    def test_a_bucket_is_needed(self) -> None:
        for bucket in ("", None):
            self.refused("bucket", BlobReader, bucket)

    def test_the_proxys_url(self) -> None:
        for text in ("localhost:8080", "ftp://localhost", "http://key@localhost", "http://localhost?x=1"):
            self.refused("url", Uploader, text)
            self.refused("url", ProxySource, text)
        self.assertEqual(ProxySource("http://localhost:8080/lfs/").url, "http://localhost:8080/lfs")

    def test_a_text_is_no_body(self) -> None:
        with Uploader("http://localhost:1") as proxy:
            self.assertRaises(TypeError, proxy.upload, "demo", "text")

    def test_an_event_loops_reader_has_threads(self) -> None:
        self.refused("threads", tx.BlobReader, "kafscale", threads=0)

    def test_a_misspelt_one_is_named(self) -> None:
        for make in (BlobReader, tx.BlobReader, BlobReader.from_environment, tx.BlobReader.from_environment):
            given: Any = make
            error = self.assertRaises(TypeError, given, bukket="kafscale")
            self.assertIn("bukket", str(error))


class OptionTests(SynchronousTestCase):
    """The options are written down twice, as arguments and as a type: they are the same."""

    def test_the_type_has_the_constructors_arguments(self) -> None:
        found = inspect.signature(BlobReader.__init__, eval_str=True).parameters
        keywords = {name: each.annotation for name, each in found.items() if each.kind is each.KEYWORD_ONLY}
        self.assertEqual(get_type_hints(ReaderOptions), keywords)
        self.assertEqual(
            get_type_hints(EnvironmentOptions), {**keywords, "bucket": found["bucket"].annotation}
        )

    def test_a_readers_own_class_comes_out(self) -> None:
        class Own(tx.BlobReader):
            pass

        self.assertIs(type(Own.from_environment({})), Own)


class EnvironmentTests(SynchronousTestCase):
    def region(self, **environment: str) -> str:
        source = BlobReader.from_environment(environment)._source
        assert isinstance(source, S3Source)
        return source.location.region

    def test_the_region_is_ours_or_that_of_aws(self) -> None:
        both = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}
        self.assertEqual(self.region(LFS_S3_REGION="eu-central-1", **both), "eu-central-1")
        self.assertEqual(self.region(LFS_S3_REGION="", **both), "eu-west-1")
        self.assertEqual(self.region(AWS_REGION="", AWS_DEFAULT_REGION="eu-west-2"), "eu-west-2")
        self.assertEqual(self.region(), "us-east-1")

    def test_a_region_that_is_none_is_named_by_its_variable(self) -> None:
        error = self.assertRaises(SettingError, self.region, AWS_REGION="eu west")
        self.assertIn("AWS_REGION is 'eu west'", str(error))

    def test_variables_mean_what_they_mean_to_the_proxy(self) -> None:
        """The reader reads them without the proxy's table, which it does not bring along."""
        tried = {
            "bucket": ("", "blobs", "a/b", "x"),
            "endpoint": ("", *WRONG_ENDPOINTS, *RIGHT_ENDPOINTS),
            "region": ("", "auto", "eu west", "-x"),
            "path_style": ("", "true", " Yes ", "0", "off", "maybe"),
        }
        for name, texts in tried.items():
            info = setting_table()[f"s3_{name}"]
            for text in texts:
                ours = outcome(lambda: from_variables({variable(f"s3_{name}"): text})[name])  # noqa: B023
                theirs = outcome(lambda: info.parse(text or info.default))  # noqa: B023
                self.assertEqual(ours or "", theirs or "", f"{name}: {text!r}")


def outcome(call: Any) -> Any:
    """What it gives, or that it refuses."""
    try:
        return call()
    except (ValueError, SettingError):
        return "refused"
