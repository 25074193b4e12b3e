"""For aiokafka: records of a consumer with their blobs, fetched ahead in threads, in the records' order.

    reader = lfsproxy.client.aio.BlobReader.from_environment()
    async for record, resolved in resolve_records(consumer, reader):
        resolved.value                     # the blob's bytes, or the value as it is

aiokafka's own ``value_deserializer`` is called in the event loop, where a fetch would stop everything else:
do not fetch there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol, TypeGuard, TypeVar

from lfsproxy.client.reader import Resolved
from lfsproxy.client.threaded import ThreadedReader

PREFETCH = 4


class Record(Protocol):
    """What is needed of aiokafka's ConsumerRecord."""

    @property
    def value(self) -> bytes | None: ...


R = TypeVar("R", bound=Record)


async def resolve_records(
    records: AsyncIterator[R], reader: ThreadedReader, prefetch: int = PREFETCH
) -> AsyncGenerator[tuple[R, Resolved], None]:
    """Each record with what ``reader.resolve`` makes of its value, in order.

    ``records`` is an AIOKafkaConsumer, or any asynchronous iterator of records. Memory: up to ``prefetch``
    blobs and the one in use. An LfsError is raised at its record's place, after all before it were handed
    out; the iteration ends there. Leave it by ``aclosing`` (contextlib): then nothing read ahead is kept.

    With automatic commits, records that were read ahead count as read: commit what was handed out yourself
    (``enable_auto_commit=False``).
    """
    if prefetch < 1:
        raise ValueError(f"prefetch is {prefetch}, at least 1 is needed")
    ahead: deque[tuple[R, asyncio.Future[Resolved]]] = deque()
    coming: asyncio.Future[Any] | None = asyncio.ensure_future(_next(records))
    try:
        while coming is not None or ahead:
            # A failure of the consumer waits for its place: until all before it was handed out.
            if _has_come(coming, bool(ahead)) and len(ahead) < prefetch:
                found = await coming
                coming = None if found is None else asyncio.ensure_future(_next(records))
                if found is not None:
                    ahead.append((found[0], reader.resolve(found[0].value)))
            elif ahead and ahead[0][1].done():
                record, resolved = ahead.popleft()
                yield record, resolved.result()
            else:
                waiting = [coming] if coming is not None and not coming.done() else []
                waiting += [future for _, future in ahead][:1]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for left in [future for _, future in ahead] + ([] if coming is None else [coming]):
            if not left.cancel() and not left.cancelled():
                left.exception()  # Told to nobody: the iteration has ended before its place.


def _has_come(coming: asyncio.Future[Any] | None, others: bool) -> TypeGuard[asyncio.Future[Any]]:
    return coming is not None and coming.done() and not (others and coming.exception())


async def _next(records: AsyncIterator[R]) -> tuple[R] | None:
    """The next record, None at the end: StopAsyncIteration cannot be raised into a future."""
    try:
        return (await anext(records),)
    except StopAsyncIteration:
        return None
