import hashlib
import io
from types import SimpleNamespace

from lfsproxy.client import BlobMissing, BlobReader, Envelope, LfsError


class Blobs:
    """A source in memory, in place of S3."""

    name, by_record = "memory", False

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> bytes:
        """Keep a blob; the value that Kafka would have."""
        self.blobs[key] = data
        digest = hashlib.sha256(data).hexdigest()
        return Envelope("kafscale", key, "image/png", len(data), "sha256", digest).to_bytes()

    def get(self, request):
        if request.envelope.s3_key not in self.blobs:
            raise BlobMissing(f"the blob {request.envelope.s3_key} is missing")
        data = io.BytesIO(self.blobs[request.envelope.s3_key])
        return SimpleNamespace(status=200, headers={}, read=data.read, close=data.close)


blobs = Blobs()
value = blobs.put("lfs/image", b"an image")
reader = BlobReader("kafscale", source=blobs)
print(reader.fetch(value))
blobs.blobs["lfs/image"] = b"an imagE"
try:
    reader.fetch(value)
except LfsError as error:
    print(error.problem)
