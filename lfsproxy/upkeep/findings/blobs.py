"""What the store says of the blob behind an envelope: asked once for each, so many at a time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from lfsproxy.envelope import Envelope
from lfsproxy.errors import BlobCorrupt, BlobMissing, BlobTruncated, StoreRefused, StoreUnavailable
from lfsproxy.following import Verified
from lfsproxy.interfaces import IBlobSource, IBlobStore
from lfsproxy.shared import Shared
from lfsproxy.upkeep.findings.found import DANGLING, UNREADABLE, WRONG_CHECKSUM, WRONG_LENGTH
from lfsproxy.wakeups import Semaphore

ASKED_AT_ONCE: Final = 32
"""Blobs that the store is asked for at the same time."""
READ_AT_ONCE: Final = 8
"""Blobs that are read at the same time, to compare their checksum: each holds some pieces."""
REMEMBERED: Final = 50_000
"""Blobs whose answer is kept, as other records may name the same: some 25 MB at most."""


@attrs.frozen
class Verdict:
    """What is wrong with a blob: the kind of finding, why, and what was there instead."""

    kind: str
    why: str
    actual: int | str | None = None


WHOLE: Final = None
"""The verdict about a blob that is as its envelope says."""


class Blobs:
    """Asks the ``source`` about blobs. ``verify``: their bytes are read and compared, too.

    ``store`` is asked for a sign of life where a blob cannot be read: whether it is only that one.
    """

    def __init__(
        self, clock: IReactorTime, source: IBlobSource, store: IBlobStore, verify: bool = False
    ) -> None:
        self._source = source
        self._store = store
        self._verify = verify
        self._places = Semaphore(clock, READ_AT_ONCE if verify else ASKED_AT_ONCE)
        self._shared = Shared(clock, self._ask, abandons=True)
        self._known: OrderedDict[Envelope, Verdict | None] = OrderedDict()

    async def judge(self, envelope: Envelope) -> Verdict | None:
        """None where the blob is as its envelope says.

        Raises StoreUnavailable or StoreRefused where the store gives no sign of life.
        """
        asked = attrs.evolve(envelope, content_type="")
        if asked in self._known:
            self._known.move_to_end(asked)
            return self._known[asked]
        return await self._shared.get(asked)

    async def _ask(self, envelope: Envelope) -> Verdict | None:
        async with self._places:
            try:
                verdict = await self._judge(envelope)
            except (StoreUnavailable, StoreRefused) as error:
                await self._store.check()
                return Verdict(UNREADABLE, str(error))
        self._known[envelope] = verdict
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return verdict

    async def _judge(self, envelope: Envelope) -> Verdict | None:
        size = await self._source.size_of(envelope.s3_key)
        name = f"{envelope.s3_bucket}/{envelope.s3_key}"
        if size is None:
            return Verdict(DANGLING, f"the blob {name} is gone")
        if size != envelope.content_length:
            return Verdict(
                WRONG_LENGTH,
                f"the blob {name} has {size} bytes, its envelope says {envelope.content_length}",
                size,
            )
        if not self._verify:
            return WHOLE
        try:
            await self._read(envelope)
        except BlobCorrupt as error:
            return Verdict(
                WRONG_CHECKSUM,
                f"the {error.algorithm} of the blob {name} is {error.actual}, its envelope says "
                f"{error.expected}",
                error.actual,
            )
        except BlobMissing:
            return Verdict(DANGLING, f"the blob {name} went away while it was read")
        except BlobTruncated as error:
            return Verdict(WRONG_LENGTH, str(error))
        return WHOLE

    async def _read(self, envelope: Envelope) -> None:
        length = envelope.content_length
        blob = Verified(await self._source.open(envelope.s3_key, length, 0, length), envelope)
        try:
            while await blob.read():
                pass
        finally:
            blob.close()
