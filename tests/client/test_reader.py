"""BlobReader: ordinary values, missing blobs, the hook, and where its settings come from."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import mock

from botocore.exceptions import ClientError, CredentialRetrievalError, ProfileNotFound
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import Blob, BlobReader, Resolution, Resolved, static_credentials
from lfsproxy.client.sources import S3Source
from lfsproxy.envelope import parse_envelope
from lfsproxy.errors import BlobMissing, EnvelopeNotAllowed, SettingError, StoreRefused, TooLarge
from lfsproxy.s3.signing import S3Location
from tests.client.doubles import FakeStore, envelope_of, reader, stored


def location_of(blobs: BlobReader) -> S3Location:
    assert isinstance(blobs._source, S3Source)
    return blobs._source.location


class ReaderTests(SynchronousTestCase):
    def test_an_ordinary_value_is_a_file_too(self) -> None:
        with reader(FakeStore()).open(b"value") as blob:
            self.assertEqual((blob.read(2), blob.read(), blob.envelope), (b"va", b"lue", None))

    def test_a_null_value_has_nothing_to_read(self) -> None:
        with reader(FakeStore()).open(None) as blob:
            self.assertEqual((blob.stream, blob.missing), (None, False))
            self.assertRaises(ValueError, blob.read)
            self.assertRaises(ValueError, list, blob)

    def test_ordinary_values_ask_the_store_nothing(self) -> None:
        store = FakeStore()
        self.assertEqual(reader(store).resolve(b"value"), Resolved(b"value"))
        self.assertEqual(store.asked, [])

    def test_what_is_not_allowed_is_not_asked_for(self) -> None:
        store, value = stored(b"hello")
        self.assertRaises(TooLarge, reader(store, max_size=4).fetch, value)
        self.assertRaises(EnvelopeNotAllowed, reader(store, prefixes=["other/"]).fetch, value)
        self.assertRaises(EnvelopeNotAllowed, reader(store, buckets=["other"]).fetch, value)
        self.assertRaises(EnvelopeNotAllowed, reader(store, prefixes=[]).fetch, value)
        self.assertEqual(store.asked, [])

    def test_other_places_can_be_allowed(self) -> None:
        store = FakeStore({("mirror", "eu/lfs/k"): b"hello"})
        value = envelope_of(b"hello", s3_bucket="mirror", s3_key="eu/lfs/k").to_bytes()
        self.assertEqual(
            reader(store, buckets=["mirror"], prefixes=["lfs/", "eu/lfs/"]).fetch(value), b"hello"
        )

    def test_one_string_is_not_a_collection_of_prefixes(self) -> None:
        self.assertRaises(TypeError, BlobReader, "kafscale", prefixes="lfs/")

    def test_missing_raises_by_default(self) -> None:
        value = envelope_of(b"hello").to_bytes()
        self.assertRaises(BlobMissing, reader(FakeStore()).fetch, value)
        self.assertRaises(BlobMissing, reader(FakeStore()).open, value)

    def test_missing_can_be_skipped(self) -> None:
        value = envelope_of(b"hello").to_bytes()
        blobs = reader(FakeStore(), on_missing="skip")
        self.assertEqual(blobs.resolve(value), Resolved(None, parse_envelope(value), missing=True))
        self.assertIsNone(blobs.fetch(value))
        self.assertEqual(blobs.open(value), Blob(None, parse_envelope(value), missing=True))

    def test_missing_can_give_the_envelope(self) -> None:
        value = envelope_of(b"hello").to_bytes()
        blobs = reader(FakeStore(), on_missing="envelope")
        self.assertEqual(blobs.resolve(value), Resolved(value, parse_envelope(value), missing=True))
        blob = blobs.open(value)
        self.assertEqual((blob.read(), blob.missing), (value, True))

    def test_a_bucket_that_does_not_exist_is_not_a_missing_blob(self) -> None:
        store, value = FakeStore(not_there="NoSuchBucket"), envelope_of(b"hello").to_bytes()
        self.assertRaises(StoreRefused, reader(store, on_missing="skip").fetch, value)

    def test_the_hook_is_told_bytes_seconds_and_result(self) -> None:
        store, value = stored(b"hello")
        times = iter([10.0, 10.0, 10.5, 12.5])
        told: list[Resolution] = []
        reader(store, on_resolve=told.append, clock=lambda: next(times)).fetch(value)
        self.assertEqual(told, [Resolution(envelope_of(b"hello"), "ok", 5, 2.5, 1)])

    def test_a_hook_that_fails_breaks_no_reading(self) -> None:
        store, value = stored(b"hello")

        def hook(_: Resolution) -> None:
            raise RuntimeError("of the hook")

        with self.assertLogs("lfsproxy.client.reader", "ERROR"):
            self.assertEqual(reader(store, on_resolve=hook).fetch(value), b"hello")

    def test_timeouts_are_the_callers(self) -> None:
        pool = BlobReader("b", connect_timeout=1.5, read_timeout=7)._http
        timeout = pool.connection_pool_kw["timeout"]
        self.assertEqual((timeout.connect_timeout, timeout.read_timeout), (1.5, 7))

    def test_without_credentials(self) -> None:
        store, value = stored(b"hello")
        with mock.patch("lfsproxy.client.reader.Session") as session:
            session.return_value.get_credentials.return_value = None
            error = self.assertRaises(StoreRefused, reader(store, credentials=None).fetch, value)
        self.assertIn("AWS_ACCESS_KEY_ID", str(error))

    def test_credentials_that_cannot_be_had_are_a_refusal_which_the_hook_is_told(self) -> None:
        store, value = stored(b"hello")
        expired = CredentialRetrievalError(provider="web identity", error_msg="expired")
        denied = ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRoleWithWebIdentity")
        for failure in (expired, denied):
            told: list[Resolution] = []
            credentials = mock.Mock()
            credentials.get_frozen_credentials.side_effect = failure
            blobs = reader(store, credentials=credentials, on_resolve=told.append)
            self.assertRaises(StoreRefused, blobs.fetch, value)
            self.assertEqual([one.result for one in told], ["store-refused"])
        with mock.patch("lfsproxy.client.reader.Session") as session:
            session.return_value.get_credentials.side_effect = ProfileNotFound(profile="none")
            self.assertRaises(StoreRefused, reader(store, credentials=None).fetch, value)
        self.assertEqual(store.asked, [])

    def test_a_negative_limit_is_none(self) -> None:
        self.assertRaises(ValueError, BlobReader, "kafscale", max_size=-1)


class EnvironmentTests(SynchronousTestCase):
    def test_reads_the_proxys_variables(self) -> None:
        found = BlobReader.from_environment(
            {
                "LFS_S3_BUCKET": "blobs",
                "LFS_S3_ENDPOINT": "http://localhost:9000/",
                "LFS_S3_REGION": "eu-central-1",
                "LFS_S3_PATH_STYLE": "true",
                "LFS_HTTP_ADDR": "of no concern",
            },
            credentials=static_credentials("key", "secret"),
        )
        location = location_of(found)
        self.assertEqual(location.url("lfs/k"), "http://localhost:9000/blobs/lfs/k")
        self.assertEqual(location.region, "eu-central-1")

    def test_has_the_proxys_defaults(self) -> None:
        location = location_of(BlobReader.from_environment({}))
        self.assertEqual(location.url("lfs/k"), "https://kafscale.s3.us-east-1.amazonaws.com/lfs/k")

    def test_names_a_variable_that_cannot_be_used(self) -> None:
        error = self.assertRaises(SettingError, BlobReader.from_environment, {"LFS_S3_ENDPOINT": "here"})
        self.assertIn("LFS_S3_ENDPOINT is 'here'", str(error))

    def test_loads_no_event_loop(self) -> None:
        code = (
            "import sys, lfsproxy.client; assert 'twisted' not in sys.modules and 'txaio' not in sys.modules;"
            "import lfsproxy.client.aio, lfsproxy.client.confluent, lfsproxy.client.prometheus;"
            "import lfsproxy.client.deserializers, lfsproxy.client.kafka_python;"
            "assert not {'twisted', 'klein', 'treq', 'zope.interface'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
