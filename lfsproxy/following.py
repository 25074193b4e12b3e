"""Following an envelope to its blob: which may be followed, and the blob's bytes verified on their way out.

Whoever may produce to a topic decides what an envelope says, so only blobs of that very topic are given out,
and those below the prefixes that the operator allows.
"""

from __future__ import annotations

import attrs

from lfsproxy.checksums import new_checksum
from lfsproxy.envelope import Envelope, check_place, parse_key, topic_prefix
from lfsproxy.errors import BlobCorrupt, EnvelopeNotAllowed
from lfsproxy.interfaces import IBlobDownload
from lfsproxy.names import is_topic_name

BUFFER_BYTES = 1024 * 1024
"""What one blob on its way out holds at most, of whatever length: one piece, held back or being written."""


@attrs.frozen
class Places:
    """Where a topic's blobs may be: in ``bucket``, below its own prefix or one of ``prefixes``."""

    bucket: str
    namespace: str
    prefixes: tuple[str, ...]

    def check(self, topic: str, envelope: Envelope) -> None:
        """Raise EnvelopeNotAllowed for an envelope that points to where this topic's blobs are not."""
        own = topic_prefix(self.namespace, topic)
        try:
            check_place(envelope, [self.bucket], [own, *self.prefixes])
        except EnvelopeNotAllowed as error:
            way_out = self._way_out(envelope)
            if not way_out:
                raise
            raise EnvelopeNotAllowed(f"{error}; {way_out}", way_out=way_out) from None

    def _way_out(self, envelope: Envelope) -> str:
        """What allows a copy of another topic's record; "" where no proxy has written the envelope."""
        key = parse_key(envelope.s3_key)
        if key is None or envelope.s3_bucket != self.bucket:
            return ""
        if not (is_topic_name(key.topic) and is_topic_name(key.namespace)):
            return ""
        prefix = topic_prefix(key.namespace, key.topic)
        return f"if the record is a copy, as mirrors make them, LFS_DOWNLOAD_PREFIXES={prefix} allows it"


class Verified:
    """All bytes of a blob: the last are handed out only when the whole has its envelope's checksum."""

    def __init__(self, blob: IBlobDownload, envelope: Envelope) -> None:
        self._blob = blob
        self._wanted = envelope.checksum
        self._checksum = new_checksum(envelope.checksum_algo)
        self._unread = envelope.content_length

    async def read(self) -> bytes:
        """The next bytes, none at the end. In place of a wrong end BlobCorrupt or a store error."""
        data = await self._blob.read()
        # Here, while the bytes are in the processor's cache: in a thread they cost half as much again.
        self._checksum.update(data)
        self._unread -= len(data)
        if self._unread <= 0:
            if data:
                # The last piece: the store may have more than it should.
                self._checksum.update(await self._blob.read())
            self._compare()
        return data

    def _compare(self) -> None:
        actual = self._checksum.hexdigest()
        if actual != self._wanted:
            raise BlobCorrupt(self._checksum.name, self._wanted, actual)

    def close(self) -> None:
        """Let go of the store, also before the end. May be called more than once."""
        self._blob.close()
