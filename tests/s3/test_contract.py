"""The S3 store and the in-memory doubles keep to the contracts of stores, sources and indexes of blobs."""

from __future__ import annotations

import time

from twisted.internet.task import Clock

from lfsproxy.s3.index import S3Index
from lfsproxy.testing import MemoryBlob, MemoryBlobStore
from lfsproxy.testing.downloads import MemoryBlobSource
from lfsproxy.testing.store import MemoryStore
from tests.index_contract import PAGE as PAGE_OF_LIST
from tests.index_contract import IndexContract
from tests.s3.bucket import StoredObject
from tests.s3.helpers import EVERY_OPTION, PART, FakeS3TestCase
from tests.source_contract import SourceContract
from tests.store_contract import StoreContract


class S3StoreContract(StoreContract, FakeS3TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.s3.blobs

    async def read(self, key: str) -> bytes | None:
        stored = self.fake.objects.get(key)
        return None if stored is None else stored.data

    async def describe(self, key: str) -> tuple[str, dict[str, str]]:
        headers = self.fake.objects[key].headers
        prefix = "x-amz-meta-"
        metadata = {name[len(prefix) :]: value for name, value in headers.items() if name.startswith(prefix)}
        return headers["content-type"], metadata

    async def unfinished(self) -> int:
        return len(self.fake.uploads)


class S3StoreContractWithoutChecksums(S3StoreContract):
    def setUp(self) -> None:
        super().setUp()
        self.use_store(checksums=False)
        self.store = self.s3.blobs

    async def test_no_request_names_a_checksum(self) -> None:
        for size in (1, PART + 1):
            await self.put(b"x" * size, f"{size}")
        named = {name for request in self.fake.requests for name in request.headers if "checksum" in name}
        self.assertEqual({"x-amz-meta-lfs-checksum"}, named)


class S3StoreContractWithEveryOption(S3StoreContract):
    """Above all, no ETag is an MD5."""

    def setUp(self) -> None:
        super().setUp()
        self.use_store(objects=EVERY_OPTION)
        self.store = self.s3.blobs


class MemoryBlobStoreContract(StoreContract):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.memory = MemoryBlobStore(part_size=PART)

    async def read(self, key: str) -> bytes | None:
        blob = self.memory.blobs.get(key)
        return None if blob is None else blob.data

    async def describe(self, key: str) -> tuple[str, dict[str, str]]:
        blob = self.memory.blobs[key]
        return blob.content_type, dict(blob.metadata)

    async def unfinished(self) -> int:
        return self.memory.open_uploads


class S3SourceContract(SourceContract, FakeS3TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.source = self.s3.source

    def put(self, key: str, data: bytes) -> None:
        self.fake.objects[key] = StoredObject(data, {}, None)


class MemorySourceContract(SourceContract):
    def setUp(self) -> None:
        super().setUp()
        self.memory = MemoryBlobStore()
        self.source = MemoryBlobSource(self.memory)

    def put(self, key: str, data: bytes) -> None:
        self.memory.blobs[key] = MemoryBlob(data, "", {})


class S3IndexContract(IndexContract, FakeS3TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.s3
        self.index = S3Index(self.s3.client, PAGE_OF_LIST, PAGE_OF_LIST)
        self.fake.seconds = time.time()


class S3IndexContractWithoutEncoding(S3IndexContract):
    """A store that knows no encoding-type can still say every character that XML has."""

    odd_names = tuple(name for name in IndexContract.odd_names if "\x07" not in name)

    def setUp(self) -> None:
        super().setUp()
        self.fake.encodes = False


class MemoryIndexContract(IndexContract):
    def setUp(self) -> None:
        super().setUp()
        self.store = store = MemoryStore(Clock(), part_size=PART, page=PAGE_OF_LIST)
        self.index = store.index


del IndexContract, SourceContract, StoreContract
