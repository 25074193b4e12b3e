"""The seams: what the doors may ask of the store, of Kafka and of the metrics.

Methods marked ``async`` return an awaitable; a plain method that returns ``Deferred | None`` returns None
where there is nothing to wait for, so that no Deferred is made per chunk of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from lfsproxy.checksums import Buffer, Checksum

Header = tuple[bytes, bytes | None]
"""A record header as it is on the wire: name (need not be UTF-8) and value, which may be null."""


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
        """Take all of ``data`` (kept by reference until sent: the caller must not change it).

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

    async def delete(key: str) -> None:
        """Delete an object. Raises StoreUnavailable or StoreRefused."""

    async def check() -> None:
        """Ask the store for a sign of life with our credentials and bucket. Raises like ``delete``."""


@attrs.frozen
class Published:
    """A record that the broker has acknowledged. ``timestamp`` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class IEnvelopePublisher(Interface):
    """Publishes envelopes for the HTTP door, with the proxy's own identity."""

    async def choose_partition(topic: str, key: bytes | None, partition: int | None) -> int:
        """The partition a record will go to: the one asked for, else as Kafka's default partitioner.

        Raises UnknownTopic, NotAuthorised, BadRequest (partition out of range) or BrokerUnavailable.
        """

    async def next_offset(topic: str, partition: int) -> int:
        """A hint: the partition's next offset as last known, else asked for; 0 where it cannot be known."""

    async def publish(
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[Header],
        timestamp: int | None,
    ) -> Published:
        """Publish one record and wait for acks=all. ``timestamp``: milliseconds since the epoch, None is now.

        Raises BrokerRefused (and its kinds) when it is surely not in the log, BrokerUnavailable when
        nothing was sent, OutcomeUnknown in every other case.
        """

    async def check() -> None:
        """Ask the cluster for a sign of life. Raises BrokerUnavailable or NotAuthorised."""


class IMetrics(Interface):
    """What is counted (docs/reference/metrics.md lists it). ``result`` is ok, client_error,
    store_error, broker_error or cancelled; ``path`` is kafka or http; times are in seconds."""

    def upload(path: str, topic: str, result: str, size: int, seconds: float) -> None:
        """An upload ended. ``size`` counts only when the result is ok: published bytes."""

    def publish(seconds: float) -> None:
        """The broker answered a publish of the HTTP door."""

    def s3_operation(operation: str, result: str, seconds: float) -> None:
        """One request to the store ended."""

    def s3_retry(operation: str) -> None:
        """A request to the store is sent again."""

    def kafka_connection(change: int) -> None:
        """A Kafka client connection opened (+1) or closed (-1)."""

    def kafka_request(api: str, seconds: float | None) -> None:
        """A Kafka request was answered; seconds is the time added by the proxy, None where not measured."""

    def kafka_closed(reason: str) -> None:
        """The proxy closed a Kafka client's connection by itself."""

    def http_request(route: str, method: str, status: int) -> None:
        """An HTTP request was answered; route is the pattern, or ``unmatched``."""

    def checksum_mismatch(path: str) -> None:
        """Bytes did not have the checksum that the client gave."""

    def orphan(reason: str) -> None:
        """A blob or a multipart upload stays in the store without a known envelope."""

    def memory(gauge: Callable[[], int], limit: int) -> None:
        """How to read the upload memory in use, and its limit, both in bytes."""
