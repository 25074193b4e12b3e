"""``resolve_records`` for event loops: one asynchronous generator for Twisted and asyncio.

What is fetched comes back into the event loop as calls, which note what came and wake the generator.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any, TypeVar

from lfsproxy.client.records import Ahead, Place, ResolvedRecord
from lfsproxy.client.threaded import ThreadedReader

R = TypeVar("R")


class Turns:
    """The next record of a consumer, asked for one at a time; ``wake`` resumes the generator that waits."""

    def __init__(self, reader: ThreadedReader, records: AsyncIterator[Any] | Iterable[Any]) -> None:
        self._framework = reader._framework
        self._records = records if isinstance(records, AsyncIterator) else _asynchronous(records)
        self._asking: Any = None
        self._waiting: Any = None
        self.coming: Place[Any] | None = None
        self.ended = False
        self.failure: BaseException | None = None

    def ask(self) -> None:
        """Have the consumer asked for the next record, unless it was or has ended."""
        if self._asking is None and self.coming is None and not self.ended:
            self._asking = True  # Else a record that is there at once would be asked for again.
            asking = self._framework.spawn(self._ask())
            if self._asking:
                self._asking = asking

    async def _ask(self) -> None:
        try:
            self.coming = Place(await anext(self._records))
        except StopAsyncIteration:
            self.ended = True
        except BaseException as error:
            self.ended, self.failure = True, error
        self._asking = None
        self.wake()

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not self._framework.is_done(waiting):
            self._framework.resolve(waiting, None)

    async def wait(self) -> None:
        """Until something came."""
        self._waiting = self._framework.create_future(lambda: None)
        await self._waiting

    def cancel(self) -> None:
        self._waiting = None
        if self._asking is not None:
            self._asking.cancel()


async def resolved_ahead(
    reader: ThreadedReader, records: AsyncIterator[R] | Iterable[R], ahead: Ahead[R]
) -> AsyncGenerator[ResolvedRecord[R], None]:
    """What ``lfsproxy.client.aio.resolve_records`` says, with the reader's threads."""
    turns = Turns(reader, records)

    def begin(place: Place[R]) -> None:
        def ended(_: Any) -> None:
            ahead.ended()
            turns.wake()

        def failed(error: Exception) -> None:
            place.failed(error)
            ended(None)

        reader.resolve_place(place, ended, failed)

    try:
        while True:
            if not ahead.is_full:
                turns.ask()
            coming = turns.coming
            if coming is not None and ahead.may_begin(coming):
                turns.coming = None
                if ahead.begin(coming):
                    begin(coming)
            elif (outcome := ahead.take()) is not None:
                yield outcome
            elif ahead or not turns.ended:
                await turns.wait()
            elif turns.failure is not None:
                raise turns.failure
            else:
                return
    finally:
        turns.cancel()
        ahead.cancel()


async def _asynchronous(records: Iterable[R]) -> AsyncGenerator[R, None]:
    for record in records:
        yield record
