"""The publisher and the log of a proxy that only relays: it has no identity of its own for either."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.interfaces import Header, IEnvelopePublisher, IRecordLog, LogRecord, Published


@implementer(IEnvelopePublisher)
class NoPublisher:
    """Stands where the brokers demand a sign-in and the proxy has none: nothing can be published."""

    publish_seconds = 0.0

    async def choose_partition(self, topic: str, key: bytes | None, partition: int | None) -> int:
        raise _no_identity()

    async def next_offset(self, topic: str, partition: int) -> int:
        return 0

    async def publish(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[Header],
        timestamp: int | None,
    ) -> Published:
        raise _no_identity()

    async def log_end(self, topic: str, partition: int) -> int:
        raise _no_identity()

    async def find(self, topic: str, partition: int, value: bytes, first: int) -> Published | None:
        raise _no_identity()

    async def check(self) -> None:
        raise _no_identity()

    async def stop(self) -> None:
        """Nothing to stop."""


@implementer(IRecordLog)
class NoLog:
    """Stands where nothing can be read, for the same reason."""

    async def read(self, topic: str, partition: int, offset: int, most: int) -> LogRecord:
        raise _no_identity()

    async def stop(self) -> None:
        """Nothing to stop."""


def _no_identity() -> BrokerUnavailable:
    return BrokerUnavailable(
        "the brokers demand a sign-in, and the proxy has none of its own: LFS_KAFKA_SASL_MECHANISM is not set"
    )
