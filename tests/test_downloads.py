"""Which envelopes a download follows: today's and KafScale's older one, by the same rule."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.downloads import Downloads, Found
from lfsproxy.envelope import Envelope
from lfsproxy.errors import (
    BlobCorrupt,
    BlobMissing,
    BlobTruncated,
    EnvelopeNotAllowed,
    InvalidEnvelope,
    UnsupportedEnvelope,
)
from lfsproxy.testing import MemoryBlob, MemoryMetrics, MemoryPublisher
from lfsproxy.testing.downloads import MemoryLog
from lfsproxy.testing.store import MemoryStore

BLOB = b"a blob of the older proxy" * 1000
KEY = "default/demo-topic/lfs/2026/01/31/obj-6f1c2a04-9f1e-4c1b-8a53-0d7c5c1f9b7e"
OLDER: dict[str, Any] = {
    "kfs_lfs": 1,
    "bucket": "kafscale",
    "key": KEY,
    "size": len(BLOB),
    "sha256": hashlib.sha256(BLOB).hexdigest(),
    "checksum": f"{zlib.crc32(BLOB):08x}",
    "checksum_alg": "crc32",
    "content_type": "video/mp4",
    "proxy_id": "p",
}


class OlderEnvelopeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.publisher = MemoryPublisher({"demo-topic": 1})
        self.store = MemoryStore(self.clock)
        self.store.blobs.blobs[KEY] = MemoryBlob(BLOB, "video/mp4", {})
        self.metrics = MemoryMetrics()
        self.downloads = self.allow("default/demo-topic/lfs/")

    def allow(self, *prefixes: str) -> Downloads:
        """Downloads that may follow these prefixes besides the topic's own."""
        budget = MemoryBudget(self.clock, 2**24, 2**20, 30.0)
        log = MemoryLog(self.publisher)
        return Downloads(log, self.store.source, budget, self.metrics, self.clock, "default", prefixes)

    def find(self, **changes: Any) -> Found:
        return self.successResultOf(Deferred.fromCoroutine(self.try_find(**changes)))

    async def try_find(self, **changes: Any) -> Found:
        """The record with such an envelope; a change to None takes the field out."""
        fields = {name: value for name, value in {**OLDER, **changes}.items() if value is not None}
        value = json.dumps(fields).encode()
        published = await self.publisher.publish("demo-topic", 0, None, value, [], None)
        return await self.downloads.find("demo-topic", 0, published.offset)

    async def read(self, found: Found) -> bytes:
        download = await self.downloads.open(found, 0, found.size or 0, lambda: None)
        try:
            pieces = []
            while piece := await download.read():
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            download.close()

    def test_its_fields_are_those_of_todays_envelope(self) -> None:
        found = self.find()
        self.assertEqual(
            found.envelope,
            Envelope("kafscale", KEY, "video/mp4", len(BLOB), "crc32", OLDER["checksum"]),
        )
        self.assertEqual((found.size, found.checksum, found.value), (len(BLOB), OLDER["checksum"], None))

    def test_its_blob_is_given_out_and_verified(self) -> None:
        for changes in ({}, {"checksum": None}, {"checksum_alg": "none"}, {"checksum_alg": None}):
            found = self.find(**changes)
            self.downloads.check(found)
            self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.read(found))), BLOB)

    def test_other_bytes_are_not_given_out_as_whole(self) -> None:
        self.store.blobs.blobs[KEY] = MemoryBlob(BLOB[::-1], "", {})
        self.failureResultOf(Deferred.fromCoroutine(self.read(self.find())), BlobCorrupt)

    def test_its_key_is_followed_only_where_a_prefix_allows_it(self) -> None:
        found = self.find()
        for prefixes in ((), ("default/other/",), ("lfs/",)):
            self.downloads = self.allow(*prefixes)
            error = self.assertRaises(EnvelopeNotAllowed, self.downloads.check, found)
            self.assertIn(KEY, str(error))

    def test_another_bucket_and_a_key_with_dots_are_not_followed(self) -> None:
        for changes in ({"bucket": "theirs"}, {"key": "default/demo-topic/lfs/../../secret"}):
            self.assertRaises(EnvelopeNotAllowed, self.downloads.check, self.find(**changes))

    def test_a_blob_that_is_gone_or_has_another_size_is_told_before_its_first_byte(self) -> None:
        found = self.find(size=len(BLOB) + 1)
        self.failureResultOf(Deferred.fromCoroutine(self.downloads.check_blob(found)), BlobTruncated)
        self.failureResultOf(Deferred.fromCoroutine(self.read(found)), BlobTruncated)
        found = self.find(key=KEY + "x")
        self.failureResultOf(Deferred.fromCoroutine(self.downloads.check_blob(found)), BlobMissing)

    def test_one_that_cannot_be_read_is_an_error_and_no_ordinary_value(self) -> None:
        for changes, wanted in (
            ({"kfs_lfs": 2}, UnsupportedEnvelope),
            ({"size": "5"}, InvalidEnvelope),
            ({"sha256": None, "checksum": None}, InvalidEnvelope),
            ({"checksum": "xyz"}, InvalidEnvelope),
        ):
            self.failureResultOf(Deferred.fromCoroutine(self.try_find(**changes)), wanted)

    def test_what_only_looks_like_one_is_an_ordinary_value(self) -> None:
        for changes in ({"kfs_lfs": "1"}, {"bucket": None}, {"key": None}):
            self.assertIsNone(self.find(**changes).envelope)
