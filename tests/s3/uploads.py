"""One upload in front of the fake S3, for tests of what becomes of it."""

from __future__ import annotations

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.interfaces import IPartMemory, StoredBlob
from lfsproxy.s3.upload import S3Upload
from tests.s3.helpers import FakeS3TestCase
from tests.store_contract import write_all


class NoMemory(HeldMemory):
    """A budget that is used up."""

    def try_take(self, size: int) -> bool:
        return False


class UploadTestCase(FakeS3TestCase):
    def begin(self, key: str = "k", length: int | None = None, memory: IPartMemory | None = None) -> S3Upload:
        return self.s3.blobs.begin(key, "a/b", {}, new_checksum("sha256"), length, memory or HeldMemory())

    async def put(self, size: int, length: int | None = None) -> StoredBlob:
        upload = self.begin(length=length)
        try:
            await write_all(upload, b"x" * size)
            await upload.seal()
            return await upload.commit({})
        except BaseException:
            await upload.abort()
            raise

    def assert_nothing_left(self) -> None:
        self.assertEqual({}, self.fake.objects)
        self.assertEqual({}, self.fake.uploads)
        self.assertEqual([], self.metrics.of("orphan"))

    def assert_stored(self, size: int) -> None:
        self.assertEqual(size, len(self.fake.objects["k"].data))
        self.assertEqual({}, self.fake.uploads)
        self.assertEqual([], self.metrics.of("orphan"))
