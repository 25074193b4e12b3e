"""A lease of memory while a request's body fills it: the budget is told how its client does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from lfsproxy.budget import Lease
from lfsproxy.errors import Stalled
from lfsproxy.web.body import RequestBody

READ_BYTES = 256 * 1024
"""The most that is read at once from a connection whose upload has a lease: fewer turns for as many bytes."""
LARGE_LEASE = 8 * 1024 * 1024
"""Bytes of a lease from which on still more is read at once: few have one, so that few take that memory."""
LARGE_READ_BYTES = 512 * 1024
"""How many bytes those are: a tenth less CPU for each byte, and less memory than with 1 MiB."""


@contextmanager
def fed(
    lease: Lease, body: RequestBody, evicted: Callable[[Stalled], None]
) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """A context in which the body is read. A client that is too slow while others wait is ``evicted``.

    It gives another context, for the time in which the store is waited for and not the client.
    """

    @contextmanager
    def busy() -> Iterator[None]:
        lease.waits_for_peer(False)
        yield
        lease.waits_for_peer(True)

    lease.evicted = lambda: evicted(
        Stalled("the upload was too slow while others waited for memory (LFS_UPLOAD_MEMORY)")
    )
    body.read_size(LARGE_READ_BYTES if lease.size >= LARGE_LEASE else READ_BYTES)
    body.on_bytes = lease.received
    lease.waits_for_peer(True)
    try:
        yield busy
    finally:
        lease.waits_for_peer(False)
        lease.evicted = None
        body.on_bytes = None
