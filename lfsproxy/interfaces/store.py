"""What may be asked of the store: blobs that are written and read, small objects of state, and lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from lfsproxy.checksums import Buffer, Checksum


class IPartMemory(Interface):
    """Memory of the process-wide budget for the parts of one upload (see lfsproxy.budget)."""

    def try_take(size: int) -> bool:
        """Take ``size`` more bytes if they are free at once and nobody waits for a first lease."""

    def give_back(size: int) -> None:
        """Return bytes that ``try_take`` gave."""


@attrs.frozen
class StoredBlob:
    """A blob that is whole in the store."""

    bucket: str
    key: str
    length: int


class IBlobUpload(Interface):
    """One blob on its way into the store. Call write until done, then seal, then commit; or abort."""

    def write(data: Buffer) -> Deferred[None] | None:
        """Take all of ``data``, of any size (kept by reference until sent: the caller must not change it).

        Returns None when more may come at once, else a Deferred that fires (with None) when it may.
        A failure of the upload is raised here, or fails that Deferred: StoreUnavailable, StoreRefused,
        TooLarge (more parts than S3 allows).
        """

    async def seal() -> None:
        """No more bytes come: wait until every byte has gone through the checksum and every part but
        the last request is stored. Nothing is visible under the key yet."""

    async def commit(metadata: Mapping[str, str]) -> StoredBlob:
        """Make the blob visible under its key, never over an existing object (If-None-Match: *).

        ``metadata`` (S3 user metadata, names without the x-amz-meta- prefix) is added to what begin was
        given where the blob is sent in one PUT; a multipart upload was created without it.
        """

    async def abort() -> None:
        """Leave nothing behind: stop what is in flight, abort the multipart upload, delete the key after
        a doubtful commit. Never raises; what could not be removed is logged and counted as an orphan."""


class IBlobStore(Interface):
    """The bucket that blobs live in."""

    bucket: str = Attribute("the bucket's name")
    part_size: int = Attribute("bytes of a part of an upload whose length is not known")

    def first_part(length: int | None) -> int:
        """Bytes of memory that an upload of ``length`` bytes (None: not known) needs for its first part.

        Raises TooLarge, naming the setting, when ``length`` needs more parts than S3 allows.
        """

    def begin(
        key: str,
        content_type: str,
        metadata: Mapping[str, str],
        checksum: Checksum,
        length: int | None,
        memory: IPartMemory,
    ) -> IBlobUpload:
        """Start an upload. Sends nothing yet.

        ``checksum`` is updated with every byte in order, off the reactor thread, and is complete when
        ``seal`` is done. ``length`` is the exact number of bytes to come where it is known. ``memory``:
        the first part's memory is the caller's already; more, for parallel parts, is taken from here.
        Raises TooLarge, naming the setting, when ``length`` needs more parts than S3 allows.
        """

    async def read_back(key: str, length: int, checksums: Sequence[Checksum]) -> None:
        """Update ``checksums``, off the reactor thread, with every byte of a blob that was committed.

        Holds no more than a few pieces of it. Raises StoreUnavailable, also where the blob cannot be found
        or has not ``length`` bytes, or StoreRefused.
        """

    async def delete(key: str) -> None:
        """Delete an object. Raises StoreUnavailable or StoreRefused."""

    async def check() -> None:
        """Ask the store for a sign of life with our credentials and bucket. Raises like ``delete``."""


@attrs.frozen
class ListedObject:
    """An object of the bucket. ``size`` is in bytes, ``age`` in seconds by the store's own clock."""

    key: str
    size: int
    age: float


@attrs.frozen
class ListedUpload:
    """A multipart upload that was begun and neither completed nor aborted. ``age`` is in seconds by the
    store's own clock, since it was begun: parts may have come later."""

    key: str
    upload_id: str
    age: float


@attrs.frozen
class StoredPart:
    """A part that the store has: number from 1, and what the store needs to be told of it again."""

    number: int
    etag: str
    crc: int | None


class IResumableStore(Interface):
    """What uploads that outlive a process need of the bucket. Calls raise StoreUnavailable, StoreRefused.

    Lists and reads see every write that was answered before they were asked, as S3's do.
    """

    bucket: str = Attribute("the bucket's name")
    concurrency: int = Attribute("parts of one upload that are sent at once, at most")
    most_parts: int = Attribute("parts that one upload can have, at most")

    def part_size(length: int | None) -> int:
        """Bytes of each part but the last of an upload of ``length`` bytes (None: not known).

        Raises TooLarge, naming the setting, when ``length`` needs more parts than S3 allows.
        """

    async def create_object(key: str, buffers: Sequence[Buffer]) -> bool:
        """Write a small object that is not there yet; False when there is one with other bytes.

        True when it has these bytes, whoever wrote them: so of several that create one key with bytes of
        their own, exactly one is told True, also when its first try was answered late or never. Raises
        resumable.errors.NotConditional where the store does not know If-None-Match.
        """

    async def read_object(key: str, start: int = 0, size: int | None = None) -> bytes | None:
        """Up to ``size`` bytes of an object (all), None where it is not there."""

    async def list_objects(prefix: str) -> Sequence[ListedObject]:
        """Every object below ``prefix``, in the order of their keys."""

    def list_pages(prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        """The same, some at a time, for where there may be very many."""

    async def delete_object(key: str) -> None:
        """Delete an object; one that is not there is no error."""

    async def digest(checksums: Sequence[Checksum], data: Buffer) -> None:
        """Bring checksums forward, off the reactor thread where it takes long."""

    async def put_blob(
        key: str, content_type: str, metadata: Mapping[str, str], buffers: Sequence[Buffer]
    ) -> None:
        """Store a blob in one request. One with the same bytes that is there already is no error; raises
        resumable.errors.OtherBytes where it has others."""

    async def begin_parts(key: str, content_type: str, metadata: Mapping[str, str]) -> str:
        """Begin a multipart upload; its id."""

    async def put_part(key: str, upload_id: str, number: int, buffers: Sequence[Buffer]) -> StoredPart:
        """Store a part, over any that has its number."""

    async def complete_parts(
        key: str, upload_id: str, parts: Sequence[StoredPart], length: int, part_size: int
    ) -> bool:
        """Make the blob of these very parts visible; done already is no error. No part that was replaced
        since is taken: StoreRefused. Each but the last has ``part_size`` bytes, all together ``length``.

        False where there is a blob of that length and the store does not say whether it is of these parts.
        """

    async def remove_parts(key: str, blob: bool) -> None:
        """Abort every multipart upload to ``key``, and with ``blob`` delete the object too. Never raises:
        what could not be removed is tried again in the background, counted and logged."""


class IBlobDownload(Interface):
    """Bytes of one blob on their way out of the store, not verified."""

    crc32c: int | None = Attribute(
        "the CRC-32C of the whole blob, where all of it was asked for and the store told it by the way"
    )

    def read() -> Deferred[bytes]:
        """The next bytes, none at the end. One read at a time; nothing is asked of the store meanwhile.

        A connection that breaks is taken up again where it stopped. Fails with StoreUnavailable,
        StoreRefused, BlobMissing or BlobTruncated.
        """

    def close() -> None:
        """Let go of the store, also before the end. May be called more than once."""


class IBlobSource(Interface):
    """Where blobs are read from. Calls raise StoreUnavailable and StoreRefused."""

    bucket: str = Attribute("the bucket's name")

    async def open(key: str, size: int, first: int, count: int) -> IBlobDownload:
        """``count`` bytes from ``first`` on of a blob that has to have ``size`` bytes.

        The store has answered when this returns. Raises BlobMissing, or BlobTruncated for another size.
        """

    async def size_of(key: str) -> int | None:
        """A blob's size in bytes, None where it is not there."""

    async def crc32c(key: str, size: int) -> int:
        """The CRC-32C of a whole blob that has to have ``size`` bytes.

        Without reading it where the store keeps one, else the blob is read through once; what that gave is
        remembered for a while. Raises BlobMissing, or BlobTruncated for another size.
        """

    async def presign(key: str, seconds: int, content_type: str, disposition: str) -> str:
        """A URL that gives the blob to anyone for ``seconds``, with those two headers."""


class IObjectIndex(Interface):
    """What lies in the bucket, for upkeep. Calls raise StoreUnavailable and StoreRefused.

    A list is read page by page, and holds one page. It has every object that was there from its beginning to
    its end; one that came or went meanwhile may be in it or not. A key is named as it is, whatever
    characters it has. A list that does not show what was asked for is refused, never taken for whole.
    """

    bucket: str = Attribute("the bucket's name")

    def prefixes(prefix: str) -> AsyncIterator[Sequence[str]]:
        """What the keys of objects have from their begin, which is ``prefix``, up to their next slash. Each
        once; keys without another slash have none."""

    def objects(prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        """Every object whose key begins with ``prefix``."""

    def uploads(prefix: str) -> AsyncIterator[Sequence[ListedUpload]]:
        """Every unfinished multipart upload to a key that begins with ``prefix``."""

    async def delete(key: str) -> None:
        """Delete an object; one that is not there is no error."""

    async def delete_many(keys: Sequence[str]) -> Mapping[str, str]:
        """Delete objects, in as few requests as the store allows; one that is not there is no error. Returns,
        by its key, why one is still there."""

    async def abort(key: str, upload_id: str) -> bool:
        """Abort a multipart upload, and remove its parts. False where the store says that there is none
        (any more)."""


class IStore(Interface):
    """A store: a core, and what it can do besides. What is None cannot be done. Whoever makes stores gives
    one of these, everybody else is given the one capability that they need."""

    blobs: IBlobStore = Attribute("where blobs are written")
    source: IBlobSource = Attribute("where blobs are read from")
    resumable: IResumableStore | None = Attribute("uploads that outlive a process")
    index: IObjectIndex | None = Attribute("lists of what is there")

    async def close() -> None:
        """Give up what is still to be removed, and close connections. Nothing is asked of it after that."""
