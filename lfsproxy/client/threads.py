"""Blocking calls in threads of their own, their results as an event loop's futures.

The loop's default threads are not used: blobs that are slow to come would keep everything else waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from lfsproxy.errors import ReadInterrupted


class Framework(Protocol):
    """An event loop's futures. ``resolve`` and ``reject`` are txaio's."""

    def create_future(self, cancel: Callable[[], None]) -> Any:
        """A future that calls ``cancel`` when it is cancelled."""

    def create_opening(self, cancel: Callable[[], None]) -> Any:
        """Such a future of a blob, which ``async with`` waits for, and closes."""

    def create_read(self) -> Any:
        """A future for a stream's read."""

    def take_back(self, future: Any) -> bytes:
        """What a read's future holds that nobody took of it: from now on it gives that to nobody."""

    def resolve(self, future: Any, result: Any) -> None: ...

    def reject(self, future: Any, error: Exception) -> None: ...

    def from_thread(self, call: Callable[[], object]) -> None:
        """In a thread: have the event loop call ``call`` soon."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        """Run a coroutine that raises nothing; what is returned has ``cancel``."""

    def is_done(self, future: Any) -> bool:
        """Whether the future has a result, or was cancelled."""

    def has_result(self, future: Any) -> bool:
        """Whether a read's future has a result, or has failed, and was not cancelled."""


class Threads:
    """Runs blocking calls, and hands what they return or raise to the event loop."""

    def __init__(self, framework: Framework, most: int) -> None:
        self._framework = framework
        self.most = most
        self._pool = self._made()

    def _made(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.most, "lfsproxy-reader")

    def run(
        self,
        call: Callable[[], Any],
        came: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Call ``call`` in a thread, then one of the others in the event loop."""

        def work() -> None:
            try:
                result = call()
            except BaseException as error:
                failure = raisable(error)
                self._framework.from_thread(lambda: failed(failure))
            else:
                self._framework.from_thread(lambda: came(result))

        self._pool.submit(work)

    def future(
        self,
        call: Callable[[], Any],
        cancel: Callable[[], None] = lambda: None,
        unwanted: Callable[[Any], None] = lambda result: None,
        create: Callable[[Callable[[], None]], Any] | None = None,
    ) -> Any:
        """A future of what ``call`` returns or raises. ``unwanted`` has the result when it was cancelled.

        ``create`` makes the future (None: the framework's ordinary one).
        """
        future = (create or self._framework.create_future)(cancel)

        def came(result: Any) -> None:
            if self._framework.is_done(future):
                unwanted(result)
            else:
                self._framework.resolve(future, result)

        def failed(error: Exception) -> None:
            if not self._framework.is_done(future):
                self._framework.reject(future, error)

        self.run(call, came, failed)
        return future

    def close(self) -> None:
        """Let idle threads end. What runs goes on; a later call starts new ones."""
        self._pool.shutdown(wait=False)
        self._pool = self._made()


def raisable(error: BaseException) -> Exception:
    """What a future fails with: the error, or ReadInterrupted for one that is no Exception, as of a hook that
    calls sys.exit. There is nobody else to raise that to."""
    if isinstance(error, Exception):
        return error
    told = ReadInterrupted(f"{type(error).__name__} broke off a read")
    told.__cause__ = error
    return told
