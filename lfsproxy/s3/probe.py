"""What ``lfsproxy check`` tries of the bucket: IStoreProbe over the proxy's own client.

Operations are those of the Amazon S3 API reference, by their names there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from crc32c import crc32c
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.web.client import URI
from zope.interface import implementer

from lfsproxy.envelope import DEFAULT_CONTENT_TYPE, object_key
from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.net import reach
from lfsproxy.net.http import HttpEndpoints
from lfsproxy.probing import Certificate, IStoreProbe
from lfsproxy.resumable.errors import NO_CONDITIONAL_PUT, NotConditional
from lfsproxy.s3 import explain
from lfsproxy.s3.client import NOT_WHOLE
from lfsproxy.s3.crc import CHECKSUM, encode_crc
from lfsproxy.s3.credentials import ChainCredentials
from lfsproxy.s3.index import list_objects, list_uploads
from lfsproxy.s3.multipart import Begun, crcs_of
from lfsproxy.s3.store import S3Store

CONNECT_SECONDS: Final = 5.0
BODY: Final = b"written by lfsproxy check; it can be deleted"
OTHER_BODY: Final = b"written over it by lfsproxy check; it can be deleted"
TOPIC: Final = "lfsproxy-check"
"""Which topic the keys seem to be of, so that gc finds what may be left of them."""
_ANY: Final = range(300, 600)
_PROVIDERS: Final = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the shared credentials file (~/.aws/credentials)",
    "config-file": "the configuration file (~/.aws/config)",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity",
    "container-role": "the container's role",
    "iam-role": "the instance's role",
}


@implementer(IStoreProbe)
class StoreProbe:
    """Uses a store and its ``credentials``, and closes it. Its two keys are nobody else's."""

    def __init__(self, store: S3Store, credentials: ChainCredentials, namespace: str) -> None:
        self.key, self._parts_key = (object_key(namespace, TOPIC, 0, 0, uuid4()) for _ in range(2))
        self.uses_tls = store.location.url().startswith("https:")
        self.checksums = store.checksums
        self.named = store.location.named
        self._store = store
        self._client = store.client
        self._credentials = credentials
        self._left: set[str] = set()
        self._unfinished = False

    # Reaching it

    async def resolve(self) -> Sequence[str]:
        host = urlsplit(self._client.location.url()).hostname or ""
        try:
            # As connections are made (HttpEndpoints).
            return await reach.resolve(
                self._store.reactor, "localhost" if host.endswith(".localhost") else host
            )
        except DNSLookupError as error:
            raise self._unreached(error) from None

    async def connect(self) -> None:
        try:
            await reach.connect(self._endpoint("http"))
        except (ConnectError, OSError, ValueError) as error:
            raise self._unreached(error) from None

    async def handshake(self) -> Certificate:
        try:
            return await reach.handshake(self._endpoint("https"))
        except StoreUnavailable:
            raise
        except Exception as error:
            # Whatever ended the connection: OpenSSL's errors, an UntrustedServer, a close.
            raise self._unreached(error) from None

    def _endpoint(self, scheme: str) -> Any:
        url = urlsplit(self._client.location.url())
        port = url.port or (443 if url.scheme == "https" else 80)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        endpoints = HttpEndpoints(self._store.reactor, self._store.tls, CONNECT_SECONDS)
        return endpoints.endpointForURI(URI.fromBytes(f"{scheme}://{host}:{port}/".encode()))

    def _unreached(self, error: Exception) -> StoreUnavailable:
        said = explain.no_answer(self._client.location, [error], known=False)
        return StoreUnavailable(str(said), way_out=said.way_out)

    # Who asks, and of what

    async def credentials(self) -> str:
        await self._credentials.current()
        return _PROVIDERS.get(self._credentials.method, self._credentials.method)

    async def clock(self) -> float | None:
        answer = await self._client.request(
            "list_objects", "GET", query={"list-type": "2", "max-keys": "1"}, accept=_ANY
        )
        if answer.code == "RequestTimeTooSkewed":
            raise self._refused(explain.refused(self._client.location, answer))
        try:
            return time.time() - parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except ValueError:
            return None

    async def bucket(self) -> None:
        await self._store.blobs.check()

    # What it can do

    async def put(self) -> None:
        self._left.add(self.key)
        headers = self._as_blob(self.key)
        if not self.checksums:
            await self._client.put_object(self.key, headers, [BODY], None)
            return
        try:
            await self._client.put_object(self.key, headers, [BODY], crc32c(BODY))
        except StoreRefused as error:
            refused = error
        else:
            return
        try:
            again = await self._client.put_object(self.key, headers, [BODY], None)
        except (StoreRefused, StoreUnavailable):
            raise refused from None
        if again.is_error:
            # The object is there: it was taken with its CRC-32C, and refused for something else.
            raise refused
        raise StoreRefused(
            f"{refused.wrong}; without a CRC-32C the same object is taken", way_out="set LFS_S3_CHECKSUM=none"
        )

    async def head(self) -> str:
        found = await self._client.head_object(self.key)
        if found is None:
            raise self._strange("does not have what it has just stored")
        length = found.headers.get("content-length")
        if length != str(len(BODY)):
            raise self._strange(f"says that {len(BODY)} bytes have the length {length}")
        if self.checksums and found.headers.get(CHECKSUM) != encode_crc(crc32c(BODY)):
            return "the store takes a CRC-32C with an object, but does not keep it: a copy cannot be compared"
        return ""

    async def ranged_get(self) -> None:
        found = await self._store.resumable.read_object(self.key, 8, 16)
        if found != BODY[8:24]:
            raise self._strange("does not answer a GET of some bytes (Range) with these bytes")

    async def conditional(self) -> str:
        lacking = NO_CONDITIONAL_PUT.format(bucket=self._client.location.bucket)
        try:
            was_written = await self._store.resumable.create_object(self.key, [OTHER_BODY])
        except NotConditional:
            return lacking
        return lacking if was_written else ""

    async def multipart(self) -> str:
        key = self._parts_key
        begun = await self._begin()
        crc = crc32c(BODY) if self.checksums else None
        part = await self._client.upload_part(key, begun.upload_id, 1, [BODY], crc)
        whole = crcs_of([part])[0] if begun.whole else None
        answer = await self._client.complete_multipart_upload(key, begun.upload_id, [part], whole)
        if answer.is_error:
            raise self._refused(explain.refused(self._client.location, answer))
        self._unfinished = False
        if await self._store.resumable.read_object(key) != BODY:
            raise self._strange("does not give back the parts that it has just put together")
        return "" if begun.whole or not self.checksums else NOT_WHOLE

    async def _begin(self) -> Begun:
        self._left.add(self._parts_key)
        self._unfinished = True
        return await self._client.create_multipart_upload(self._parts_key, self._as_blob(self._parts_key))

    def _as_blob(self, key: str) -> dict[str, str]:
        """What every blob is made with: a store that refuses one of it refuses every upload."""
        return self._store.objects.blob(key, DEFAULT_CONTENT_TYPE, {})

    async def abort(self) -> None:
        key = self._parts_key
        begun = await self._begin()
        pages = [page async for page in list_uploads(self._client, key)]
        listed = any(one.upload_id == begun.upload_id for page in pages for one in page)
        if not await self._client.abort_multipart_upload(key, begun.upload_id):
            raise self._strange("does not know the upload that was just begun")
        self._unfinished = False
        if not listed:
            raise self._strange("does not list an upload that was just begun (ListMultipartUploads)")

    async def list_objects(self) -> None:
        pages = [page async for page in list_objects(self._client, self.key)]
        if not any(one.key == self.key for page in pages for one in page):
            raise self._strange("does not list an object that was just stored (ListObjectsV2)")

    async def delete(self) -> None:
        for key in (self.key, self._parts_key):
            await self._client.delete_object(key)
        if await self._client.head_object(self.key) is not None:
            raise self._strange("still has an object that was just deleted")
        self._left = {self._parts_key} if self._unfinished else set()

    async def remove(self) -> None:
        for key in self._left:
            await self._store.resumable.remove_parts(key, blob=True)

    async def close(self) -> None:
        await self._store.close()

    def _refused(self, said: explain.Explained) -> StoreRefused:
        return StoreRefused(str(said), way_out=said.way_out)

    def _strange(self, what: str) -> StoreRefused:
        return StoreRefused(f"{self._client.location.named} {what}")
