"""The HTTP door with resumable uploads, over doubles of their store and of Kafka; and how it is asked."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.resumable.fence import FENCE_SECONDS, is_fence
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.testing.resumable import MemoryResumableStore
from tests.web.doubles import Answer, Door, request

PART = 1000
EXPIRY = 3600.0
OFFSET = "Content-Type: application/offset+octet-stream"
TUS = "Tus-Resumable: 1.0.0"


def encode(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def metadata(**fields: str) -> str:
    return "Upload-Metadata: " + ",".join(f"{name} {encode(value)}" for name, value in fields.items())


class TusDoor(Door):
    """A door with resumable uploads; ``replica`` is another one with the same store and cluster."""

    def __init__(self, of: TusDoor | None = None, part: int = PART, **settings: Any) -> None:
        super().__init__(**settings)
        self.uploads_store = MemoryResumableStore(self.clock, part_size=part)
        if of is not None:
            self.clock, self.publisher, self.uploads_store = of.clock, of.publisher, of.uploads_store
        self.claims = attrs.evolve(self.claims, clock=self.clock)
        self.uploads = ResumableUploads(self.uploads_store, self.claims, self.publisher, self.budget, EXPIRY)
        self.site = self.open(self.uploads)

    def replica(self) -> TusDoor:
        return TusDoor(of=self)

    @property
    def blobs(self) -> list[bytes]:
        return [blob.data for blob in self.uploads_store.blobs.values()]

    def create(self, *headers: str, body: bytes | None = None) -> Answer:
        wire = request("POST", "/v1/topics/t/uploads", b"" if body is None else body, [TUS, *headers])
        return self.ask(wire)

    def new(self, length: int, *headers: str) -> str:
        """The path of a new upload."""
        answer = self.create(f"Upload-Length: {length}", *headers)
        assert answer.status == 201, answer
        return answer.headers["location"]

    def patch(self, path: str, offset: int, data: bytes, *headers: str) -> Answer:
        return self.ask(patch(path, offset, data, *headers))

    def head(self, path: str) -> Answer:
        return self.ask(request("HEAD", path, None, [TUS]))

    def delete(self, path: str) -> Answer:
        return self.ask(request("DELETE", path, None, [TUS]))

    def offset(self, path: str) -> int:
        return int(self.head(path).headers["upload-offset"])


def patch(path: str, offset: int, data: bytes, *headers: str) -> bytes:
    return request("PATCH", path, data, [TUS, OFFSET, f"Upload-Offset: {offset}", *headers])


def cut(path: str, offset: int, data: bytes, announced: int) -> bytes:
    """A PATCH that announces more than it brings."""
    head = request(
        "PATCH", path, None, [TUS, OFFSET, f"Upload-Offset: {offset}", f"Content-Length: {announced}"]
    )
    return head + data


DATA = bytes(range(256)) * 20


class TusTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = TusDoor()

    def assertPublished(self, data: bytes, answer: Answer) -> dict[str, Any]:
        """One record, with the envelope of exactly these bytes; its fields."""
        (record,) = self.door.publisher.records
        envelope: dict[str, Any] = json.loads(record.value or b"")
        self.assertEqual(
            answer.headers["lfs-record"],
            f"/v1/topics/t/partitions/{record.partition}/records/{record.offset}",
        )
        self.assertEqual(self.door.uploads_store.blobs[envelope["s3_key"]].data, data)
        self.assertEqual(envelope["content_length"], len(data))
        algorithm = envelope["checksum_algo"]
        self.assertEqual(envelope["checksum"], hashlib.new(algorithm, data).hexdigest())
        self.assertEqual(self.door.uploads_store.uploads, {})
        self.assertEqual(self.door.budget.used, 0)
        return envelope

    def assertNothingLeft(self) -> None:
        """The fence stays for requests that are late; then it goes as well."""
        store = self.door.uploads_store
        self.assertEqual({key for key in store.objects if not is_fence(key.rpartition("/")[2])}, set())
        self.assertEqual((store.uploads, store.blobs), ({}, {}))
        self.door.clock.advance(FENCE_SECONDS)
        self.successResultOf(Deferred.fromCoroutine(self.door.uploads.sweep()))
        self.assertEqual(store.objects, {})
