"""Checksums brought forward off the reactor thread, where that is worth a thread."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.base import ReactorBase
from twisted.internet.threads import deferToThreadPool

from lfsproxy.checksums import Buffer, Checksum

INLINE_BYTES = 64 * 1024
"""A thread costs more than so many bytes do."""


async def digest(reactor: ReactorBase, checksums: Sequence[Checksum], data: Buffer) -> None:
    """Update every one of ``checksums`` with ``data``."""

    def update() -> None:
        for checksum in checksums:
            checksum.update(data)

    if len(data) < INLINE_BYTES:
        update()
    else:
        await deferToThreadPool(reactor, reactor.getThreadPool(), update)
