"""Small blobs, got whole: each once for all the consumers that want it at the same time.

A record that many consumers wait for is one they all get in the same moment. Each of them has memory for it,
of which the blob takes one's.
"""

from __future__ import annotations

from typing import Final

import attrs
from crc32c import crc32c
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.envelope import Envelope
from lfsproxy.following import Verified
from lfsproxy.interfaces import IBlobSource
from lfsproxy.shared import Shared
from lfsproxy.wakeups import Semaphore

AT_ONCE: Final = 256
"""Small blobs that are got side by side, of all answers: each takes a connection to the store."""


@attrs.frozen(eq=False)
class Whole:
    """A blob's bytes, verified, and their CRC-32C."""

    crc: int
    pieces: tuple[bytes, ...]


class SmallBlobs:
    """Those of ``source``."""

    def __init__(self, reactor: IReactorTime, source: IBlobSource) -> None:
        self._source = source
        self._places = Semaphore(reactor, AT_ONCE)
        self._getting: Shared[Envelope, Whole] = Shared(reactor, self._get, abandons=True)

    def get(self, envelope: Envelope) -> Deferred[Whole]:
        """A blob. Fails as opening and reading it does; may be cancelled by whoever waits for it no more."""
        return self._getting.get(envelope)

    async def _get(self, envelope: Envelope) -> Whole:
        async with self._places:
            size = envelope.content_length
            verified = Verified(await self._source.open(envelope.s3_key, size, 0, size), envelope)
            pieces: list[bytes] = []
            crc = 0
            try:
                while data := await verified.read():
                    pieces.append(data)
                    crc = crc32c(data, crc)
            finally:
                verified.close()
            return Whole(crc, tuple(pieces))
