"""The publisher of a proxy that only relays: it has no identity of its own to publish with."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.interfaces import Header, IEnvelopePublisher, Published


@implementer(IEnvelopePublisher)
class NoPublisher:
    """Stands where the brokers demand a sign-in and the proxy has none: nothing can be published."""

    publish_seconds = 0.0

    async def choose_partition(self, topic: str, key: bytes | None, partition: int | None) -> int:
        raise self._error()

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
        raise self._error()

    async def log_end(self, topic: str, partition: int) -> int:
        raise self._error()

    async def find(self, topic: str, partition: int, value: bytes, first: int) -> Published | None:
        raise self._error()

    async def check(self) -> None:
        raise self._error()

    async def stop(self) -> None:
        """Nothing to stop."""

    @staticmethod
    def _error() -> BrokerUnavailable:
        return BrokerUnavailable(
            "the brokers demand a sign-in, and the proxy has none of its own: "
            "LFS_KAFKA_SASL_MECHANISM is not set"
        )
