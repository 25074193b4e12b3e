"""The client that a session serves: its connection, the name it gives itself, and why it was closed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError

from lfsproxy.errors import FramingError, LfsError
from lfsproxy.interfaces import IMetrics
from lfsproxy.kafka.stream import ConnectionGone, FrameStream
from lfsproxy.logs import Logger
from lfsproxy.quoting import shown


class KafkaClient:
    """``stream`` is its connection; ``id`` what its last request says, as it can be shown."""

    _log = Logger()

    def __init__(self, stream: FrameStream, metrics: IMetrics) -> None:
        self.stream = stream
        self.id: str | None = None
        self._called: str | None = None
        self.is_told = False
        """Whether the log says why its connection is closed."""
        self._metrics = metrics

    def is_called(self, name: str | None) -> None:
        """What a request says: mostly what the one before said."""
        if name != self._called:
            self._called = name
            self.id = shown(name)

    @property
    def name(self) -> str:
        """The client's id, for the log."""
        return self.id or "a client without an id"

    def close(self, error: LfsError) -> None:
        """Close its connection because of an error, said once in the log and counted."""
        if not self.stream.closed and not self.is_told:
            self.is_told = True
            self._log.warn(
                "the connection of Kafka client{client_id} ({peer}) is closed: {error}",
                client_id=f" {self.id}" if self.id else "",
                peer=self.stream.peer,
                error=error,
                kind=error,
            )
            self._metrics.kafka_closed(error.problem)
        self.stream.abort()

    async def guarded(self, steps: Coroutine[Any, Any, None]) -> None:
        """Run steps of its session. An error ends its connection; that one is gone, or a cancellation, does
        not. Raises nothing."""
        try:
            await steps
        except (ConnectionGone, CancelledError):
            return
        except LfsError as error:
            self.close(error)
        except Exception:
            self._log.failure("a Kafka session of {peer} failed", peer=self.stream.peer)
            self.close(FramingError("internal error"))
